"""Calibration inside fit: what is chosen, on which rows, and that every prediction follows it."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from scipy.stats import norm
from sklearn.base import clone
from sklearn.model_selection import RepeatedKFold, TimeSeriesSplit

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from skdropout._estimators import calibration
from skdropout.metrics import expected_calibration_error
from tests import randomness
from tests.reference import (
    CROSS_FITTED,
    ESTIMATORS,
    ONE_NETWORK,
    fitting_of,
    function_means,
    quick,
    target,
)

HELD_OUT = {"cv": None, "early_stopping": True, "calibrate": True}


def _regression(n_rows=300, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, 3))
    return X, X[:, 0] - X[:, 1] ** 2 + rng.standard_normal(n_rows)


def _only(model, members):
    """The model with some of its members, and without calibration."""
    some = clone(model).set_params(calibrate=False)
    some.__dict__.update({k: v for k, v in vars(model).items() if k not in model.get_params()})
    some.net_, some.calibration_ = model.net_.select(members), None
    return some


def _with_the_spread_of_others(own, others):
    """Draws ``(n_draws, rows, ...)``, in turns as far off as one of the other members is."""
    means = np.stack([draws.mean(0) for draws in others])
    deviations = enumerate(means - means.mean(0))
    return np.concatenate([own[k :: len(others)] + deviation for k, deviation in deviations])


def _draws_of_members(model, X):
    """Means of each network's draws: five arrays ``(50, rows, n_outputs)``."""
    members = [_only(model, [member]).set_params(n_draws=50) for member in range(5)]
    return [np.moveaxis(function_means(member, X.astype(np.float32)), 1, 0) for member in members]


def _as_near_as_to_all(model, parts, X, y, weight):
    """Targets as far from who has not seen them as they are likely to be from the mean of all."""
    errors, excess = np.zeros((2, *y.shape))
    for fold, (rows, _) in enumerate(parts):
        draws = _draws_of_members(model, X[rows])
        means = np.stack([own.mean(0) for own in draws]).reshape(5, *y[rows].shape)
        errors[rows] = y[rows] - means[fold]
        # The variance of one, less that of the mean of five.
        excess[rows] = np.delete(means, fold, 0).var(0, ddof=1) * (1 - 1 / 5)
    smaller = np.average(excess, 0, weight) / np.average(errors**2, 0, weight)
    assert (smaller < 0.75).all()
    return y - errors + errors * np.sqrt(1 - smaller)


def _inside(model, fold, X, y, factor, level):
    """Whether scaled intervals hold targets: of a fold's member with the spread of the others."""
    draws = _draws_of_members(model, X)
    means = _with_the_spread_of_others(draws[fold], draws[:fold] + draws[fold + 1 :])
    centre, noise = means.mean(0), _only(model, [fold]).noise_std_
    z = (y.reshape(centre.shape) - centre - factor * (means - centre)) / (factor * noise)
    return np.abs(2 * norm.cdf(z).mean(0) - 1) <= level


# ---- which rows --------------------------------------------------------------------------------


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_all_rows_calibrate_and_no_network_is_trained_for_it(
    estimator_class, two_classes, early_stopping
):
    X, y = two_classes
    y = target(estimator_class, y)
    plain, calibrated = (
        quick(estimator_class, cv=5, early_stopping=early_stopping, calibrate=calibrate).fit(X, y)
        for calibrate in (False, True)
    )
    assert plain.calibration_ is None
    assert calibrated.calibration_["method"] == "out-of-fold"
    assert calibrated.calibration_["n_rows"] == len(X)
    assert calibrated.loss_curve_ == plain.loss_curve_
    if estimator_class is DropoutMLPRegressor:
        np.testing.assert_allclose(calibrated.predict(X), plain.predict(X), rtol=1e-9)


@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_early_stopping_has_rows_to_calibrate_on(estimator_class, two_classes):
    X, y = two_classes
    model = quick(estimator_class, **HELD_OUT, validation_fraction=0.25)
    report = model.fit(X, target(estimator_class, y)).calibration_
    assert report["method"] == "held-out part"
    assert report["n_rows"] == 30


