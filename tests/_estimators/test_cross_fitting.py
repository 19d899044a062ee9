"""Cross-fitted members: each against one network that is trained on its rows alone."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
import sklearn
import skorch
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from skdropout._estimators.answering import functions_of
from skdropout._estimators.described import describe, validation_rows
from skdropout._estimators.fitting import prepare
from skdropout._training.jobs import train_net
from skdropout._training.run import TrainingRun
from tests.reference import CROSS_FITTED, DROPOUTS, ESTIMATORS, fitting_of, quick, target

CALLS = {DropoutMLPClassifier: "sample_proba", DropoutMLPRegressor: "sample_y"}


@pytest.fixture(params=ESTIMATORS)
def estimator_class(request):
    return request.param


@pytest.fixture
def data(estimator_class, two_classes):
    X, y = two_classes
    return X, target(estimator_class, y)


def crossed(estimator_class, **parameters):
    return quick(estimator_class, **{**CROSS_FITTED, **parameters})


def outputs(model, X):
    u = model.predict_uncertainty(X)
    return np.column_stack([u.mean, u.total, u.epistemic, u.aleatoric])


def only(model, members):
    """The model with some of its members."""
    some = copy.copy(model)
    some.net_ = model.net_.select(members)
    return some


# ---- a member is one network -------------------------------------------------------------------


def assert_each_member_is_one_network(model, X, y):
    """Trained with the member's seed on the other folds, and stopped on its own."""
    fitting = fitting_of(model, X, y)
    whole = clone(model).fit(X, y)
    single = clone(model).set_params(cv=None, n_members=1)
    for held in fitting.held:
        train = np.delete(np.arange(len(X)), held.numbers)
        described = describe(single, X[train], y[train])
        given = validation_rows(single, described, X[held.numbers], y[held.numbers], None)
        for member in held.members:
            job = prepare(single, described, given).job
            job = replace(job, members=(fitting.job.members[member],))
            net = job.net()
            train_net(net, job.rows, job.max_iter)
            ours = whole.net_.select([member])
            for part in ("module_", "criterion_"):
                expected = getattr(net, part).state_dict()
                for name, values in getattr(ours, part).state_dict().items():
                    torch.testing.assert_close(values, expected[name], rtol=1e-6, atol=1e-7)
            assert len(ours.history) == len(net.history)
    return whole


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("n_members", [1, 2])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_member_is_a_network_trained_on_the_other_folds(
    estimator_class, data, shuffle, n_members, early_stopping
):
    # The units of y and of the columns are those of all rows, not of the other folds.
    units = {"normalize_y": False} if estimator_class is DropoutMLPRegressor else {}
    options = {"shuffle": shuffle, "n_members": n_members, "early_stopping": early_stopping}
    stops = {"tol": 0.01, "n_iter_no_change": 2, "learning_rate_init": 0.03}
    model = crossed(estimator_class, cv=3, input_encoding=None, batch_size=32, **stops, **options)
    model.set_params(max_iter=60, **units)
    whole = assert_each_member_is_one_network(model, *data)
    assert whole.n_folds_ == 3
    assert len(whole.net_.module_.members) == 3 * n_members


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize("dropout", DROPOUTS)
@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
def test_members_of_every_family(estimator_class, data, dropout, normalization):
    units = {"normalize_y": False} if estimator_class is DropoutMLPRegressor else {}
    short = {"max_iter": 3, "cv": 2, "input_encoding": None, "batch_size": 20, "tol": 0.0}
    model = crossed(estimator_class, dropout=dropout, normalization=normalization, **short, **units)
    with pytest.warns(UserWarning, match="max_iter=3"):
        assert_each_member_is_one_network(model, *data)


def test_every_member_stops_on_the_rows_of_its_fold(estimator_class, data):
    X, y = data
    model = crossed(estimator_class, n_draws=50, cv=3, tol=0.01, n_iter_no_change=3)
    held, whole = fitting_of(model, X, y).held, model.fit(X, y)
    whole.calibration_ = None
    best = np.max([np.array(epoch["valid_scores"]) for epoch in whole.net_.history], axis=0)
    unit = 1.0 if estimator_class is DropoutMLPClassifier else y.std()
    for fold, part in enumerate(held):
        alone = only(whole, [fold]).set_params(n_draws=10)
        score = alone.log_prob(X[part.numbers], y[part.numbers]).mean() + np.log(unit)
        assert score == pytest.approx(best[fold], abs=1e-4)


