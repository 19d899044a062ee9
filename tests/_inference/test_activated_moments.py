"""Moments of activations of a Gaussian, against numerical integration."""

import numpy as np
import pytest
import torch

from skdropout._inference.moments.activated import ACTIVATED, without_noise
from skdropout._networks.activations import ACTIVATIONS

MEANS = np.array([-4.0, -1.0, -0.1, 0.0, 0.3, 1.0, 5.0])
STDS = np.array([0.05, 0.5, 1.0, 2.0])
GRID = np.array([(mean, std) for mean in MEANS for std in STDS]).T

DERIVATIVES = {
    "identity": (np.ones_like, np.zeros_like),
    "logistic": (
        lambda z: 0.25 / np.cosh(z / 2) ** 2,
        lambda z: -0.25 * np.tanh(z / 2) / np.cosh(z / 2) ** 2,
    ),
    "tanh": (lambda z: 1 / np.cosh(z) ** 2, lambda z: -2 * np.tanh(z) / np.cosh(z) ** 2),
    # The second derivative is a spike at zero; see below.
    "relu": (lambda z: (z > 0) + 0.5 * (z == 0), None),
}


def _expect(function):
    """Means over the Gaussians of `GRID`, by a fine trapezoid rule."""
    nodes = np.linspace(-9, 9, 60_001)
    shares = np.exp(-0.5 * nodes**2)
    z = GRID[0] + GRID[1] * nodes[:, None]
    return (shares[:, None] / shares.sum() * function(z)).sum(0)


def _units(name, dtype=torch.float64):
    mean, std = torch.tensor(GRID, dtype=dtype)
    return ACTIVATED[name](mean.unsqueeze(0), std.square().unsqueeze(0))


def _powers(units):
    """Moments about zero, from the first to the fourth."""
    return [units.mean, units.second, units.third(), units.fourth()]


def test_every_activation_has_moments():
    assert ACTIVATED.keys() == ACTIVATIONS.keys()


@pytest.mark.parametrize("name", ACTIVATED)
def test_moments_are_the_integrals(name):
    """Up to the test's own error where relu has its corner; 31 nodes for the smooth ones."""

    def activated(z):
        return ACTIVATIONS[name].function(torch.from_numpy(z)).numpy()

    units = _units(name)
    for power, ours in enumerate(_powers(units), start=1):
        expected = _expect(lambda z, power=power: activated(z) ** power)
        np.testing.assert_allclose(ours[0], expected, atol=5e-4)
    first, second = DERIVATIVES[name]
    np.testing.assert_allclose(units.noise.slope[0], _expect(first), atol=1e-3)
    value_slope = _expect(lambda z: activated(z) * first(z))
    np.testing.assert_allclose(units.noise.value_slope[0], value_slope, atol=1e-3)
    squared = _expect(lambda z: first(z) ** 2)
    np.testing.assert_allclose(units.noise.squared_slope[0], squared, atol=2e-3)
    if second is not None:
        np.testing.assert_allclose(units.noise.curvature[0], _expect(second), atol=5e-3)


def test_relu_is_exact():
    units = _units("relu")
    for power, ours in enumerate(_powers(units), start=1):
        expected = _expect(lambda z, power=power: np.maximum(z, 0) ** power)
        np.testing.assert_allclose(ours[0], expected, rtol=1e-6, atol=1e-8)
    density = np.exp(-0.5 * (GRID[0] / GRID[1]) ** 2) / (GRID[1] * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(units.noise.curvature[0], density, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ACTIVATED)
def test_a_straight_line_explains_its_squared_slope_and_no_more_than_there_is(name):
    units = _units(name)
    line = units.noise.slope[0].numpy() ** 2 * GRID[1] ** 2
    np.testing.assert_allclose((units.noise.shared * units.noise.slope)[0], line, rtol=1e-9)
    # Up to the error of the rule of integration.
    variance = units.second - units.mean.square()
    assert (variance - units.noise.shared * units.noise.slope >= -1e-4).all()


@pytest.mark.parametrize("name", ACTIVATED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_far_away_and_without_variance_everything_is_finite(name, dtype):
    mean = torch.tensor([[-1e6, -30.0, 0.0, 0.0, 30.0, 1e6, -8.0]], dtype=dtype)
    variance = torch.tensor([[1.0, 1e-12, 0.0, 1e-20, 0.0, 1e4, 1.0]], dtype=dtype)
    units = ACTIVATED[name](mean, variance)
    noise = units.noise
    for values in (*_powers(units), *noise):
        assert values.isfinite().all()
    for values in (units.second, noise.shared * noise.slope):
        assert (values >= 0).all()


def test_units_without_noise():
    units = without_noise(torch.tensor([[-2.0, 3.0]]))
    assert [values.tolist() for values in _powers(units)] == [
        [[-2.0, 3.0]],
        [[4.0, 9.0]],
        [[-8.0, 27.0]],
        [[16.0, 81.0]],
    ]
    assert units.noise is None
