"""scikit-learn's calibration and MAPIE's conformal prediction around the estimators.

Statistical tests: rows are drawn anew from a known distribution with a fixed seed; the shares
are compared by `randomness.assert_calibrated_share`. How much better calibrated probabilities are
is no such comparison: it has a margin.
"""

import numpy as np
import pytest
from mapie.classification import SplitConformalClassifier
from mapie.conformity_scores import AbsoluteConformityScore, StdConformityScore
from mapie.regression import CrossConformalRegressor, SplitConformalRegressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skdropout
from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from skdropout.decision import FixedReferralClassifier
from skdropout.metrics import (
    expected_calibration_error,
    interval_coverage_score,
    interval_score_loss,
)
from tests import randomness
from tests.reference import ONE_NETWORK, quick

LEVELS = [0.5, 0.9]
# Trained for a hundred epochs, whatever the loss says, and believed.
OVERFITTED = {
    **ONE_NETWORK,
    "learning_rate": "constant",
    "learning_rate_init": 0.01,
    "tol": 10.0,
    "n_iter_no_change": 100,
    "random_state": 0,
}


# ---- classes -----------------------------------------------------------------------------------


def labelled_rows(n_rows, n_classes, seed):
    """Labels of which a good third is noise: honest probabilities are far from one."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, 10))
    y = np.digitize(X[:, 0], [-0.5, 0.5] if n_classes == 3 else [0.0])
    noise = rng.random(n_rows) < 0.4
    return X, np.where(noise, rng.integers(n_classes, size=n_rows), y)


@pytest.fixture(scope="module", params=[2, 3])
def overconfident(request):
    """A pipeline that was trained to believe its noisy labels, and fresh rows."""
    network = DropoutMLPClassifier((50,), dropout_rate=0.02, **OVERFITTED)
    model = make_pipeline(StandardScaler(), network).fit(*labelled_rows(300, request.param, 0))
    return model, labelled_rows(1000, request.param, 1), labelled_rows(4000, request.param, 2)


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "temperature"])
def test_calibration_of_a_fitted_pipeline(overconfident, method):
    model, (X, y), (X_new, y_new) = overconfident
    before = expected_calibration_error(y_new, model.predict_proba(X_new))
    assert before > 0.1
    calibrated = CalibratedClassifierCV(FrozenEstimator(model), method=method).fit(X, y)
    after = expected_calibration_error(y_new, calibrated.predict_proba(X_new))
    assert after < before / 2


@pytest.mark.parametrize("method", ["sigmoid", "temperature"])
def test_calibration_with_folds(method):
    """Each fold trains a network of its own, on labels of which a good third is noise."""
    X, y = labelled_rows(300, 2, 0)
    X_new, y_new = labelled_rows(4000, 2, 2)
    network = DropoutMLPClassifier((50,), dropout_rate=0.02, **OVERFITTED)
    before = expected_calibration_error(y_new, network.fit(X, y).predict_proba(X_new))
    calibrated = CalibratedClassifierCV(network, method=method, cv=3).fit(X, y)
    after = expected_calibration_error(y_new, calibrated.predict_proba(X_new))
    assert after < before / 2
    inside = [part.estimator for part in calibrated.calibrated_classifiers_]
    assert [part.predict_uncertainty(X_new[:5]).epistemic.shape for part in inside] == [(5,)] * 3


def test_a_calibrated_classifier_says_why_it_has_no_uncertainty(two_classes):
    X, y = two_classes
    model = FrozenEstimator(quick(DropoutMLPClassifier).fit(X, y))
    calibrated = CalibratedClassifierCV(model).fit(X, y)
    message = "CalibratedClassifierCV maps the mean probabilities.*Ask the networks inside"
    with pytest.raises(TypeError, match=f"predict_uncertainty: {message}"):
        skdropout.predict_uncertainty(calibrated, X)
    referral = FixedReferralClassifier(
        FrozenEstimator(calibrated), threshold=0.3, uncertainty="epistemic"
    )
    with pytest.raises(TypeError, match=rf"uncertainty='epistemic' needs.*{message}"):
        referral.refer(X)
    assert referral.set_params(uncertainty="total").refer(X).shape == y.shape


def test_conformal_sets_hold_what_they_say(overconfident):
    model, (X, y), (X_new, y_new) = overconfident
    conformal = SplitConformalClassifier(model, confidence_level=0.8, prefit=True)
    _, sets = conformal.conformalize(X, y).predict_set(X_new)
    held = sets[np.arange(len(y_new)), y_new, 0].mean()
    randomness.assert_calibrated_share(held, 0.8, len(y), len(y_new))


# ---- numbers -----------------------------------------------------------------------------------


def measured_rows(n_rows, seed):
    """Noise that grows tenfold from left to right."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (n_rows, 6))
    std = 10 ** (X[:, 0] / 2)
    return X, 100 + 10 * X[:, 1] + std * rng.standard_normal(n_rows)


@pytest.fixture(scope="module")
def sure_of_itself():
    """A pipeline that fits its few rows too well, and fresh rows."""
    network = DropoutMLPRegressor((100,), dropout_rate=0.01, **OVERFITTED)
    model = make_pipeline(StandardScaler(), network)
    return model.fit(*measured_rows(60, 0)), measured_rows(1500, 1), measured_rows(4000, 2)


@pytest.mark.parametrize("score", [StdConformityScore, AbsoluteConformityScore])
def test_split_conformal_intervals_hold_what_they_say(sure_of_itself, score):
    model, (X, y), (X_new, y_new) = sure_of_itself
    own = model[-1].predict_interval(model[:-1].transform(X_new), LEVELS)
    assert (interval_coverage_score(y_new, own) < np.array(LEVELS) - 0.1).all()
    conformal = SplitConformalRegressor(
        model, confidence_level=LEVELS, conformity_score=score(), prefit=True
    )
    mean, interval = conformal.conformalize(X, y).predict_interval(X_new)
    np.testing.assert_allclose(mean, model.predict(X_new))
    for held, level in zip(interval_coverage_score(y_new, interval), LEVELS, strict=True):
        randomness.assert_calibrated_share(held, level, len(y), len(y_new))
    losses = [interval_score_loss(y_new, ends, confidence_level=LEVELS) for ends in (interval, own)]
    assert losses[0][1] < losses[1][1]


def test_the_standardized_score_takes_our_deviation(sure_of_itself):
    """Each end lies at the mean plus the deviation times one number for all rows."""
    model, (X, y), (X_new, _) = sure_of_itself
    conformal = SplitConformalRegressor(
        model, confidence_level=0.9, conformity_score=StdConformityScore(), prefit=True
    )
    _, interval = conformal.conformalize(X, y).predict_interval(X_new)
    mean, std = model.predict(X_new, return_std=True)
    factors = (interval[:, :, 0] - mean[:, None]) / std[:, None]
    np.testing.assert_allclose(factors, np.broadcast_to(factors[0], factors.shape), rtol=1e-9)


def test_cross_conformal_intervals_hold_what_they_say():
    X, y = measured_rows(400, 0)
    X_new, y_new = measured_rows(1000, 2)
    model = make_pipeline(StandardScaler(), quick(DropoutMLPRegressor, tol=0.01))
    conformal = CrossConformalRegressor(
        model, confidence_level=0.9, conformity_score=StdConformityScore(), cv=4
    )
    _, interval = conformal.fit_conformalize(X, y).predict_interval(X_new)
    # The plus method promises twice the miss rate and holds the level about.
    held = interval_coverage_score(y_new, interval[:, :, 0])
    randomness.assert_calibrated_share(held, 0.9, len(y), len(y_new))
