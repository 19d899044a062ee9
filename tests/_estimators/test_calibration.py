"""Calibration inside fit: what is chosen, on which rows, and that every prediction follows it."""

import numpy as np
import pytest
from sklearn.base import clone

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from skdropout.metrics import expected_calibration_error
from tests import randomness
from tests.reference import ESTIMATORS, quick, target


def _regression(n_rows=300, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, 3))
    return X, X[:, 0] - X[:, 1] ** 2 + rng.standard_normal(n_rows)


@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_the_model_itself_loses_no_row(estimator_class, two_classes):
    X, y = two_classes
    y = target(estimator_class, y)
    plain, calibrated = (
        quick(estimator_class, calibrate=calibrate).fit(X, y) for calibrate in (False, True)
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
    model = quick(estimator_class, early_stopping=True, calibrate=True, validation_fraction=0.25)
    report = model.fit(X, target(estimator_class, y)).calibration_
    assert report["method"] == "held-out part"
    assert report["n_rows"] == 30


@pytest.mark.parametrize("outputs", [1, 2])
def test_the_scale_multiplies_every_standard_deviation(outputs):
    X, y = _regression()
    y = y if outputs == 1 else np.column_stack([y, -3 * y])
    model = DropoutMLPRegressor(dropout_rate=0.3, max_iter=20, random_state=0).fit(X, y)
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
    held = DropoutMLPRegressor(
        dropout_rate=0.3, max_iter=20, early_stopping=True, n_draws=50, random_state=0
    ).fit(X[:200], y[:200], X_val=X[200:], y_val=y[200:])
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
    options = {"max_iter": 20, "early_stopping": True, "n_draws": 50, "random_state": 0}
    held_out = {"X_val": X[200:], "sample_weight_val": weight}
    model = DropoutMLPRegressor(dropout_rate=0.3, **options)
    report = model.fit(X[:200], y[:200], y_val=y[200:], **held_out).calibration_
    lower, upper = model.predict_interval(X[200:], 0.5).T
    inside = (y[200:] >= lower) & (y[200:] <= upper)
    assert report["coverage_after"][0.5] == pytest.approx(np.average(inside, weights=weight))
    log_prob = np.average(model.log_prob(X[200:], y[200:]), weights=weight)
    assert report["log_prob_after"] == pytest.approx(log_prob, abs=1e-3)
    classes = (y > 0).astype(int)
    network = DropoutMLPClassifier(calibrate=True, learning_rate="cooldown", **options)
    report = network.fit(X[:200], classes[:200], y_val=classes[200:], **held_out).calibration_
    proba = network.predict_proba(X[200:].astype(np.float32))
    error = expected_calibration_error(classes[200:], proba, sample_weight=weight)
    assert report["ece_after"] == pytest.approx(error, abs=1e-6)


@pytest.mark.parametrize("data", ["two_classes", "three_classes"])
def test_the_temperature_is_in_every_probability(request, data):
    X, y = request.getfixturevalue(data)
    options = {"dropout_rate": 0.3, "max_iter": 60, "learning_rate_init": 0.02, "random_state": 0}
    plain = DropoutMLPClassifier(n_draws=20, tol=0.05, **options).fit(X, y)
    model = clone(plain).set_params(calibrate=True).fit(X, y)
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
    model = DropoutMLPClassifier(
        tol=0.05, early_stopping=True, calibrate=True, n_draws=50, random_state=0
    ).fit(X[::2], y[::2], X_val=X[1::2], y_val=y[1::2])
    error = expected_calibration_error(y[1::2], model.predict_proba(X[1::2].astype(np.float32)))
    assert model.calibration_["ece_after"] == pytest.approx(error, abs=1e-6)


def test_too_few_rows_and_counts_are_left_as_they_are():
    X, y = _regression(9)
    assert quick(DropoutMLPRegressor, calibrate=True).fit(X, y).calibration_ is None
    X, y = _regression(50)
    counts = quick(DropoutMLPRegressor, calibrate=True, loss="poisson").fit(X, np.round(y**2))
    assert counts.calibration_ is None


def test_partial_fit_keeps_the_calibration_of_the_fit():
    X, y = _regression(60)
    model = quick(DropoutMLPRegressor, calibrate=True)
    assert model.partial_fit(X, y).calibration_ is None
    report = model.fit(X, y).calibration_
    assert model.partial_fit(X, y).calibration_ == report


def test_rows_of_weight_zero_take_no_part():
    X, y = _regression(100)
    weight = np.repeat([1.0, 0.0], [80, 20])
    model = quick(DropoutMLPRegressor, calibrate=True)
    weighted = clone(model).fit(X, y, sample_weight=weight).calibration_
    assert weighted == clone(model).fit(X[:80], y[:80]).calibration_


def test_intervals_hold_what_they_say_on_new_rows():
    """Statistical: 400 rows of a known source have set them, and 1,000 are held."""
    X, y = _regression(1400)
    model = DropoutMLPRegressor(dropout_rate=0.2, max_iter=60, random_state=0).fit(X[:400], y[:400])
    lower, upper = model.predict_interval(X[400:], 0.9).T
    held = ((y[400:] >= lower) & (y[400:] <= upper)).mean()
    randomness.assert_calibrated_share(held, 0.9, 400, 1000)
