"""Intervals, quantiles and densities through transforms of the target."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import lognorm, norm
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import BayesianRidge, LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer, QuantileTransformer, StandardScaler

import skdropout
from skdropout import DropoutMLPRegressor, metrics
from skdropout.decision import FixedReferralRegressor, TunedReferralRegressorCV
from skdropout.displays import IntervalCoverageDisplay, RiskCoverageDisplay
from tests.reference import quick

mpl.use("Agg")

LEVELS = [0.5, 0.9]
RISING = {"func": np.log1p, "inverse_func": np.expm1}
FALLING = {"func": lambda y: -np.log1p(y), "inverse_func": lambda t: np.expm1(-t)}
SMOOTH = {
    "log1p": RISING,
    "falling": FALLING,
    "cube root": {"func": np.cbrt, "inverse_func": lambda t: t**3},
    "power": {"transformer": PowerTransformer()},
    "linear": {"transformer": StandardScaler()},
}
MONOTONE = SMOOTH | {"quantile": {"transformer": QuantileTransformer(n_quantiles=50)}}


@pytest.fixture(scope="module")
def incomes():
    """Positive targets with a long tail."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((150, 3))
    return X, np.exp(2 + X[:, 0] + 0.3 * rng.standard_normal(150))


def through(options, model=None, **parameters):
    model = quick(DropoutMLPRegressor, dropout_rate=0.2, **parameters) if model is None else model
    return TransformedTargetRegressor(make_pipeline(StandardScaler(), model), **options)


@pytest.mark.parametrize("name", MONOTONE)
def test_intervals_are_those_inside_taken_back(incomes, name):
    X, y = incomes
    model = through(MONOTONE[name]).fit(X, y)
    inside = model.regressor_[-1].predict_quantiles(
        model.regressor_[:-1].transform(X), [0.05, 0.25, 0.5, 0.75, 0.95]
    )
    back = model.transformer_.inverse_transform(inside.reshape(-1, 1)).reshape(inside.shape)
    # The function is monotone, so the order of the results is the order of the quantiles.
    back = np.sort(back, axis=1)
    np.testing.assert_allclose(skdropout.predict_interval(model, X), back[:, [0, 4]], rtol=1e-9)
    np.testing.assert_allclose(
        skdropout.predict_interval(model, X, LEVELS), back[:, [[1, 0], [3, 4]]], rtol=1e-9
    )
    np.testing.assert_allclose(
        skdropout.predict_quantiles(model, X, [0.05, 0.5, 0.75]), back[:, [0, 2, 3]], rtol=1e-9
    )


@pytest.mark.parametrize("options", [RISING, FALLING], ids=["rising", "falling"])
def test_quantiles_of_a_log_normal_are_scipys(incomes, options):
    X, y = incomes
    model = through(options, BayesianRidge()).fit(X, y)
    mean, std = model.regressor_.predict(X, return_std=True)
    mean = mean if options is RISING else -mean
    for level in (0.1, 0.5, 0.99):
        expected = lognorm.ppf(level, s=std, scale=np.exp(mean)) - 1
        got = skdropout.predict_quantiles(model, X, [level])[:, 0]
        np.testing.assert_allclose(got, expected, rtol=1e-9)
    density = lognorm.logpdf(y + 1, s=std, scale=np.exp(mean)).mean()
    assert metrics.log_predictive_density_scorer(model, X, y) == pytest.approx(density, rel=1e-9)
    ends = lognorm.ppf([[0.05], [0.95]], s=std, scale=np.exp(mean)) - 1
    expected = -metrics.interval_score_loss(y, ends.T)
    assert metrics.neg_interval_score_scorer(model, X, y) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", SMOOTH)
def test_the_density_of_y_integrates_to_one(incomes, name):
    X, y = incomes
    model = through(SMOOTH[name]).fit(X, y)
    low, high = skdropout.predict_quantiles(model, X[:1], [0.2, 0.8])[0]

    def density(value):
        return np.exp(metrics.log_predictive_density_scorer(model, X[:1], [value]))

    mass, _ = quad(density, low, high, epsabs=1e-5, limit=20)
    assert mass == pytest.approx(0.6, abs=1e-4)


def test_several_outputs_have_intervals_of_their_own(two_targets):
    X, y = two_targets
    y = np.exp(y / y.std(0) / 4)
    model = through({"func": np.log, "inverse_func": np.exp}).fit(X, y)
    inside = model.regressor_[-1].predict_interval(model.regressor_[:-1].transform(X), LEVELS)
    np.testing.assert_allclose(skdropout.predict_interval(model, X, LEVELS), np.exp(inside))
    density = model.regressor_[-1].log_prob(model.regressor_[:-1].transform(X), np.log(y))
    expected = (density - np.log(y).sum(1)).mean()
    assert metrics.log_predictive_density_scorer(model, X, y) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("options", [RISING, FALLING], ids=["rising", "falling"])
