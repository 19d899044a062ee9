"""Referral of a regressor."""

import numpy as np
import pytest
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import BayesianRidge, LinearRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skdropout
from skdropout.decision import (
    FixedReferralRegressor,
    TunedReferralClassifierCV,
    TunedReferralRegressorCV,
)
from tests.randomness import Z
from tests.reference import ONE_NETWORK
from tests.referral_cases import CANCER, DIABETES, linear


def noisy_regression(n=400):
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, size=(n, 1))
    return X, 3 * X[:, 0] + rng.normal(size=n)


def regression_network():
    net = skdropout.DropoutMLPRegressor(
        (30,),
        tol=0.02,
        n_iter_no_change=2,
        learning_rate_init=0.01,
        random_state=0,
        **ONE_NETWORK,
    )
    return make_pipeline(StandardScaler(), net)


@pytest.mark.parametrize("uncertainty", ["expected_error", "interval_width", "total", "epistemic"])
def test_regressor_refers_what_exceeds_the_limit(uncertainty):
    X, y = noisy_regression()
    model = regression_network().fit(X, y)
    careful = FixedReferralRegressor(model, threshold=0.0, uncertainty=uncertainty)
    doubt = careful.referral_score(X)
    careful.set_params(threshold=np.median(doubt))
    referred = careful.refer(X)
    np.testing.assert_array_equal(referred, doubt > np.median(doubt))
    assert np.isnan(careful.predict(X)[referred]).all()
    np.testing.assert_allclose(careful.predict(X)[~referred], model.predict(X)[~referred])
    assert set(careful.referral_reason(X)[referred]) <= {"epistemic", "aleatoric"}


def test_expected_error_and_width_are_in_the_units_of_y():
    X, y = noisy_regression()
    model = BayesianRidge().fit(X, y)
    error = FixedReferralRegressor(model, threshold=1.0).referral_score(X)
    width = FixedReferralRegressor(
        model, threshold=1.0, uncertainty="interval_width", interval_level=0.5
    ).referral_score(X)
    # Unit normal noise: E|e| = 0.798, and half of it within +-0.674. Statistical: its deviation is
    # learned from 400 rows, so one standard error is 1 / sqrt(800) of it.
    np.testing.assert_allclose(error, 0.798, rtol=Z / np.sqrt(800))
    np.testing.assert_allclose(width / error, 2 * 0.6745 / 0.7979, rtol=1e-3)


def test_tuned_regressor_promises_a_share_of_small_errors():
    X, y = DIABETES
    careful = TunedReferralRegressorCV(BayesianRidge(), max_error=120, max_risk=0.1).fit(X, y)
    error = np.abs(y - cross_val_predict(BayesianRidge(), X, y))
    assert careful.selective_risk_ < careful.risk_bound_ <= 0.1
    assert careful.cv_results_["risk"][-1] == pytest.approx((error > 120).mean())
    covering = TunedReferralRegressorCV(BayesianRidge(), min_coverage=0.6, refer_value=0.0)
    covering.fit(X, y)
    assert covering.selective_coverage_ == pytest.approx(0.6, abs=1 / 442)
    assert covering.cv_results_["risk"][-1] == pytest.approx(error.mean())
    assert np.isnan(covering.risk_bound_)
    assert (covering.predict(X) == 0).sum() == covering.refer(X).sum() > 0
    with pytest.warns(UserWarning, match="no threshold reaches"):
        careful.set_params(max_error=1.0).fit(X, y)
    with pytest.warns(UndefinedMetricWarning, match="fewer than two rows"):
        assert np.isnan(careful.score(X, y))


def test_score_of_a_regressor_is_r2_of_what_is_kept():
    X, y = DIABETES
    careful = TunedReferralRegressorCV(
        GaussianProcessRegressor(alpha=0.1, optimizer=None), min_coverage=0.5
    )
    kept = ~careful.fit(X, y).refer(X)
    assert careful.score(X, y) == pytest.approx(careful.estimator_.score(X[kept], y[kept]))


@pytest.mark.parametrize(
    ("estimator", "params", "error", "match"),
    [
        (BayesianRidge(), {}, ValueError, "give one of max_risk and min_coverage"),
        (BayesianRidge(), {"max_risk": 0.1}, ValueError, "say by max_error"),
        (BayesianRidge(), {"max_risk": 0.1, "max_error": -1}, ValueError, "'max_error'"),
        (BayesianRidge(), {"min_coverage": 0.5, "interval_level": 1.0}, ValueError, "interval_l"),
        (LinearRegression(), {"min_coverage": 0.5}, TypeError, "LinearRegression has no predict"),
        (
            BayesianRidge(),
            {"min_coverage": 0.5, "uncertainty": "epistemic"},
            TypeError,
            "BayesianRidge has no predict_uncertainty",
        ),
    ],
)
def test_bad_regressors_get_a_sentence(estimator, params, error, match):
    with pytest.raises(error, match=match):
        TunedReferralRegressorCV(estimator, **params).fit(*DIABETES)


@pytest.mark.parametrize("gap", [0.0, np.nan])
def test_several_columns_are_refused_as_such_with_gaps_too(gap):
    X, y = DIABETES
    y = np.where(X[:, :2] > 0, gap, np.column_stack([y, y]))
    with pytest.raises(ValueError, match=r"1d array, got an array of shape \(\d+, 2\)"):
        TunedReferralRegressorCV(BayesianRidge(), min_coverage=0.5).fit(X, y)


def test_searches_inside_and_outside():
    X, y = CANCER
    inner = GridSearchCV(linear(), {"logisticregression__C": [0.1, 1.0]}, cv=2)
    careful = TunedReferralClassifierCV(inner, min_coverage=0.8, cv=2)
    outer = GridSearchCV(careful, {"min_coverage": [0.7, 0.9]}, cv=2).fit(X, y)
    assert outer.best_estimator_.estimator_.best_params_["logisticregression__C"] in (0.1, 1.0)
    names = set(outer.best_estimator_.get_params())
    assert {"estimator__estimator__logisticregression__C", "min_coverage"} <= names