@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_one_network_on_all_rows_has_nothing_to_be_calibrated_on(estimator_class, two_classes):
    X, y = two_classes
    model = quick(estimator_class, calibrate=True).fit(X, target(estimator_class, y))
    assert model.calibration_ is None
    assert model.n_folds_ == 0


@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_a_large_table_is_calibrated_on_some_of_its_rows(estimator_class, two_classes, monkeypatch):
    monkeypatch.setattr(calibration, "_ENOUGH_ROWS", 50)
    X, y = two_classes
    model = quick(estimator_class, **CROSS_FITTED).fit(X, target(estimator_class, y))
    assert model.calibration_["n_rows"] == 50
    again = clone(model).fit(X, target(estimator_class, y))
    assert again.calibration_ == model.calibration_
    model.set_params(cv=None).fit(X, target(estimator_class, y), X_val=X, y_val=y)
    assert model.calibration_["n_rows"] == 50


def test_five_thousand_rows_are_enough():
    X, y = _regression(5600)
    model = quick(DropoutMLPRegressor, cv=2, calibrate=True, max_iter=1, batch_size=700)
    with pytest.warns(UserWarning, match="max_iter=1"):
        assert model.fit(X, y).calibration_["n_rows"] == 5000


def test_too_few_rows_and_counts_are_left_as_they_are():
    X, y = _regression(9)
    model = quick(DropoutMLPRegressor, **CROSS_FITTED).fit(X, y)
    assert (model.n_folds_, model.calibration_) == (2, None)
    X, y = _regression(50)
    counts = quick(DropoutMLPRegressor, **CROSS_FITTED, loss="poisson").fit(X, np.round(y**2))
    assert counts.calibration_ is None


def test_partial_fit_keeps_the_calibration_of_the_fit():
    X, y = _regression(60)
    model = quick(DropoutMLPRegressor, **CROSS_FITTED)
    assert model.partial_fit(X, y).calibration_ is None
    report = model.fit(X, y).calibration_
    assert model.partial_fit(X, y).calibration_ == report


def test_rows_of_weight_zero_take_no_part():
    X, y = _regression(100)
    weight = np.repeat([1.0, 0.0], [80, 20])
    model = quick(DropoutMLPRegressor, **CROSS_FITTED)
    weighted = clone(model).fit(X, y, sample_weight=weight).calibration_
    assert weighted == clone(model).fit(X[:80], y[:80]).calibration_


# ---- what is chosen ----------------------------------------------------------------------------


def test_the_temperature_is_the_likeliest_for_rows_new_to_members(three_classes):
    """Found by hand from what each member says about its fold in the draws that calibrate."""
    X, y = three_classes
    model = quick(DropoutMLPClassifier, **CROSS_FITTED, learning_rate_init=0.02, n_draws=250)
    model.fit(X, y)
    folds = [held.numbers for held in fitting_of(clone(model), X, y).held]

    logits = []
    for fold, rows in enumerate(folds):
        # In float32, as rows are trained on. Of logits softmax sees differences only.
        x = X[rows].astype(np.float32)
        draws = [
            np.log(_only(model, [member]).sample_proba(x, 50).astype(float)) for member in range(5)
        ]
        logits.append(_with_the_spread_of_others(draws[fold], draws[:fold] + draws[fold + 1 :]))

    def log_prob(temperature):
        values = []
        for rows, own in zip(folds, logits, strict=True):
            proba = softmax(own / temperature, -1).mean(0)
            values.append(np.log(proba[np.arange(len(rows)), y[rows]]))
        return np.concatenate(values).mean()

    def minus_log_posterior(log_temperature):
        """Before any row was seen its logarithm is normal, with a standard deviation of a half."""
        return (log_temperature / 0.5) ** 2 / 2 - len(y) * log_prob(np.exp(log_temperature))

    found = minimize_scalar(minus_log_posterior, bounds=(-3, 3), method="bounded")
    report = model.calibration_
    assert report["temperature"] == pytest.approx(np.exp(found.x), rel=1e-3)
    assert report["log_prob_before"] == pytest.approx(log_prob(1.0), abs=1e-5)
    assert report["log_prob_after"] == pytest.approx(log_prob(report["temperature"]), abs=1e-5)