def test_everything_that_needs_intervals_works(incomes, options):
    X, y = incomes
    model = through(options)
    grid = {"regressor__dropoutmlpregressor__dropout_rate": [0.1, 0.3]}
    search = GridSearchCV(model, grid, scoring=metrics.neg_interval_score_scorer, cv=2).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    ends = skdropout.predict_interval(search, X)
    width = ends[:, 1] - ends[:, 0]
    assert (width > 0).all()
    careful = FixedReferralRegressor(search, threshold=np.median(width))
    careful.set_params(uncertainty="interval_width")
    np.testing.assert_allclose(careful.referral_score(X), width, rtol=1e-12)
    kept = width <= np.median(width)
    np.testing.assert_array_equal(careful.predict(X)[kept], search.predict(X)[kept])
    tuned = TunedReferralRegressorCV(
        model, min_coverage=0.6, uncertainty="interval_width", cv=3
    ).fit(X, y)
    assert tuned.selective_coverage_ == pytest.approx(0.6, abs=0.01)
    shown = IntervalCoverageDisplay.from_estimator(search, X, y, levels=[0.9])
    assert shown.observed == np.mean((ends[:, 0] <= y) & (y <= ends[:, 1]))
    RiskCoverageDisplay.from_estimator(search, X, y, uncertainty="interval_width")
    plt.close("all")


def test_other_regressors_have_normal_intervals(incomes):
    X, y = incomes
    model = make_pipeline(StandardScaler(), BayesianRidge()).fit(X, y)
    mean, std = model.predict(X, return_std=True)
    expected = norm.ppf([0.1, 0.5], mean[:, None], std[:, None])
    np.testing.assert_allclose(skdropout.predict_quantiles(model, X, [0.1, 0.5]), expected)


# ---- what is refused -----------------------------------------------------------------------------


def test_variances_and_what_is_made_of_them_are_refused(incomes):
    X, y = incomes
    model = through(RISING).fit(X, y)
    sentence = "is not linear, so a variance and the CRPS cannot be taken back to the units of y"
    calls = [
        lambda: skdropout.predict_uncertainty(model, X),
        lambda: metrics.neg_crps_scorer(model, X, y),
        lambda: FixedReferralRegressor(model, threshold=1.0).predict(X),
        lambda: RiskCoverageDisplay.from_estimator(model, X, y),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=sentence):
            call()


def test_a_transform_that_turns_back_is_refused(incomes):
    X, y = incomes
    model = through({"func": np.sqrt, "inverse_func": np.square}).fit(X, y / 100)
    with pytest.raises(ValueError, match=r"predict_interval: the target transform .* not monotone"):
        skdropout.predict_interval(model, X)
    # Where nothing lies beyond the turn, it is monotone.
    model = through({"func": np.sqrt, "inverse_func": np.square}, BayesianRidge())
    model.fit(X, 1e6 + y)
    inside = model.regressor_.predict(X, return_std=True)
    expected = norm.ppf(0.3, *inside) ** 2
    got = skdropout.predict_quantiles(model, X, [0.3])[:, 0]
    np.testing.assert_allclose(got, expected, rtol=1e-9)


def test_a_target_outside_of_the_transform_has_no_density(incomes):
    X, y = incomes
    model = through(RISING).fit(X, y)
    with pytest.raises(ValueError, match=r"scorer: the target .* gives no number for a target"):
        metrics.log_predictive_density_scorer(model, X, y - 100)
    clipped = through(
        {
            "func": np.log1p,
            "inverse_func": lambda t: np.maximum(np.expm1(t), 5.0),
            "check_inverse": False,
        }
    ).fit(X, y)
    with pytest.raises(ValueError, match="does not come back to the target"):
        metrics.log_predictive_density_scorer(clipped, X, y)
    assert skdropout.predict_interval(clipped, X).min() == 5.0


@pytest.mark.parametrize("level", [0.0, 1.0, [0.5, 2.0], []])
def test_a_bad_level_is_named(incomes, level):
    model = through(RISING, BayesianRidge()).fit(*incomes)
    with pytest.raises(ValueError, match="predict_interval: confidence_level must be a number in"):
        skdropout.predict_interval(model, incomes[0], level)
    with pytest.raises(ValueError, match="predict_quantiles: quantiles must be increasing"):
        skdropout.predict_quantiles(model, incomes[0], [0.5, 0.1])


def test_a_regressor_that_says_nothing_has_no_intervals(incomes):
    model = through(RISING, LinearRegression()).fit(*incomes)
    with pytest.raises(TypeError, match="predict_interval: LinearRegression does not say how sure"):
        skdropout.predict_interval(model, incomes[0])
