"""Moments of an activation whose input is Gaussian."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

# Nodes of the trapezoid rule that stands in for the integral where there is no formula, in
# standard deviations. For a smooth function its error falls exponentially with the spacing.
_NODES = np.linspace(-5.25, 5.25, 31)
_LOG2_PEAK = -0.5 * math.log2(2 * math.pi)


class Noise(NamedTuple):
    """What makes activated units random, each of shape ``(rows, units)``.

    Attributes
    ----------
    explained : Tensor
        The part of the variance that a straight line in the Gaussian input explains.
    slope, squared_slope, curvature : Tensor
        Expectations of the activation's derivative, of its square and of the second derivative.
    """

    explained: Tensor
    slope: Tensor
    squared_slope: Tensor
    curvature: Tensor


class Units(NamedTuple):
    """Moments about zero of the units that a linear map reads, each of shape ``(rows, units)``.

    Attributes
    ----------
    mean, second : Tensor
    higher : callable
        Returns the third and the fourth. They are needed only between two random layers.
    noise : Noise or None
        None where the units are the same in every draw.
    """

    mean: Tensor
    second: Tensor
    higher: Callable[[], tuple[Tensor, Tensor]]
    noise: Noise | None = None

    @property
    def variance(self) -> Tensor:
        """Of random units."""
        return torch.addcmul(self.second, self.mean, self.mean, value=-1).clamp_min_(0)


def without_noise(values: Tensor) -> Units:
    """Units that are the same in every draw."""
    second = values.square()
    return Units(values, second, lambda: (second * values, second.square()))


def identity(mean: Tensor, variance: Tensor) -> Units:
    """The Gaussian itself."""
    second = torch.addcmul(variance, mean, mean)
    one = mean.new_ones(()).expand_as(mean)
    zero = mean.new_zeros(()).expand_as(mean)
    noise = Noise(variance, one, one, zero)
    return Units(mean, second, lambda: _by_recursion(mean, variance, mean, second), noise)


def relu(mean: Tensor, variance: Tensor) -> Units:
    """Exact, by Stein's lemma: ``E[h^(n+1)] = mean E[h^n] + n variance E[h^(n-1)]``.

    The derivative is a step, its expectation the probability of being on. The second derivative
    is a spike at zero, its expectation the density there.
    """
    inverse = variance.clamp_min(1e-20 if mean.dtype == torch.float32 else 1e-100).rsqrt_()
    z = torch.mul(mean, inverse).mul_(math.sqrt(0.5))
    on = torch.add(mean.new_tensor(0.5), torch.erf(z), alpha=0.5)
    # Powers of two, which are faster than those of e: the density of the Gaussian at zero.
    density = torch.addcmul(mean.new_tensor(_LOG2_PEAK), z, z, value=-math.log2(math.e))
    density = density.exp2_().mul_(inverse)
    # Far below zero the two terms of each sum cancel, and rounding may leave less than nothing.
    first = torch.mul(mean, on).addcmul_(variance, density).clamp_min_(0)
    spread_on = variance * on
    second = torch.addcmul(spread_on, mean, first).clamp_min_(0)

    def higher() -> tuple[Tensor, Tensor]:
        third, fourth = _by_recursion(mean, variance, first, second)
        return third.clamp_min_(0), fourth.clamp_min_(0)

    return Units(first, second, higher, Noise(spread_on.mul_(on), on, on, density))


def _by_recursion(
    mean: Tensor, variance: Tensor, first: Tensor, second: Tensor
) -> tuple[Tensor, Tensor]:
    """Third and fourth moment, by Stein's lemma."""
    third = torch.mul(variance, first).mul_(2).addcmul_(mean, second)
    return third, torch.mul(variance, second).mul_(3).addcmul_(mean, third)


def _by_quadrature(
    function: Callable[[Tensor], Tensor], derivatives: Callable[[Tensor], tuple[Tensor, Tensor]]
) -> Callable[[Tensor, Tensor], Units]:
    """Moments of a smooth activation, whose derivatives follow from its value."""
    weights = np.exp(-0.5 * _NODES**2)
    nodes, shares = _NODES.tolist(), (weights / weights.sum()).tolist()

    def values(mean: Tensor, std: Tensor) -> Iterator[tuple[Tensor, float]]:
        for node, share in zip(nodes, shares, strict=True):
            yield function(torch.add(mean, std, alpha=node)), share

    def higher(mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
        third, fourth = torch.zeros_like(mean), torch.zeros_like(mean)
        for value, share in values(mean, std):
            square = value.square()
            third.addcmul_(square, value, value=share)
            fourth.addcmul_(square, square, value=share)
        return third, fourth

    def moments(mean: Tensor, variance: Tensor) -> Units:
        std = variance.sqrt()
        first, second, slope, squared_slope, curvature = (torch.zeros_like(mean) for _ in range(5))
        for value, share in values(mean, std):
            first.add_(value, alpha=share)
            second.addcmul_(value, value, value=share)
            one, two = derivatives(value)
            slope.add_(one, alpha=share)
            squared_slope.addcmul_(one, one, value=share)
            curvature.add_(two, alpha=share)
        noise = Noise(slope.square().mul_(variance), slope, squared_slope, curvature)
        return Units(first, second, lambda: higher(mean, std), noise)

    return moments


def _of_tanh(value: Tensor) -> tuple[Tensor, Tensor]:
    slope = 1 - value.square()
    return slope, -2 * value * slope


def _of_logistic(value: Tensor) -> tuple[Tensor, Tensor]:
    slope = value * (1 - value)
    return slope, (1 - 2 * value) * slope


ACTIVATED: dict[str, Callable[[Tensor, Tensor], Units]] = {
    "identity": identity,
    "logistic": _by_quadrature(torch.sigmoid, _of_logistic),
    "relu": relu,
    "tanh": _by_quadrature(torch.tanh, _of_tanh),
}
"""Moments of each of `skdropout.network.ACTIVATIONS`, from the input's mean and variance."""