@pytest.mark.parametrize("outputs", [1, 2])
def test_the_scale_makes_intervals_hold_their_share_of_rows_new_to_members(outputs):
    X, y = _regression()
    y = y if outputs == 1 else np.column_stack([y, -3 * y + X[:, 2]])
    model = quick(DropoutMLPRegressor, **CROSS_FITTED, n_draws=250, dropout_rate=0.3).fit(X, y)
    parts = _parts(model, X, y, np.ones(len(y)), None)
    scale, levels = model.calibration_["scale"], (0.5, 0.9, 0.95)
    near = _as_near_as_to_all(model, parts, X, y, None)

    def held(factor):
        inside = [
            [_inside(model, fold, X[rows], near[rows], factor, level) for level in levels]
            for fold, (rows, _) in enumerate(parts)
        ]
        return np.concatenate(inside, 1).mean(1).T.reshape(-1, 3)

    assert (held(np.multiply(scale, 1.001))[:, 1] >= 0.9).all()
    assert (held(np.multiply(scale, 0.999))[:, 1] <= 0.9).all()
    after = [model.calibration_["coverage_after"][level] for level in levels]
    np.testing.assert_allclose(held(scale).mean(0), after, atol=0.004)


def test_rows_count_for_what_they_weigh_in_whichever_fold_they_are():
    """Patients of one fold weigh fifty times as much, and their values are much more spread."""
    X, y = _regression()
    groups = np.arange(300) // 60
    weight, y = np.where(groups == 2, 50.0, 1.0), np.where(groups == 2, 5 * y, y)
    model = quick(DropoutMLPRegressor, **CROSS_FITTED, n_draws=250)
    report = model.fit(X, y, weight, groups=groups).calibration_
    parts, inside = _parts(model, X, y, weight, groups), np.empty(300)
    near = _as_near_as_to_all(model, parts, X, y, weight)
    for rows, members in parts:
        inside[rows] = _inside(model, *members, X[rows], near[rows], report["scale"], 0.9)[:, 0]
    # The scale puts one row on the edge of its interval, where rounding decides.
    one_row = 50 / weight.sum()
    expected = np.average(inside, weights=weight)
    assert report["coverage_after"][0.9] == pytest.approx(expected, abs=1.01 * one_row)
    assert report["coverage_after"][0.9] == pytest.approx(0.9, abs=one_row)


def _parts(model, *data):
    """Rows of each fold, and who has not seen them."""
    X, y, weight, groups = data
    again = clone(model).set_params(store_oof=True).fit(X, y, weight, groups=groups)
    return again._out_of_fold.parts


@pytest.mark.parametrize("outputs", [1, 2])
def test_the_scale_multiplies_every_standard_deviation(outputs):
    X, y = _regression()
    y = y if outputs == 1 else np.column_stack([y, -3 * y])
    model = quick(DropoutMLPRegressor, **CROSS_FITTED, dropout_rate=0.3).fit(X, y)
    scale = model.calibration_["scale"]
    assert np.shape(scale) == (() if outputs == 1 else (2,))
    plain = clone(model).set_params(calibrate=False).fit(X, y)
    got, raw = model.predict_uncertainty(X), plain.predict_uncertainty(X)
    np.testing.assert_allclose(got.mean, raw.mean, atol=1e-12)
    np.testing.assert_allclose(got.epistemic, raw.epistemic * np.square(scale))
    np.testing.assert_allclose(got.aleatoric, raw.aleatoric * np.square(scale))
    np.testing.assert_allclose(model.noise_std_, plain.noise_std_ * scale)
    np.testing.assert_array_equal(got.total, got.epistemic + got.aleatoric)


