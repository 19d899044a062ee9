"""Scorers of predictive distributions: the numbers, the wrappers, and searches that use them."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import BayesianRidge, LinearRegression, LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor, metrics
from skdropout.decision import FixedReferralClassifier, FixedReferralRegressor
from tests.reference import ONE_NETWORK, function_means, quick

OF_REGRESSORS = [
    metrics.log_predictive_density_scorer,
    metrics.neg_crps_scorer,
    metrics.neg_interval_score_scorer,
]
OF_CLASSIFIERS = [
    metrics.log_predictive_density_scorer,
    metrics.neg_brier_scorer,
    metrics.neg_expected_calibration_error_scorer,
]


@pytest.fixture(scope="module")
def regressor(real_target):
    return quick(DropoutMLPRegressor, dropout_rate=0.2).fit(*real_target)


@pytest.fixture(scope="module")
def classifier(three_classes):
    return quick(DropoutMLPClassifier, dropout_rate=0.2).fit(*three_classes)


# ---- the numbers -------------------------------------------------------------------------------


def test_scores_of_the_regressor_are_the_metrics(regressor, real_target):
    X, y = real_target
    density = metrics.log_predictive_density_scorer(regressor, X, y)
    assert density == pytest.approx(regressor.log_prob(X, y).mean())
    interval = metrics.interval_score_loss(y, regressor.predict_interval(X))
    assert metrics.neg_interval_score_scorer(regressor, X, y) == pytest.approx(-interval)
    half = metrics.make_interval_score_scorer(0.5)
    expected = metrics.interval_score_loss(
        y, regressor.predict_interval(X, 0.5), confidence_level=0.5
    )
    assert half(regressor, X, y) == pytest.approx(-expected)
    assert repr(half) == "make_interval_score_scorer(confidence_level=0.5)"


def test_crps_of_the_regressor_is_that_of_its_own_functions(regressor, real_target):
    X, y = real_target
    means = function_means(regressor, X)
    expected = metrics.crps_loss(y, means[..., 0].T, regressor.noise_std_)
    assert regressor.crps(X, y).shape == y.shape
    assert metrics.neg_crps_scorer(regressor, X, y) == pytest.approx(-expected, rel=1e-5)


def test_scores_of_the_classifier_are_the_metrics(classifier, three_classes):
    X, y = three_classes
    proba = classifier.predict_proba(X)
    density, brier, error = (score(classifier, X, y) for score in OF_CLASSIFIERS)
    assert density == pytest.approx(-log_loss(y, proba))
    assert brier == pytest.approx(-brier_score_loss(y, proba))
    assert error == pytest.approx(-metrics.expected_calibration_error(y, proba))
    few = metrics.make_calibration_error_scorer(n_bins=5, strategy="quantile")
    assert few(classifier, X, y) == pytest.approx(
        -metrics.expected_calibration_error(y, proba, n_bins=5, strategy="quantile")
    )


def test_a_part_without_one_of_the_classes_is_scored(classifier, three_classes):
    X, y = three_classes
    some = y < 2
    for scorer in OF_CLASSIFIERS:
        assert np.isfinite(scorer(classifier, X[some], y[some]))


def test_other_models_are_scored_by_what_they_say(real_target, three_classes):
    X, y = real_target
    for model in (BayesianRidge(), GaussianProcessRegressor(alpha=1.0)):
        mean, std = model.fit(X, y).predict(X, return_std=True)
        ends = mean[:, None] + std[:, None] * 1.6448536269514722 * np.array([-1, 1])
        density, crps, interval = (scorer(model, X, y) for scorer in OF_REGRESSORS)
        assert density == pytest.approx(metrics.log_predictive_density_score(y, mean, std))
        assert crps == pytest.approx(-metrics.crps_loss(y, mean, std))
        assert interval == pytest.approx(-metrics.interval_score_loss(y, ends))
    X, y = three_classes
    model = LogisticRegression().fit(X, y)
    expected = -log_loss(y, model.predict_proba(X))
    assert metrics.log_predictive_density_scorer(model, X, y) == pytest.approx(expected)


# ---- wrappers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scorer", OF_REGRESSORS, ids=repr)
def test_wrappers_of_a_regressor_score_as_what_is_inside(scorer, regressor, real_target):
    X, y = real_target
    expected = scorer(regressor, X, y)
    # A scaler that was fitted to what changes nothing.
    pipe = make_pipeline(FunctionTransformer(), FrozenEstimator(regressor)).fit(X, y)
    referring = FixedReferralRegressor(FrozenEstimator(regressor), threshold=1.0)
    for wrapped in (FrozenEstimator(regressor), pipe, referring):
        assert scorer(wrapped, X, y) == pytest.approx(expected), wrapped
    assert scorer(pipe, pd.DataFrame(X), pd.Series(y)) == pytest.approx(expected)


@pytest.mark.parametrize("scorer", OF_CLASSIFIERS, ids=repr)
def test_wrappers_of_a_classifier_score_as_what_is_inside(scorer, classifier, three_classes):
    X, y = three_classes
    pipe = make_pipeline(FunctionTransformer(), FrozenEstimator(classifier)).fit(X, y)
    referring = FixedReferralClassifier(FrozenEstimator(classifier), threshold=0.1)
    for wrapped in (FrozenEstimator(classifier), pipe, referring):
        assert scorer(wrapped, X, y) == pytest.approx(scorer(classifier, X, y)), wrapped


@pytest.mark.parametrize("scorer", OF_REGRESSORS, ids=repr)
@pytest.mark.parametrize("scale", [10.0, -10.0])
@pytest.mark.parametrize("data", ["real_target", "two_targets"])
def test_a_linear_target_transform_is_scored_in_the_units_of_y(request, scorer, scale, data):
    """A model of ``10 y + 5``, or of ``5 - 10 y``, is the model of y, but for rounding."""
    X, y = request.getfixturevalue(data)
    model = quick(DropoutMLPRegressor, dropout_rate=0.2)
    inner = quick(DropoutMLPRegressor, dropout_rate=0.2).fit(X, scale * y + 5)
    wrapped = TransformedTargetRegressor(
        model, func=lambda y: scale * y + 5, inverse_func=lambda t: (t - 5) / scale
    ).fit(X, y)
    n_outputs = 1 if y.ndim == 1 else y.shape[1]
    expected = scorer(inner, X, scale * y + 5)
    if scorer is metrics.log_predictive_density_scorer:
        expected += n_outputs * np.log(abs(scale))
    else:
        expected /= abs(scale)
    assert scorer(wrapped, X, y) == pytest.approx(expected, rel=1e-6)


def test_a_logarithm_of_the_target_is_an_error_for_the_crps(real_target):
    X, y = real_target
    wrapped = TransformedTargetRegressor(
        quick(DropoutMLPRegressor), func=np.log, inverse_func=np.exp
    ).fit(X, np.abs(y) + 1)
    with pytest.raises(ValueError, match=r"scorer: the target transform .* is not linear"):
        metrics.neg_crps_scorer(wrapped, X, np.abs(y) + 1)


@pytest.mark.parametrize("scorer", [*OF_REGRESSORS, *OF_CLASSIFIERS[1:]], ids=repr)
def test_a_model_that_says_nothing_is_a_type_error(scorer, real_target):
    X, y = real_target
    with pytest.raises(TypeError, match=r"scorer: .*LinearRegression"):
        scorer(LinearRegression().fit(X, y), X, y)


@pytest.mark.parametrize("scorer", OF_REGRESSORS[1:], ids=repr)
def test_a_classifier_has_no_crps(scorer, classifier, three_classes):
    with pytest.raises(TypeError, match="scorer: DropoutMLPClassifier does not say"):
        scorer(classifier, *three_classes)


def test_a_bad_level():
    with pytest.raises(ValueError, match=r"confidence_level must be in \(0, 1\), got 90"):
        metrics.make_interval_score_scorer(90)


# ---- searches ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scorer", OF_REGRESSORS, ids=repr)
def test_a_search_chooses_for_uncertainty(scorer):
    """A rate of 0.8 makes the deviation much too wide on rows without noise; 0.02 does not.

    R^2 of the two is close; a search for uncertainty sees the difference.
    """
    rng = np.random.default_rng(0)
    X = rng.standard_normal((150, 2))
    y = X @ [1.0, -1.0] + 0.1 * rng.standard_normal(150)
    network = DropoutMLPRegressor(
        (20,),
        tol=10.0,
        n_iter_no_change=60,
        random_state=0,
        **ONE_NETWORK,
    )
    pipe = make_pipeline(StandardScaler(), network)
    grid = {"dropoutmlpregressor__dropout_rate": [0.02, 0.8]}
    search = GridSearchCV(pipe, grid, scoring=scorer, cv=2).fit(X, y)
    assert search.best_params_ == {"dropoutmlpregressor__dropout_rate": 0.02}
    assert search.score(X, y) == pytest.approx(scorer(search.best_estimator_, X, y))
    assert scorer(search, X, y) == pytest.approx(search.score(X, y))


@pytest.mark.parametrize("scorer", OF_CLASSIFIERS, ids=repr)
def test_a_search_over_a_classifier_in_a_pipeline(scorer, three_classes):
    """Targets are noise: honest probabilities are near a third, an overfitted network's are not."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((120, 10)), rng.integers(3, size=120)
    network = DropoutMLPClassifier(
        (50,),
        learning_rate_init=0.02,
        tol=10.0,
        random_state=0,
        **ONE_NETWORK,
    )
    grid = {"dropoutmlpclassifier__n_iter_no_change": [1, 100]}
    pipe = make_pipeline(StandardScaler(), network)
    search = GridSearchCV(pipe, grid, scoring=scorer, cv=2).fit(X, y)
    assert search.best_params_ == {"dropoutmlpclassifier__n_iter_no_change": 1}


