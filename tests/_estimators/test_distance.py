"""`distance_awareness`: models that are less sure where training rows are far."""

import pickle

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from skdropout._estimators.inputs import checked_rows
from skdropout._support.compressed import rows_of
from skdropout.model_selection import BatchedGridSearchCV
from tests.reference import DROPOUTS, ESTIMATORS, quick

AWARE = {"distance_awareness": 1.0}
GAP = np.linspace(-0.3, 0.3, 7)[:, None]
DATA = np.array([-2.5, -2, -1.5, 1.5, 2, 2.5])[:, None]
FAR = np.array([[-9.0], [9.0]])


def one_input(n=200, seed=0):
    """A sine without its middle."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(1, 3, n) * rng.choice([-1, 1], n)
    return x[:, None], np.sin(2 * x) + 0.1 * rng.standard_normal(n)


def stds(model, X):
    return np.sqrt(model.predict_uncertainty(X).epistemic)


def growth(model, X=GAP):
    return stds(model, X).mean() / stds(model, DATA).mean()


@pytest.fixture(scope="module")
def aware():
    return DropoutMLPRegressor(random_state=0, **AWARE).fit(*one_input())


def test_the_middle_of_a_gap_and_what_is_beyond_the_data_are_known_less_well(aware):
    plain = DropoutMLPRegressor(random_state=0).fit(*one_input())
    assert growth(aware) > 3 > 2 > growth(plain)
    assert growth(aware, FAR) > 3


def test_intervals_still_hold_what_they_say_where_there_are_data(aware):
    X, y = one_input(2000, seed=1)
    low, high = aware.predict_interval(X).T
    # The scale is chosen on 200 rows: a standard error of .02. Five seeds gave .83 to .90, without
    # the process .84 to .90.
    assert 0.8 < ((low <= y) & (y <= high)).mean() < 0.96


@pytest.mark.parametrize("calibrate", [True, False])
def test_means_stay_where_they_are(calibrate):
    plain, aware = (
        DropoutMLPRegressor(random_state=0, calibrate=calibrate, **options).fit(*one_input())
        for options in ({}, AWARE)
    )
    X = np.concatenate([DATA, GAP, FAR])
    np.testing.assert_allclose(plain.predict(X), aware.predict(X), atol=1e-3)
    if not calibrate:
        # Calibration moves members as far from their mean as its factor says, which is another.
        np.testing.assert_allclose(plain.predict_members(X), aware.predict_members(X), atol=1e-3)


def test_the_parts_still_add_up_and_noise_is_not_what_grows(aware):
    X = np.concatenate([DATA, GAP, FAR])
    u = aware.predict_uncertainty(X)
    np.testing.assert_allclose(u.total, u.epistemic + u.aleatoric)
    assert np.ptp(u.aleatoric) < 1e-12


@pytest.mark.parametrize("dropout", DROPOUTS)
def test_every_family_grows(dropout):
    model = quick(DropoutMLPRegressor, dropout=dropout, max_iter=100, **AWARE)
    assert growth(model.fit(*one_input()), FAR) > 1.5


def test_a_network_without_noise_says_how_sure_it_is():
    model = quick(DropoutMLPRegressor, dropout=None, **AWARE).fit(*one_input())
    assert growth(model) > 3
    assert model.predict_interval(GAP).shape == (7, 2)


def test_more_awareness_is_more_prior_and_none_is_the_plain_model():
    X, y = one_input()
    fitted = [
        quick(DropoutMLPRegressor, dropout=None, distance_awareness=by).fit(X, y)
        for by in (1.0, 3.0)
    ]
    far = [stds(model, FAR).mean() for model in fitted]
    assert far[1] == pytest.approx(3 * far[0], rel=0.05)
    plain = quick(DropoutMLPRegressor, dropout=None).fit(X, y)
    with pytest.raises(ValueError, match="this model has no noise"):
        plain.predict_interval(X)


def test_calibration_does_not_touch_it():
    """The scale of networks is found beside the process, which keeps the size of its prior."""
    X, y = one_input()
    options = {"random_state": 0, "dropout": None, **AWARE}
    sizes = [
        stds(DropoutMLPRegressor(calibrate=calibrate, **options).fit(X, y), FAR).mean()
        for calibrate in (True, False)
    ]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.1)


@pytest.mark.parametrize("options", [{}, {"noise": "heteroscedastic"}, {"normalize_y": False}])
def test_it_is_in_the_units_of_y(options):
    X, y = one_input()
    options = {**options, **AWARE, "dropout": None}
    models = [quick(DropoutMLPRegressor, **options).fit(X, y * by) for by in (1, 50.0)]
    np.testing.assert_allclose(stds(models[1], FAR), 50 * stds(models[0], FAR), rtol=0.05)


def test_each_of_several_outputs_has_its_own_size():
    X, y = one_input()
    noise = np.random.default_rng(1).standard_normal(len(y))
    Y = np.stack([y, 100 * y, noise], 1)
    u = quick(DropoutMLPRegressor, dropout=None, **AWARE).fit(X, Y).predict_uncertainty(FAR)
    std = np.sqrt(u.epistemic)
    assert std.shape == (2, 3)
    np.testing.assert_allclose(std[:, 1] / std[:, 0], 100, rtol=0.4)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dropout": None},
        {"noise": "heteroscedastic"},
    ],
)
def test_moments_are_those_of_many_draws(options):
    X, y = one_input()
    model = DropoutMLPRegressor(random_state=0, **AWARE, **options).fit(X, y)
    rows = np.concatenate([DATA, GAP])
    drawn = model.set_params(n_draws=4000).predict_uncertainty(rows)
    closed = model.set_params(inference="moments").predict_uncertainty(rows)
    np.testing.assert_allclose(np.sqrt(closed.epistemic), np.sqrt(drawn.epistemic), rtol=0.15)
    np.testing.assert_allclose(closed.mean, drawn.mean, atol=0.05)


def test_counts_grow_too():
    X, y = one_input()
    counts = np.random.default_rng(0).poisson(np.exp(2 + y))
    model = quick(DropoutMLPRegressor, loss="poisson", max_iter=100, **AWARE).fit(X, counts)
    assert growth(model, FAR) > 3
    closed = stds(model.set_params(inference="moments"), GAP)
    np.testing.assert_allclose(
        closed, stds(model.set_params(inference="draws", n_draws=4000), GAP), rtol=0.2
    )


def three_classes(n=300, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    return rng.standard_normal((n, 2)) * 0.5 + 3 * np.eye(3)[y][:, :2], y


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classes_are_less_certain_far_away(n_classes):
    X, y = three_classes()
    X, y = X[y < n_classes], y[y < n_classes]
    away = np.array([[-8.0, -8.0], [9, 9]])
    options = {"batch_size": 10, "learning_rate_init": 0.02}
    plain, model = (
        quick(DropoutMLPClassifier, distance_awareness=by, **options).fit(X, y) for by in (0.0, 3.0)
    )
    before, after = (one.predict_uncertainty(away).epistemic.mean() for one in (plain, model))
    assert after > max(0.05, 1.5 * before)
    drawn = model.set_params(n_draws=4000).predict_proba(away)
    closed = model.set_params(inference="moments").predict_proba(away)
    np.testing.assert_allclose(closed, drawn, atol=0.05)
    assert model.score(X, y) > 0.95


def test_several_labels_per_row_and_missing_cells():
    X, y = three_classes()
    Y = np.eye(3)[y]
    Y[::7, 1] = np.nan
    model = quick(DropoutMLPClassifier, max_iter=100, distance_awareness=3.0).fit(X, Y)
    away, near = (model.predict_uncertainty(x).epistemic.mean(0) for x in (X[:50] - 30, X[:50]))
    assert (away > 2 * near).all()


@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_the_same_seed_gives_the_same_model_and_a_pickle_predicts_alike(estimator_class):
    X, y = three_classes()
    models = [quick(estimator_class, **AWARE).fit(X, y) for _ in range(2)]
    there = pickle.loads(pickle.dumps(models[0]))
    for other in (models[1], there):
        np.testing.assert_array_equal(
            models[0].predict_uncertainty(X).epistemic, other.predict_uncertainty(X).epistemic
        )


def test_a_pickle_has_no_training_rows():
    sizes = [
        len(pickle.dumps(quick(DropoutMLPRegressor, **AWARE).fit(*one_input(n))))
        for n in (200, 4000)
    ]
    assert sizes[1] < sizes[0] + 10_000


def test_the_order_of_the_rows_does_not_matter_to_what_is_added():
    X, y = one_input()
    order = np.random.default_rng(0).permutation(len(X))
    options = {"dropout": None, "calibrate": False, **AWARE}
    models = [quick(DropoutMLPRegressor, **options).fit(X[o], y[o]) for o in (slice(None), order)]
    one, other = (model._process.variance(rows_of(checked_rows(model, FAR))) for model in models)
    np.testing.assert_allclose(one, other, rtol=1e-3)


def test_what_a_row_gets_does_not_depend_on_the_rows_beside_it(aware):
    X = np.concatenate([DATA, GAP, FAR])
    alone = np.concatenate([stds(aware, X[k : k + 1]) for k in range(len(X))])
    np.testing.assert_allclose(stds(aware, X), alone, rtol=1e-9)


def test_draws_as_many_as_a_row_needs_say_about_what_many_say(aware):
    model = clone(aware).set_params(n_draws="auto").fit(*one_input())
    few = clone(aware).set_params(n_draws=1600).fit(*one_input())
    np.testing.assert_allclose(stds(model, FAR), stds(few, FAR), rtol=0.3)
    error = model.set_params(n_draws=100).predict_uncertainty(FAR, return_error=True)[1]
    assert (error.epistemic > 0).all()


def test_n_draws_of_zero_is_the_weight_scaling_rule_alone(aware):
    X, y = one_input()
    plain = DropoutMLPRegressor(random_state=0, n_draws=0).fit(X, y)
    with_ = DropoutMLPRegressor(random_state=0, n_draws=0, **AWARE).fit(X, y)
    np.testing.assert_array_equal(plain.predict(GAP), with_.predict(GAP))


def test_samples_differ_where_nothing_is_known(aware):
    samples = aware.sample_y(np.concatenate([FAR, DATA]), 300)
    assert samples[:2].std(1).min() > 2 * samples[2:].std(1).max()


def test_samples_of_a_seed_of_ones_own_are_no_opposites(aware):
    # Two a member: the far ends are the process alone, as good as, and opposites would cancel.
    samples = aware.sample_y(FAR, 10, random_state=1)
    deviations = samples - aware.predict(FAR)[:, None]
    sums = deviations[:, :5] + deviations[:, 5:]
    assert np.abs(sums).mean() > 0.5 * np.abs(deviations).mean()


def test_out_of_fold_answers_have_the_process_of_the_other_rows():
    X, y = one_input()
    X = np.concatenate([X, [[20.0]]])
    y = np.append(y, 0.0)
    model = DropoutMLPRegressor(random_state=0, store_oof=True, **AWARE).fit(X, y)
    assert model.oof_std_[-1] > 3 * np.median(model.oof_std_)


def test_partial_fit_leaves_what_fit_has_found(aware):
    X, y = one_input()
    model = pickle.loads(pickle.dumps(aware))
    model.partial_fit(X, y)
    assert growth(model, FAR) > 3
    alone = DropoutMLPRegressor(dropout=None, **AWARE).partial_fit(X, y)
    with pytest.raises(ValueError, match="this model has no noise"):
        alone.predict_interval(X)


def test_warm_start_knows_the_rows_of_the_last_fit():
    X, y = one_input()
    model = quick(DropoutMLPRegressor, dropout=None, warm_start=True, **AWARE).fit(X, y)
    before = stds(model, FAR).mean()
    more = np.concatenate([X, FAR + np.zeros((2, 1)), FAR + 0.5])
    model.fit(more, np.append(y, np.zeros(4)))
    assert stds(model, FAR).mean() < before / 2


def test_sparse_columns_are_as_dense_ones():
    rng = np.random.default_rng(0)
    X = sparse.random(200, 30, density=0.2, format="csr", random_state=0)
    y = X.sum(1).A1 if hasattr(X.sum(1), "A1") else np.asarray(X.sum(1)).ravel()
    y = y + 0.1 * rng.standard_normal(200)
    models = [quick(DropoutMLPRegressor, **AWARE).fit(given, y) for given in (X, X.toarray())]
    np.testing.assert_allclose(*(stds(model, X) for model in models), rtol=1e-3)


def test_categories_and_missing_values_are_read():
    pandas = pytest.importorskip("pandas")
    X, y = one_input()
    table = pandas.DataFrame({"x": X[:, 0], "where": np.where(X[:, 0] > 0, "right", "left")})
    table.loc[::9, "x"] = np.nan
    model = quick(DropoutMLPRegressor, input_encoding="auto", max_iter=100, **AWARE).fit(table, y)
    asked = pandas.DataFrame({"x": [-2.0, 9.0], "where": ["left", "left"]})
    near, far = stds(model, asked)
    assert far > 2 * near


@pytest.mark.parametrize("search_class", [GridSearchCV, BatchedGridSearchCV])
def test_it_can_be_searched(search_class):
    X, y = one_input()
    model = quick(DropoutMLPRegressor)
    search = search_class(model, {"distance_awareness": [0.0, 1.0]}, cv=2, scoring="r2")
    search.fit(X, y)
    assert growth(search.best_estimator_, FAR) > 0
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_a_search_gives_each_candidate_the_rows_that_it_needs():
    X, y = one_input()
    grid = {"distance_awareness": [1.0]}
    scores = [
        search_class(quick(DropoutMLPRegressor), grid, cv=2, n_jobs=n_jobs, scoring=scorer)
        .fit(X, y)
        .cv_results_["mean_test_score"]
        for search_class, n_jobs in ((GridSearchCV, None), (BatchedGridSearchCV, 2))
        for scorer in (lambda model, X, y: float(stds(model, X).mean()),)
    ]
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-4)


@pytest.mark.parametrize("distance_awareness", [1e-6, 1e9])
def test_any_awareness_is_finite(distance_awareness):
    model = quick(DropoutMLPRegressor, cv=5, distance_awareness=distance_awareness)
    assert np.isfinite(stds(model.fit(*one_input()), FAR)).all()


@pytest.mark.filterwarnings("ignore:.*constant")
def test_a_constant_y_and_constant_columns_are_no_error():
    X, _ = one_input()
    X = np.concatenate([X, np.ones_like(X)], 1)
    model = quick(DropoutMLPRegressor, **AWARE).fit(X, np.ones(len(X)))
    np.testing.assert_array_equal(model.predict(X), 1)
    model.fit(X[:, 1:], X[:, 0])
    assert np.isfinite(stds(model, X[:, 1:])).all()


@pytest.mark.parametrize("n_rows", [2, 7])
def test_a_handful_of_rows_is_enough(n_rows):
    X, y = one_input()
    model = DropoutMLPRegressor(random_state=0, **AWARE, max_iter=5, tol=1e9, n_iter_no_change=1)
    assert np.isfinite(stds(model.fit(X[:n_rows], y[:n_rows]), FAR)).all()