def test_the_report_is_what_a_user_would_compute():
    X, y = _regression()
    model = DropoutMLPRegressor(dropout_rate=0.3, max_iter=20, random_state=0)
    model.fit(X[:200], y[:200])
    report = model.calibration_
    assert abs(report["coverage_after"][0.9] - 0.9) <= 0.005
    assert set(report["coverage_after"]) == {0.5, 0.9, 0.95}
    held = clone(model).set_params(cv=None, n_draws=50)
    held.fit(X[:200], y[:200], X_val=X[200:], y_val=y[200:])
    report = held.calibration_
    lower, upper = held.predict_interval(X[200:]).T
    inside = ((y[200:] >= lower) & (y[200:] <= upper)).mean()
    assert report["coverage_after"][0.9] == pytest.approx(inside)
    assert report["log_prob_after"] == pytest.approx(
        held.log_prob(X[200:], y[200:]).mean(), abs=1e-3
    )


def test_the_report_weighs_rows_as_the_choice_does():
    X, y = _regression()
    weight = np.random.default_rng(0).uniform(0.1, 3, 100)
    options = {"max_iter": 20, "n_draws": 50, "random_state": 0}
    held_out = {"X_val": X[200:], "sample_weight_val": weight}
    model = DropoutMLPRegressor(dropout_rate=0.3, **options)
    report = model.fit(X[:200], y[:200], y_val=y[200:], **held_out).calibration_
    lower, upper = model.predict_interval(X[200:], 0.5).T
    inside = (y[200:] >= lower) & (y[200:] <= upper)
    assert report["coverage_after"][0.5] == pytest.approx(np.average(inside, weights=weight))
    log_prob = np.average(model.log_prob(X[200:], y[200:]), weights=weight)
    assert report["log_prob_after"] == pytest.approx(log_prob, abs=1e-3)
    classes = (y > 0).astype(int)
    network = DropoutMLPClassifier(learning_rate="cooldown", **options)
    report = network.fit(X[:200], classes[:200], y_val=classes[200:], **held_out).calibration_
    proba = network.predict_proba(X[200:].astype(np.float32))
    error = expected_calibration_error(classes[200:], proba, sample_weight=weight)
    assert report["ece_after"] == pytest.approx(error, abs=1e-6)