def test_without_early_stopping_nothing_is_watched(estimator_class, data):
    model = crossed(estimator_class, early_stopping=False).fit(*data)
    assert model.validation_scores_ is None
    assert model.best_loss_ is not None
    assert model.n_folds_ == 5
    assert model.calibration_["method"] == "out-of-fold"


def test_the_prediction_is_the_mean_of_all_members(estimator_class, data):
    X, y = data
    model = crossed(estimator_class, cv=3, n_members=2, n_draws=60).fit(X, y)
    classifier = estimator_class is DropoutMLPClassifier
    name = "predict_proba" if classifier else "predict"
    # Calibration moves what members say apart, not their mean.
    model.calibration_ = None
    members = model.predict_members(X)
    alone = [getattr(only(model, [k]).set_params(n_draws=10), name)(X) for k in range(6)]
    np.testing.assert_allclose(members, alone, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(members.mean(0), getattr(model, name)(X), rtol=1e-6, atol=1e-9)


def test_the_defaults_are_five_folds():
    for estimator_class in ESTIMATORS:
        given = estimator_class().get_params()
        assert (given["cv"], given["early_stopping"], given["calibrate"]) == (5, True, True)
        assert given["store_oof"] is False
    X = np.random.default_rng(0).standard_normal((40, 2))
    model = DropoutMLPRegressor((5,), tol=1.0, random_state=0).fit(X, X[:, 0])
    assert model.n_folds_ == len(model.net_.module_.members) == 5
    assert model.calibration_["n_rows"] == 40


# ---- rows that take the place of folds ---------------------------------------------------------


@pytest.mark.parametrize("early_stopping", [False, True])
def test_rows_of_ones_own_take_the_place_of_folds(estimator_class, data, early_stopping):
    X, y = data
    model = crossed(estimator_class, early_stopping=early_stopping, n_members=2)
    model.fit(X[:80], y[:80], X_val=X[80:], y_val=y[80:])
    assert model.n_folds_ == 0
    assert len(model.net_.module_.members) == 2
    assert model.t_ == 80 * model.n_iter_
    assert (model.validation_scores_ is not None) == early_stopping
    assert model.calibration_["method"] == "held-out part"
    assert model.calibration_["n_rows"] == 40
    one = clone(model).set_params(cv=None).fit(X[:80], y[:80], X_val=X[80:], y_val=y[80:])
    np.testing.assert_array_equal(outputs(model, X), outputs(one, X))


def test_rows_of_ones_own_need_a_use(estimator_class, data):
    X, y = data
    model = crossed(estimator_class, early_stopping=False, calibrate=False)
    with pytest.raises(ValueError, match="early_stopping=False and calibrate=False"):
        model.fit(X[:80], y[:80], X_val=X[80:], y_val=y[80:])


# ---- draws -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_draws", "of_each"), [(100, 20), (5, 1), (3, 1), (11, 3)])
def test_members_share_the_draws(estimator_class, data, n_draws, of_each):
    X, y = data
    model = crossed(estimator_class, n_draws=n_draws).fit(X, y)
    assert functions_of(model).plain.n_draws == of_each
    if estimator_class is DropoutMLPClassifier:
        sampled = model.sample_proba(X, 5 * of_each)
        np.testing.assert_allclose(sampled.mean(0), model.predict_proba(X), rtol=1e-6)


def test_members_share_the_draws_of_rounds(estimator_class, data):
    """A row that is done after the first has what a hundred draws in all give it."""
    X, y = data
    model = crossed(estimator_class, dropout_rate=0.5, n_draws="auto").fit(X, y)
    by_row = outputs(model, X)
    rounds = [outputs(model.set_params(n_draws=n), X) for n in (100, 200, 400, 800, 1600)]
    same = np.array([np.isclose(by_row, fixed, rtol=1e-6).all(1) for fixed in rounds])
    assert same.any(0).all()


def test_errors_need_two_draws_of_each(estimator_class, data):
    X, y = data
    model = crossed(estimator_class, n_draws=5).fit(X, y)
    message = "needs two draws of each network and the model has 5, got n_draws=5"
    with pytest.raises(ValueError, match=message):
        model.predict_uncertainty(X, return_error=True)
    model.set_params(n_draws=6)
    _, error = model.predict_uncertainty(X, return_error=True)
    assert (error.total > 0).any()


def test_moments_of_members(estimator_class, data):
    X, y = data
    model = crossed(estimator_class, n_draws=4000).fit(X, y)
    drawn = model.predict_uncertainty(X)
    exact = model.set_params(inference="moments").predict_uncertainty(X)
    np.testing.assert_allclose(exact.mean, drawn.mean, atol=0.05 * np.ptp(drawn.mean))
    np.testing.assert_allclose(model.predict_members(X).mean(0), exact.mean, rtol=1e-6)


def test_members_without_switched_off_weights(estimator_class, data):
    X, y = data
    model = crossed(estimator_class, dropout="variational", dropout_rate=0.9).fit(X, y)
    small = model.sparsify()
    np.testing.assert_allclose(outputs(small, X), outputs(model, X), rtol=1e-4, atol=1e-5)
    assert small.n_folds_ == 5


# ---- going on ----------------------------------------------------------------------------------


@pytest.mark.parametrize("random_state", [0, None])
def test_warm_start_goes_on_with_the_same_folds(estimator_class, data, random_state):
    X, y = data
    model = crossed(estimator_class, warm_start=True, store_oof=True, random_state=random_state)
    first = [rows for rows, _ in model.fit(X, y)._out_of_fold.parts]
    weights = model.net_.module_.linears[0].weight.detach().clone()
    again = [rows for rows, _ in model.fit(X, y)._out_of_fold.parts]
    for ours, theirs in zip(first, again, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    moved = (model.net_.module_.linears[0].weight - weights).abs().flatten(1).max(1).values
    assert (moved > 0).all()
    assert model.calibration_["n_rows"] == len(X)


@pytest.mark.parametrize("change", [{"cv": 3}, {"cv": None}, {"n_members": 2}])
def test_warm_start_cannot_change_the_number_of_networks(estimator_class, data, change):
    X, y = data
    model = crossed(estimator_class, warm_start=True).fit(X, y)
    before = dict(vars(model))
    model.set_params(**change)
    name = estimator_class.__name__
    with pytest.raises(ValueError, match=rf"{name}: warm_start=True goes on with the 5 networks"):
        model.fit(X, y)
    assert vars(model) == {**before, **change}
    assert model.set_params(warm_start=False).fit(X, y).n_folds_ == (change.get("cv", 5) or 0)


def test_warm_start_after_single_passes(estimator_class, data):
    X, y = data
    model = crossed(estimator_class, cv=None, warm_start=True)
    assert model.partial_fit(X, y).n_folds_ == 0
    before = model.log_prob(X, y).mean()
    assert model.set_params(n_iter_no_change=30).fit(X, y).log_prob(X, y).mean() > before


def test_single_passes_move_all_members(estimator_class, data):
    X, y = data
    model = crossed(estimator_class, store_oof=True).fit(X, y)
    weights = model.net_.module_.linears[0].weight.detach().clone()
    report, n_iter = model.calibration_, model.n_iter_
    model.partial_fit(X, y)
    moved = (model.net_.module_.linears[0].weight - weights).abs().flatten(1).max(1).values
    assert (moved > 0).all()
    assert model.calibration_ == report
    assert model.n_folds_ == 5
    assert model.n_iter_ == n_iter + 1
    # They have seen rows that were new to them.
    assert not [name for name in vars(model) if "oof" in name and name != "store_oof"]
    assert not hasattr(model, "_out_of_fold")


def test_single_passes_train_one_network_on_all_rows(estimator_class, data):
    X, y = data
    model = crossed(estimator_class).partial_fit(X, y)
    one = quick(estimator_class).partial_fit(X, y)
    assert len(model.net_.module_.members) == 1
    np.testing.assert_array_equal(outputs(model, X), outputs(one, X))


# ---- Ctrl-C, divergence, failures --------------------------------------------------------------


def test_ctrl_c_keeps_the_best_weights_and_calibrates(estimator_class, data, monkeypatch):
    X, y = data
    step, steps = TrainingRun.step, []

    def interrupted(run, batch):
        steps.append(1)
        if len(steps) == 13:
            raise KeyboardInterrupt
        return step(run, batch)

    monkeypatch.setattr(TrainingRun, "step", interrupted)
    model = crossed(estimator_class, batch_size=32, learning_rate_init=0.01, tol=0.0)
    with pytest.warns(UserWarning, match="training interrupted by the user in epoch 5"):
        model.fit(X, y)
    assert len(steps) == 13
    assert model.n_iter_ == 4
    assert model.calibration_["n_rows"] == len(X)
    monkeypatch.undo()
    with pytest.warns(UserWarning, match="max_iter=4 reached"):
        whole = clone(model).set_params(max_iter=4).fit(X, y)
    np.testing.assert_allclose(outputs(model, X), outputs(whole, X), rtol=1e-5)


def _far_away(X, row):
    far = X.copy()
    far[row] = 1e30
    return far


DIVERGING = {"solver": "sgd", "input_encoding": None, "momentum": 0.0}


def test_a_network_that_diverges_is_left_out(estimator_class, data):
    """Two networks; one alone is trained on a row that is far from the others."""
    X, y = _far_away(data[0], 0), data[1]
    halves = np.array_split(np.arange(len(X)), 2)
    model = crossed(estimator_class, cv=[halves, halves[::-1]], store_oof=True, **DIVERGING)
    model.set_params(early_stopping=False)
    name = estimator_class.__name__
    with pytest.warns(UserWarning, match=rf"{name}: the training of 1 of 2 networks diverged"):
        model.fit(X, y)
    assert model.n_folds_ == 2
    assert len(model.predict_members(X[1:])) == 1
    assert np.isfinite(model.log_prob(X[1:], y[1:])).all()
    # The one that is left has not seen the first half, and nobody else has been asked.
    (rows, members), *others = model._out_of_fold.parts
    assert not others
    np.testing.assert_array_equal(rows, halves[0])
    assert members == [0]
    assert model.calibration_["n_rows"] == 60
    model.set_params(warm_start=True)
    with pytest.raises(ValueError, match="goes on with the 1 networks that there are"):
        model.fit(X, y)


def test_if_all_diverge_the_earlier_fit_stays(estimator_class, data):
    X, y = data
    model = crossed(estimator_class, **DIVERGING).fit(X, y)
    before, expected = dict(vars(model)), outputs(model, X)
    far = _far_away(X, slice(None, None, 7))
    with pytest.raises(ValueError, match=rf"{estimator_class.__name__}: training diverged.*X reac"):
        model.fit(far, y)
    assert vars(model).keys() == before.keys()
    np.testing.assert_array_equal(outputs(model, X), expected)


def test_a_single_pass_must_not_lose_a_member(estimator_class, data):
    X, y = data
    model = crossed(estimator_class, cv=2, **DIVERGING).fit(X, y)
    before = outputs(model, X)
    with pytest.raises(ValueError, match="training diverged"):
        model.partial_fit(_far_away(X, 0), y)
    np.testing.assert_array_equal(outputs(model, X), before)


# ---- the same again ----------------------------------------------------------------------------


def test_the_same_random_state_is_the_same_model(estimator_class, data):
    X, y = data
    model = crossed(estimator_class, store_oof=True)
    first, second = (clone(model).fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(outputs(first, X), outputs(second, X))
    assert first.calibration_ == second.calibration_
    other = clone(model).set_params(random_state=1).fit(X, y)
    assert not np.allclose(outputs(first, X), outputs(other, X))
    refitted = outputs(first.fit(X, y), X)
    np.testing.assert_array_equal(refitted, outputs(second, X))


def test_global_random_numbers_are_left_alone(estimator_class, data):
    np.random.seed(3)  # noqa: NPY002
    torch.manual_seed(3)
    expected = np.random.random(), torch.rand(1).item()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    torch.manual_seed(3)
    crossed(estimator_class, store_oof=True).fit(*data, groups=np.arange(120) // 4)
    assert (np.random.random(), torch.rand(1).item()) == expected  # noqa: NPY002


def test_a_pickle_answers_the_same(estimator_class, data):
    X, y = data
    model = crossed(estimator_class, store_oof=True).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(outputs(again, X), outputs(model, X))
    assert again.n_folds_ == 5
    np.testing.assert_array_equal(
        outputs(again.partial_fit(X, y), X), outputs(model.partial_fit(X, y), X)
    )


@pytest.mark.parametrize("store_oof", [False, True])
def test_a_pickle_has_no_training_rows(estimator_class, store_oof):
    """Eight times the rows: only what is stored of them on demand grows."""
    rng = np.random.default_rng(0)
    sizes = []
    for n_rows in (250, 2000):
        X = rng.standard_normal((n_rows, 50))
        y = (X[:, 0] > 0).astype(int) if estimator_class is DropoutMLPClassifier else X[:, 0]
        model = crossed(estimator_class, store_oof=store_oof, cv=2, batch_size=n_rows // 2)
        sizes.append(len(pickle.dumps(model.fit(X, y))))
    # Two numbers and the row's own number.
    allowed = 1750 * 3 * 8 if store_oof else 0
    assert sizes[1] < sizes[0] + allowed + 2000


# ---- callbacks ---------------------------------------------------------------------------------


def test_a_score_of_held_out_rows_needs_the_same_rows_for_all(two_classes):
    X, y = two_classes
    scoring = skorch.callbacks.EpochScoring("roc_auc", lower_is_better=False)
    model = crossed(DropoutMLPClassifier, callbacks=[scoring])
    message = r"DropoutMLPClassifier: .*EpochScoring.*cross-fitted members have each their own"
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    watched = clone(model).fit(X[:80], y[:80], X_val=X[80:], y_val=y[80:])
    assert len(watched.net_.history[:, "roc_auc"]) == watched.n_iter_
    on_train = skorch.callbacks.EpochScoring("roc_auc", lower_is_better=False, on_train=True)
    trained = model.set_params(callbacks=[on_train]).fit(X, y)
    assert len(trained.net_.history[:, "roc_auc"]) == trained.n_iter_


# ---- groups through scikit-learn ---------------------------------------------------------------


def test_groups_reach_the_network_through_pipelines_and_searches(estimator_class, data):
    X, y = data
    groups = np.random.default_rng(0).integers(20, size=len(X))
    network = crossed(estimator_class, cv=3, store_oof=True)
    with sklearn.config_context(enable_metadata_routing=True):
        asks = clone(network).set_fit_request(groups=True)
        piped = make_pipeline(StandardScaler(), asks).fit(X, y, groups=groups)
        searched = GridSearchCV(asks, {"alpha": [0.1]}, cv=KFold(2)).fit(X, y, groups=groups)
        ignores = clone(network).set_fit_request(groups=False)
        plain = make_pipeline(StandardScaler(), ignores)
        with pytest.raises(TypeError, match="groups"):
            plain.fit(X, y, groups=groups)
    alone = clone(network).fit(X, y, groups=groups)
    for found in (piped[-1], searched.best_estimator_, alone):
        for (rows, _), (expected, _) in zip(
            found._out_of_fold.parts, alone._out_of_fold.parts, strict=True
        ):
            np.testing.assert_array_equal(rows, expected)
            assert not {*groups[rows]} & {*np.delete(groups, rows)}


def test_a_splitter_of_a_search_inside_gets_what_it_asks_for(estimator_class, data):
    X, y = data
    model = crossed(estimator_class, cv=ShuffleSplit(2, test_size=0.3, random_state=0))
    search = GridSearchCV(model, {"alpha": [0.1, 1.0]}, cv=2).fit(X, y)
    assert search.best_estimator_.n_folds_ == 2
