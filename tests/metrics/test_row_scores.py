"""Scores of any fitted model, through what scikit-learn wraps around it."""

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.preprocessing import StandardScaler

import skdropout
from skdropout.decision import FixedReferralClassifier, TunedReferralRegressorCV
from skdropout.metrics._row_scores import (
    classifier_scores,
    regressor_scores,
    settled_classifier_scores,
    settled_regressor_scores,
)
from tests.reference import ONE_NETWORK
from tests.referral_cases import CANCER, linear, network

DIABETES = load_diabetes(return_X_y=True)


def regressor():
    return skdropout.DropoutMLPRegressor(
        (20,),
        learning_rate_init=0.02,
        tol=0.01,
        n_iter_no_change=3,
        random_state=0,
        **ONE_NETWORK,
    )


@pytest.fixture(scope="module")
def fitted():
    return network().fit(*CANCER)


@pytest.mark.parametrize("uncertainty", ["total", "epistemic", "entropy", "max_probability"])
def test_wrappers_pass_the_score_on(fitted, uncertainty):
    X, y = CANCER
    expected = classifier_scores(fitted, X, uncertainty).score
    search = GridSearchCV(network(), {"dropoutmlpclassifier__alpha": [1e-4]}, cv=2).fit(X, y)
    threshold = FixedThresholdClassifier(FrozenEstimator(fitted), threshold=0.2).fit(X, y)
    for wrapper in (FrozenEstimator(fitted), search, threshold):
        np.testing.assert_allclose(
            classifier_scores(wrapper, X, uncertainty).score, expected, rtol=1e-9, atol=1e-12
        )


def test_an_unknown_wrapper_counts_as_a_plain_classifier(fitted):
    X, y = CANCER
    calibrated = CalibratedClassifierCV(FrozenEstimator(fitted)).fit(X, y)
    doubt = 1 - calibrated.predict_proba(X).max(1)
    np.testing.assert_allclose(classifier_scores(calibrated, X, "total").score, doubt)
    with pytest.raises(TypeError, match="CalibratedClassifierCV maps the mean prob"):
        classifier_scores(calibrated, X, "epistemic")


def test_labels_are_those_of_the_wrapper():
    X, y = CANCER
    model = FixedThresholdClassifier(linear(), threshold=0.9, pos_label=1).fit(X, y)
    careful = FixedReferralClassifier(model, threshold=0.5)
    np.testing.assert_array_equal(careful.predict(X), model.predict(X))
    assert (model.predict(X) != model.predict_proba(X).argmax(1)).any()


def test_members_of_an_ensemble_count_as_draws():
    X, y = CANCER
    net = network(dropout=None, n_members=3).fit(X, y)
    draws = net[-1].sample_proba(net[:-1].transform(X), 3)
    np.testing.assert_allclose(
        settled_classifier_scores(net, X, "max_probability"), 1 - draws.max(-1).mean(0), atol=1e-9
    )


def test_scores_are_float64_for_float32_rows(fitted):
    X = CANCER[0].astype(np.float32)
    for uncertainty in ("total", "entropy", "max_probability"):
        assert classifier_scores(fitted, X, uncertainty).score.dtype == np.float64


def test_regressors_through_a_linear_transform_of_the_target():
    X, y = DIABETES
    plain = regressor().fit(X, y)
    wrapped = TransformedTargetRegressor(regressor(), transformer=StandardScaler()).fit(X, y)
    for uncertainty in ("total", "expected_error", "interval_width"):
        ours = regressor_scores(wrapped, X, uncertainty, 0.9)
        np.testing.assert_allclose(ours.prediction, plain.predict(X), rtol=1e-3)
        expected = regressor_scores(plain, X, uncertainty, 0.9).score
        # The interval of the plain one is the mixture's, not that of a normal distribution.
        np.testing.assert_allclose(ours.score, expected, rtol=0.05)


def test_settled_regression_counts_the_noise_only():
    X, y = DIABETES
    model = regressor().fit(X, y)
    parts = model.predict_uncertainty(X)
    expected = {
        "total": parts.aleatoric,
        "aleatoric": parts.aleatoric,
        "epistemic": 0 * parts.aleatoric,
        "expected_error": np.sqrt(parts.aleatoric * 2 / np.pi),
    }
    for uncertainty, settled in expected.items():
        np.testing.assert_allclose(settled_regressor_scores(model, X, uncertainty, 0.9), settled)


def test_intervals_of_the_network_are_its_own():
    X, y = DIABETES
    model = regressor().fit(X, y)
    interval = model.predict_interval(X, 0.8)
    np.testing.assert_allclose(
        regressor_scores(model, X, "interval_width", 0.8).score, interval[:, 1] - interval[:, 0]
    )


def test_what_cannot_be_scored():
    X, y = DIABETES
    two = np.c_[y, -y]
    with pytest.raises(ValueError, match="predicts 2 outputs"):
        regressor_scores(GaussianProcessRegressor(optimizer=None).fit(X, two), X, "total", 0.9)
    with pytest.raises(TypeError, match="Ridge"):
        regressor_scores(TransformedTargetRegressor(Ridge()).fit(X, y), X, "total", 0.9)
    with pytest.raises(ValueError, match="no noise"):
        TunedReferralRegressorCV(
            regressor().set_params(dropout_rate=0.0), min_coverage=0.5, uncertainty="epistemic"
        ).fit(X, y)
