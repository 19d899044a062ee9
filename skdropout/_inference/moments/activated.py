"""Moments of an activation whose input is Gaussian."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..._networks.activations import ACTIVATIONS

# Nodes of the trapezoid rule that stands in for the integral where there is no formula, in
# standard deviations. For a smooth function its error falls exponentially with the spacing.
_NODES = np.linspace(-5.25, 5.25, 31)
_SHARES = np.exp(-0.5 * _NODES**2) / np.exp(-0.5 * _NODES**2).sum()
_LOG2_PEAK = -0.5 * math.log2(2 * math.pi)


class Noise(NamedTuple):
    """What makes activated units random, each of shape ``(rows, units)``.

    Attributes
    ----------
    shared : Tensor
        Covariance with the Gaussian input. Times the slope, it is the part of the variance that a
        straight line in the input explains.
    slope, squared_slope, curvature : Tensor
        Expectations of the activation's derivative, of its square and of the second derivative.
    value_slope : Tensor
        Expectation of the activated value times the derivative.
    """

    shared: Tensor
    slope: Tensor
    squared_slope: Tensor
    curvature: Tensor
    value_slope: Tensor


class Units(NamedTuple):
    """Moments about zero of the units that a linear map reads, each of shape ``(rows, units)``.

    Attributes
    ----------
    mean, second : Tensor
    third : callable
        Returns the third, which is needed only for skewness and between two random layers.
    fourth : callable
        Returns the fourth, which is needed only between two random layers.
    noise : Noise or None
        None where the units are the same in every draw.
    """

    mean: Tensor
    second: Tensor
    third: Callable[[], Tensor]
    fourth: Callable[[], Tensor]
    noise: Noise | None = None


def activated(name: str, mean: Tensor, variance: Tensor | None) -> Units:
    """Units behind an activation; its input has no variance where it is the same in every draw."""
    if variance is None:
        return without_noise(ACTIVATIONS[name].function(mean))
    return ACTIVATED[name](mean, variance)


def without_noise(values: Tensor) -> Units:
    """Units that are the same in every draw."""
    second = values.square()
    return Units(values, second, lambda: second * values, second.square)


def identity(mean: Tensor, variance: Tensor) -> Units:
    """The Gaussian itself."""
    one = mean.new_ones(()).expand_as(mean)
    noise = Noise(variance, one, one, mean.new_zeros(()).expand_as(mean), mean)
    return _by_recursion(mean, variance, mean, torch.addcmul(variance, mean, mean), noise)


def relu(mean: Tensor, variance: Tensor) -> Units:
    """Exact, by Stein's lemma: ``E[h^(n+1)] = mean E[h^n] + n variance E[h^(n-1)]``.

    The derivative is a step, its expectation the probability of being on. The second derivative
    is a spike at zero, its expectation the density there. Far below zero the terms of the sums
    cancel, and rounding may leave a little less than nothing.
    """
    inverse = variance.clamp_min(1e-20 if variance.dtype == torch.float32 else 1e-100).rsqrt_()
    z = torch.mul(mean, inverse).mul_(math.sqrt(0.5))
    half, peak = mean.new_full((), 0.5), mean.new_full((), _LOG2_PEAK)
    on = torch.erf(z)
    torch.add(half, on, alpha=0.5, out=on)
    # Powers of two, which are faster than those of e: the density of the Gaussian at zero.
    density = torch.addcmul(peak, z, z, value=-math.log2(math.e), out=z)
    density = density.exp2_().mul_(inverse)
    first = torch.mul(mean, on).addcmul_(variance, density).clamp_min_(0)
    shared = variance * on
    second = torch.addcmul(shared, mean, first).clamp_min_(0)
    return _by_recursion(mean, variance, first, second, Noise(shared, on, on, density, first))


def _by_recursion(
    mean: Tensor, variance: Tensor, first: Tensor, second: Tensor, noise: Noise
) -> Units:
    """With the third and fourth moment by Stein's lemma."""

    @cache
    def third() -> Tensor:
        return torch.mul(mean, second).addcmul_(variance, first, value=2)

    def fourth() -> Tensor:
        return torch.mul(mean, third()).addcmul_(variance, second, value=3)

    return Units(first, second, third, fourth, noise)


def _by_quadrature(
    function: Callable[[Tensor], Tensor],
    derivatives: Callable[[Tensor], tuple[Tensor, Tensor]],
) -> Callable[[Tensor, Tensor], Units]:
    """Moments of a smooth activation, whose derivatives follow from its value."""

    def moments(mean: Tensor, variance: Tensor) -> Units:
        std = variance.sqrt()
        first, second, slope, squared_slope, curvature, value_slope = totals = [
            torch.zeros_like(mean) for _ in range(6)
        ]
        for value, share in _at_nodes(function, mean, std):
            one, two = derivatives(value)
            terms = (value, value.square(), one, one.square(), two, value * one)
            for total, term in zip(totals, terms, strict=True):
                total.add_(term, alpha=share)

        def power(n: int) -> Tensor:
            total = torch.zeros_like(mean)
            for value, share in _at_nodes(function, mean, std):
                total.add_(value.pow(n), alpha=share)
            return total

        noise = Noise(slope * variance, slope, squared_slope, curvature, value_slope)
        return Units(first, second, lambda: power(3), lambda: power(4), noise)

    return moments


def _at_nodes(
    function: Callable[[Tensor], Tensor], mean: Tensor, std: Tensor
) -> Iterator[tuple[Tensor, float]]:
    """Values at the nodes of the rule, with what each counts."""
    for node, share in zip(_NODES.tolist(), _SHARES.tolist(), strict=True):
        yield function(torch.add(mean, std, alpha=node)), share


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
"""Moments of each of `skdropout.activations.ACTIVATIONS`, from the input's mean and variance."""