@pytest.mark.parametrize("cross_fit", [False, True])
@pytest.mark.parametrize("data", ["two_classes", "three_classes"])
def test_the_temperature_is_in_every_probability(request, data, cross_fit):
    X, y = request.getfixturevalue(data)
    options = {"dropout_rate": 0.3, "max_iter": 60, "learning_rate_init": 0.02, "random_state": 0}
    how = ONE_NETWORK | ({"cv": 5} if cross_fit else {})
    plain = DropoutMLPClassifier(n_draws=20, tol=0.05, **options, **how)
    # Rows of its own only to be calibrated on.
    given = {} if cross_fit else {"X_val": X[1::2], "y_val": y[1::2]}
    train = (X, y) if cross_fit else (X[::2], y[::2])
    model = clone(plain).set_params(calibrate=True).fit(*train, **given)
    plain.fit(*train)
    temperature = model.calibration_["temperature"]
    assert temperature > 1.05, "a fit to few rows is too sure"
    draws = plain.sample_proba(X, 20)
    powers = draws ** (1 / temperature)
    expected = powers / powers.sum(-1, keepdims=True)
    np.testing.assert_allclose(model.sample_proba(X, 20), expected, rtol=1e-5, atol=1e-7)
    proba, std = model.predict_proba(X, return_std=True)
    np.testing.assert_allclose(proba, expected.mean(0), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(std, expected.std(0), rtol=1e-4, atol=1e-7)
    own = proba[np.arange(len(y)), y]
    np.testing.assert_allclose(model.log_prob(X, y), np.log(own), rtol=1e-4, atol=1e-6)
    for measure in ("variance", "entropy"):
        got = model.predict_uncertainty(X, measure=measure)
        np.testing.assert_allclose(got.mean, proba)
        np.testing.assert_array_equal(got.total, got.epistemic + got.aleatoric)
    report = model.calibration_
    assert report["log_prob_after"] > report["log_prob_before"]
    assert report["ece_after"] != report["ece_before"]


def test_the_calibration_error_is_that_of_the_metric(three_classes):
    X, y = three_classes
    model = DropoutMLPClassifier(tol=0.05, n_draws=50, random_state=0)
    model.fit(X[::2], y[::2], X_val=X[1::2], y_val=y[1::2])
    error = expected_calibration_error(y[1::2], model.predict_proba(X[1::2].astype(np.float32)))
    assert model.calibration_["ece_after"] == pytest.approx(error, abs=1e-6)


def test_intervals_hold_what_they_say_on_new_rows():
    """Statistical: 400 rows of a known source have set them, and 1,000 are held."""
    X, y = _regression(1400)
    model = DropoutMLPRegressor(dropout_rate=0.2, max_iter=60, random_state=0).fit(X[:400], y[:400])
    lower, upper = model.predict_interval(X[400:], 0.9).T
    held = ((y[400:] >= lower) & (y[400:] <= upper)).mean()
    randomness.assert_calibrated_share(held, 0.9, 400, 1000)


# ---- what members say about rows that are new to them ------------------------------------------


def _told(model):
    """Out-of-fold attributes, as columns."""
    if isinstance(model, DropoutMLPClassifier):
        return model.oof_proba_
    columns = [model.oof_mean_, model.oof_std_]
    return np.column_stack([part.reshape(len(part), -1) for part in columns])


def _asked(model, X):
    """The same, asked of a model."""
    if isinstance(model, DropoutMLPClassifier):
        return model.predict_proba(X)
    if model.n_draws:
        parts = model.predict(X, return_std=True)
    else:
        # One network without noise has no other deviation than the observations'.
        mean = model.predict(X)
        parts = mean, np.broadcast_to(model.noise_std_, mean.shape)
    return np.column_stack([part.reshape(len(X), -1) for part in parts])


KINDS = {
    "two classes": (DropoutMLPClassifier, lambda X, y: y, {}),
    "three classes": (DropoutMLPClassifier, lambda X, y: np.digitize(X[:, 0], [-1, 1]), {}),
    "labels": (DropoutMLPClassifier, lambda X, y: (X[:, :3] > 0).astype(int), {}),
    "numbers": (DropoutMLPRegressor, lambda X, y: 7 + 3 * X[:, 0] + X[:, 1], {}),
    "two outputs": (DropoutMLPRegressor, lambda X, y: 5 * X[:, :2], {}),
    "one constant": (DropoutMLPRegressor, lambda X, y: X[:, :2] * [1, 0], {}),
    "noise": (DropoutMLPRegressor, lambda X, y: X[:, 0], {"noise": "heteroscedastic"}),
    "counts": (DropoutMLPRegressor, lambda X, y: y + 1, {"loss": "poisson"}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"n_members": 2, "n_draws": 40}, {"n_draws": 0}], ids=str)
@pytest.mark.filterwarnings("ignore:.*is constant:UserWarning")
@pytest.mark.filterwarnings("ignore:.*are constant:UserWarning")
def test_out_of_fold_answers_are_those_of_the_folds_members(two_classes, kind, options):
    X, y = two_classes
    estimator_class, make, own = KINDS[kind]
    if options == {"n_draws": 0} and kind in ("counts", "noise"):
        options = {"n_draws": 1}
    model = quick(estimator_class, **CROSS_FITTED, store_oof=True, **options, **own)
    model.fit(X, make(X, y))
    held = fitting_of(clone(model), X, make(X, y)).held
    told, calibration_ = _told(model), model.calibration_
    assert len(told) == len(X)
    for part in held:
        # In float32, as rows are trained on; each has its share of the draws of one fold.
        alone = _only(model, list(part.members))
        alone.calibration_ = calibration_
        expected = _asked(alone, X[part.numbers].astype(np.float32))
        np.testing.assert_allclose(told[part.numbers], expected, rtol=1e-5, atol=1e-6)
    assert np.isfinite(told).all()