def test_sample_weight_reaches_the_scorers(regressor, real_target, classifier, three_classes):
    for model, (X, y), scorers in (
        (regressor, real_target, OF_REGRESSORS),
        (classifier, three_classes, OF_CLASSIFIERS),
    ):
        weight = np.random.default_rng(0).integers(1, 4, size=len(y))
        for scorer in scorers:
            repeated = scorer(model, np.repeat(X, weight, axis=0), np.repeat(y, weight))
            assert scorer(model, X, y, sample_weight=weight) == pytest.approx(repeated)


def test_sample_weight_by_metadata_routing(real_target):
    X, y = real_target
    weight = np.random.default_rng(0).random(len(y))
    scorer = metrics.neg_crps_scorer.set_score_request(sample_weight=True)
    folds = [(np.arange(80), np.arange(80, len(y)))]
    with sklearn.config_context(enable_metadata_routing=True):
        result = cross_validate(
            BayesianRidge().set_fit_request(sample_weight=False),
            X,
            y,
            cv=folds,
            scoring=scorer,
            params={"sample_weight": weight},
            return_estimator=True,
        )
    held_out = result["estimator"][0], X[80:], y[80:]
    weighted = metrics.neg_crps_scorer(*held_out, sample_weight=weight[80:])
    assert result["test_score"][0] == pytest.approx(weighted)
    assert weighted != pytest.approx(metrics.neg_crps_scorer(*held_out), rel=1e-3)


