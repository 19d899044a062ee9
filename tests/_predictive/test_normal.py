"""Quantiles of the predictive mixture: against the distribution function and against samples."""

import numpy as np
import pytest
from scipy.special import ndtr
from sklearn.datasets import load_diabetes

from skdropout import DropoutMLPRegressor
from skdropout._predictive.normal import normal_mixture_quantiles
from tests import randomness
from tests.reference import ONE_NETWORK, function_means, quick

PROBABILITIES = np.array([1e-4, 0.05, 0.5, 0.9, 0.999])


@pytest.fixture(scope="module")
def fitted():
    X, y = load_diabetes(return_X_y=True)
    model = DropoutMLPRegressor(dropout_rate=0.3, tol=1e-2, random_state=0, **ONE_NETWORK)
    return model.fit(X[:300] / X.std(0), y[:300]), X[300:] / X.std(0), y[300:]


@pytest.mark.parametrize("spread", [0.0, 1.0, 1e4])
@pytest.mark.parametrize("smallest_std", [1e-3, 0.5])
def test_quantiles_invert_the_distribution_function(spread, smallest_std):
    rng = np.random.default_rng(0)
    means = spread * rng.standard_cauchy((30, 40))
    stds = smallest_std * (1 + rng.random((30, 40)))
    values = normal_mixture_quantiles(means, stds, PROBABILITIES)
    back = ndtr((values - means[..., None]) / stds[..., None]).mean(0)
    np.testing.assert_allclose(back, np.broadcast_to(PROBABILITIES, back.shape), atol=1e-9)
    assert (np.diff(values, axis=1) > 0).all()


def test_one_component_has_the_normal_quantiles():
    values = normal_mixture_quantiles(np.array([[3.0]]), np.array([[2.0]]), np.array([0.975]))
    np.testing.assert_allclose(values, [[3 + 2 * 1.959963984540054]], rtol=1e-9)


def test_intervals_and_quantiles_agree(fitted):
    model, X, _ = fitted
    quantiles = model.predict_quantiles(X, [0.05, 0.25, 0.75, 0.95])
    assert quantiles.shape == (len(X), 4)
    np.testing.assert_allclose(model.predict_interval(X), quantiles[:, [0, 3]], rtol=1e-7)
    both = model.predict_interval(X, [0.9, 0.5])
    assert both.shape == (len(X), 2, 2)
    np.testing.assert_allclose(both[:, :, 1], quantiles[:, 1:3], rtol=1e-7)


def test_quantiles_are_those_of_new_observations(fitted):
    """Statistical: each of the model's own functions is observed 400 times in each of 4 rows."""
    model, X, _ = fitted
    rng = np.random.default_rng(0)
    means = function_means(model, X[:4])[..., 0]
    noise = model.noise_std_ * rng.standard_normal((4, 100, 400))
    observations = (means[..., None] + noise).reshape(4, -1)
    quantiles = model.predict_quantiles(X[:4], [0.1, 0.5, 0.9])
    hits = (observations[:, None] < quantiles[..., None]).sum(-1)
    for column, probability in enumerate((0.1, 0.5, 0.9)):
        for count in hits[:, column]:
            randomness.assert_share(count, observations.shape[1], probability)


def test_intervals_hold_what_they_say_on_data_from_the_model(fitted):
    """Observations are made from uniform numbers by the inverse, so the share is exact."""
    model, X, _ = fitted
    rng = np.random.default_rng(1)
    draws = model.predict_quantiles(X, np.sort(rng.random(200)))
    assert draws.shape == (len(X), 200)
    lower, upper = model.predict_interval(X, 0.8).T
    inside = ((draws > lower[:, None]) & (draws < upper[:, None])).mean(1)
    # The same 200 uniform numbers serve all rows, so all rows hold the same share of them.
    uniform = np.sort(np.random.default_rng(1).random(200))
    expected = ((uniform > 0.1) & (uniform < 0.9)).mean()
    np.testing.assert_allclose(inside, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("quantiles", "shown"),
    [([0.0], "0.0"), ([0.5, 0.2], "0.5, 0.2"), ([[0.5]], "0.5"), ([1.5], "1.5")],
)
def test_bad_quantiles(fitted, quantiles, shown):
    model, X, _ = fitted
    with pytest.raises(ValueError, match=f"increasing numbers in \\(0, 1\\), got .*{shown}"):
        model.predict_quantiles(X, quantiles)


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, 90, [0.5, 2.0], []])
def test_bad_confidence_levels(fitted, level):
    model, X, _ = fitted
    with pytest.raises(
        ValueError, match=r"DropoutMLPRegressor\.predict_interval: confidence_level"
    ):
        model.predict_interval(X, level)


def test_intervals_need_uncertainty(fitted):
    _, X, y = fitted
    plain = quick(DropoutMLPRegressor, dropout=None).fit(X, y)
    with pytest.raises(ValueError, match="predict_interval: this model has no noise"):
        plain.predict_interval(X)


def test_several_outputs(fitted):
    _, X, y = fitted
    both = np.column_stack([y, -2 * y])
    model = quick(DropoutMLPRegressor).fit(X, both)
    assert model.predict_interval(X).shape == (len(X), 2, 2)
    assert model.predict_interval(X, [0.5, 0.9]).shape == (len(X), 2, 2, 2)
    assert model.predict_quantiles(X, [0.1, 0.5, 0.9]).shape == (len(X), 2, 3)