@pytest.mark.parametrize("options", [{"n_draws": "auto"}, {"inference": "moments"}], ids=str)
@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_out_of_fold_answers_are_made_by_a_hundred_draws(two_classes, estimator_class, options):
    X, y = two_classes
    y = target(estimator_class, y)
    model, plain = (quick(estimator_class, cv=5, store_oof=True, **how) for how in (options, {}))
    np.testing.assert_array_equal(_told(model.fit(X, y)), _told(plain.fit(X, y)))


@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_rows_that_are_in_no_fold_have_no_answer(estimator_class, two_classes):
    X, y = two_classes[0], target(estimator_class, two_classes[1])
    splitter = TimeSeriesSplit(3)
    model = quick(estimator_class, **CROSS_FITTED, store_oof=True).set_params(cv=splitter)
    told = _told(model.fit(X, y))
    asked = np.concatenate([held for _, held in splitter.split(X)])
    assert np.isnan(np.delete(told, asked, 0)).all()
    assert np.isfinite(told[asked]).all()


@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_rows_without_weight_have_no_answer(estimator_class, two_classes):
    X, y = two_classes[0], target(estimator_class, two_classes[1])
    used = np.arange(len(X)) % 4 > 0
    model = quick(estimator_class, **CROSS_FITTED, store_oof=True)
    told = _told(clone(model).fit(X, y, sample_weight=used.astype(float)))
    assert np.isnan(told[~used]).all()
    np.testing.assert_array_equal(told[used], _told(clone(model).fit(X[used], y[used])))


@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_a_row_in_several_folds_has_the_mean_of_what_is_said(estimator_class, two_classes):
    X, y = two_classes[0], target(estimator_class, two_classes[1])
    splitter = RepeatedKFold(n_splits=2, n_repeats=3, random_state=0)
    model = quick(estimator_class, **CROSS_FITTED, store_oof=True).set_params(cv=splitter)
    told = _told(model.fit(X, y))
    means, variances = np.zeros((3, 120, 2)), np.zeros((3, 120))
    for number, (_, held) in enumerate(splitter.split(X)):
        alone = _only(model, [number])
        alone.calibration_ = model.calibration_
        answer = _asked(alone, X[held].astype(np.float32))
        means[number // 2, held] = answer
        variances[number // 2, held] = answer[:, 1] ** 2
    if estimator_class is DropoutMLPClassifier:
        np.testing.assert_allclose(told, means.mean(0), rtol=1e-5)
        return
    np.testing.assert_allclose(told[:, 0], means[..., 0].mean(0), rtol=1e-5, atol=1e-6)
    # The variance of their mixture.
    expected = np.sqrt(variances.mean(0) + means[..., 0].var(0))
    np.testing.assert_allclose(told[:, 1], expected, rtol=1e-5)


@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_one_network_answers_for_the_part_that_was_held_out(estimator_class, two_classes):
    X, y = two_classes[0], target(estimator_class, two_classes[1])
    model = quick(estimator_class, **HELD_OUT, store_oof=True).fit(X, y)
    told = _told(model)
    (part,) = fitting_of(clone(model), X, y).held
    np.testing.assert_allclose(
        told[part.numbers], _asked(model, X[part.numbers].astype(np.float32)), rtol=1e-6
    )
    assert np.isnan(np.delete(told, part.numbers, 0)).all()


@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_answers_are_stored_on_demand_only(estimator_class, two_classes):
    X, y = two_classes[0], target(estimator_class, two_classes[1])

    def stored(model):
        return [name for name in vars(model) if "oof" in name and name != "store_oof"]

    model = quick(estimator_class, **CROSS_FITTED)
    assert not stored(model.fit(X, y))
    assert stored(model.set_params(store_oof=True).fit(X, y))
    # Rows of the user's own are no rows of X.
    assert not stored(model.fit(X, y, X_val=X, y_val=y))
    model.fit(X, y)
    assert not stored(model.set_params(store_oof=False).fit(X, y))
    assert not hasattr(model, "_out_of_fold")