class _Certain(RegressorMixin, BaseEstimator):
    """Says that there is no doubt, or something that is no deviation at all."""

    def __init__(self, std=0.0):
        self.std = std

    def fit(self, X, y):
        self.mean_ = np.mean(y)
        return self

    def predict(self, X, return_std=False):
        mean = np.full(len(X), self.mean_)
        return (mean, np.full(len(X), self.std)) if return_std else mean


def test_a_model_without_doubt_is_scored_or_refused_as_the_metrics_do():
    X, y = np.zeros((3, 1)), np.array([1.0, 2.0, 3.0])
    model, level = _Certain().fit(X, y), 0.9
    with pytest.raises(ValueError, match="log_predictive_density_scorer: std must be positive"):
        metrics.log_predictive_density_scorer(model, X, y)
    assert metrics.neg_crps_scorer(model, X, y) == -metrics.crps_loss(y, [2.0] * 3, 0.0) == -2 / 3
    expected = -metrics.interval_score_loss(y, [[2.0, 2.0]] * 3, confidence_level=level)
    assert metrics.make_interval_score_scorer(level)(model, X, y) == pytest.approx(expected)


@pytest.mark.parametrize(("std", "match"), [(-1.0, "must not be negative"), (np.nan, "NaN")])
@pytest.mark.parametrize("scorer", [metrics.log_predictive_density_scorer, metrics.neg_crps_scorer])
def test_what_is_no_standard_deviation_is_refused(std, match, scorer):
    X, y = np.zeros((3, 1)), np.arange(3.0)
    with pytest.raises(ValueError, match=rf"_Certain.*std.*{match}"):
        scorer(_Certain(std).fit(X, y), X, y)
