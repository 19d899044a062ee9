"""Moments of an activation whose input is Gaussian."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache, partial
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
    shared : Tensor
        Covariance with the Gaussian input. Times the slope, it is the part of the variance that a
        straight line in the input explains.
    slope, squared_slope, curvature : Tensor
        Expectations of the activation's derivative, of its square and of the second derivative.
    value_slope : Tensor
        Expectation of the activated value times the derivative.
    inverse_std : callable
        Returns one over the standard deviation of the input, bounded where that is nothing.
    twist : callable
        Returns the expectation of the third derivative, times the cube of the standard deviation
        of the input.
    """

    shared: Tensor
    slope: Tensor
    squared_slope: Tensor
    curvature: Tensor
    value_slope: Tensor
    inverse_std: Callable[[], Tensor]
    twist: Callable[[], Tensor]


class Units(NamedTuple):
    """Moments about zero of the units that a linear map reads, each of shape ``(rows, units)``.

    Attributes
    ----------
    mean, second : Tensor
    third : callable
        Returns the third, which is needed only for skewness and between two random layers.
    fourth : callable
        Returns the fourth, given the third. It is needed only between two random layers.
    noise : Noise or None
        None where the units are the same in every draw.
    """

    mean: Tensor
    second: Tensor
    third: Callable[[], Tensor]
    fourth: Callable[[Tensor], Tensor]
    noise: Noise | None = None

    @property
    def variance(self) -> Tensor:
        """Of random units."""
        return torch.addcmul(self.second, self.mean, self.mean, value=-1).clamp_min_(0)


def without_noise(values: Tensor) -> Units:
    """Units that are the same in every draw."""
    second = values.square()
    return Units(values, second, lambda: second * values, lambda third: third * values)


def identity(mean: Tensor, variance: Tensor) -> Units:
    """The Gaussian itself."""
    one = mean.new_ones(()).expand_as(mean)
    zero = mean.new_zeros(()).expand_as(mean)
    noise = Noise(variance, one, one, zero, mean, partial(_inverse_root, variance), lambda: zero)
    return _by_recursion(mean, variance, mean, torch.addcmul(variance, mean, mean), noise)


def relu(mean: Tensor, variance: Tensor) -> Units:
    """Exact, by Stein's lemma: ``E[h^(n+1)] = mean E[h^n] + n variance E[h^(n-1)]``.

    The derivative is a step, its expectation the probability of being on. The second derivative
    is a spike at zero, its expectation the density there. Far below zero the terms of the sums
    cancel, and rounding may leave a little less than nothing.
    """
    inverse = _inverse_root(variance)
    z = torch.mul(mean, inverse).mul_(math.sqrt(0.5))
    half, peak = mean.new_full((), 0.5), mean.new_full((), _LOG2_PEAK)
    on = torch.erf(z)
    torch.add(half, on, alpha=0.5, out=on)
    # Powers of two, which are faster than those of e: the density of the Gaussian at zero.
    density = torch.addcmul(peak, z, z, value=-math.log2(math.e), out=z)
    density = density.exp2_().mul_(inverse)
    first = torch.mul(mean, on).addcmul_(variance, density).clamp_min_(0)
    spread_on = variance * on
    second = torch.addcmul(spread_on, mean, first).clamp_min_(0)

    def twist() -> Tensor:
        return torch.mul(mean, density).mul_(variance).mul_(inverse).neg_()

    noise = Noise(spread_on, on, on, density, first, lambda: inverse, twist)
    return _by_recursion(mean, variance, first, second, noise)


def _inverse_root(variance: Tensor) -> Tensor:
    return variance.clamp_min(1e-20 if variance.dtype == torch.float32 else 1e-100).rsqrt_()


def _by_recursion(
    mean: Tensor, variance: Tensor, first: Tensor, second: Tensor, noise: Noise
) -> Units:
    """With the third and fourth moment by Stein's lemma."""
    return Units(
        first,
        second,
        cache(lambda: torch.mul(mean, second).addcmul_(variance, first, value=2)),
        lambda third: torch.mul(mean, third).addcmul_(variance, second, value=3),
        noise,
    )


def _by_quadrature(
    function: Callable[[Tensor], Tensor],
    derivatives: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]],
) -> Callable[[Tensor, Tensor], Units]:
    """Moments of a smooth activation, whose derivatives follow from its value."""
    weights = np.exp(-0.5 * _NODES**2)
    nodes, shares = _NODES.tolist(), (weights / weights.sum()).tolist()

    def values(mean: Tensor, std: Tensor) -> Iterator[tuple[Tensor, float]]:
        for node, share in zip(nodes, shares, strict=True):
            yield function(torch.add(mean, std, alpha=node)), share

    def power(n: int, mean: Tensor, std: Tensor) -> Tensor:
        total = torch.zeros_like(mean)
        for value, share in values(mean, std):
            total.add_(value.pow(n), alpha=share)
        return total

    def twist(mean: Tensor, std: Tensor) -> Tensor:
        total = torch.zeros_like(mean)
        for value, share in values(mean, std):
            total.add_(derivatives(value)[2], alpha=share)
        return total.mul_(std.pow(3))

    def moments(mean: Tensor, variance: Tensor) -> Units:
        std = variance.sqrt()
        first, second, slope, squared_slope, curvature, value_slope = (
            torch.zeros_like(mean) for _ in range(6)
        )
        for value, share in values(mean, std):
            first.add_(value, alpha=share)
            second.addcmul_(value, value, value=share)
            one, two, _ = derivatives(value)
            slope.add_(one, alpha=share)
            squared_slope.addcmul_(one, one, value=share)
            value_slope.addcmul_(value, one, value=share)
            curvature.add_(two, alpha=share)
        shared = slope * variance
        late = partial(_inverse_root, variance), partial(twist, mean, std)
        noise = Noise(shared, slope, squared_slope, curvature, value_slope, *late)
        third, fourth = (partial(power, n, mean, std) for n in (3, 4))
        return Units(first, second, third, lambda _: fourth(), noise)

    return moments


def _of_tanh(value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    square = value.square()
    slope = 1 - square
    return slope, -2 * value * slope, slope * (6 * square - 2)


def _of_logistic(value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    slope = value * (1 - value)
    return slope, (1 - 2 * value) * slope, slope * (1 - 6 * slope)


ACTIVATED: dict[str, Callable[[Tensor, Tensor], Units]] = {
    "identity": identity,
    "logistic": _by_quadrature(torch.sigmoid, _of_logistic),
    "relu": relu,
    "tanh": _by_quadrature(torch.tanh, _of_tanh),
}
"""Moments of each of `skdropout.activations.ACTIVATIONS`, from the input's mean and variance."""
