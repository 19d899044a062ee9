"""Moments of an activation whose input is Gaussian."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

# Nodes of the trapezoid rule that stands in for the integral where there is no formula, in
# standard deviations. For a smooth function its error falls exponentially with the spacing.
_NODES = np.linspace(-5.25, 5.25, 31)


class Noise(NamedTuple):
    """What makes activated units random, each of shape ``(rows, units)``.

    Attributes
    ----------
    variance : Tensor
        Of the activated value.
    residual : Tensor
        The part of it that no straight line in the Gaussian input explains.
    slope, squared_slope, curvature : Tensor
        Expectations of the activation's derivative, of its square and of the second derivative.
    """

    variance: Tensor
    residual: Tensor
    slope: Tensor
    squared_slope: Tensor
    curvature: Tensor


class Units(NamedTuple):
    """Moments about zero of the units that a linear map reads, each of shape ``(rows, units)``.

    Attributes
    ----------
    mean, second, third, fourth : Tensor
    noise : Noise or None
        None where the units are the same in every draw.
    """

    mean: Tensor
    second: Tensor
    third: Tensor
    fourth: Tensor
    noise: Noise | None = None


def without_noise(values: Tensor) -> Units:
    """Units that are the same in every draw."""
    second = values.square()
    return Units(values, second, second * values, second.square())


def identity(mean: Tensor, variance: Tensor) -> Units:
    """The Gaussian itself."""
    second = torch.addcmul(variance, mean, mean)
    third = mean * torch.add(second, variance, alpha=2)
    fourth = torch.addcmul(3 * variance * second, mean, third)
    one = mean.new_ones(()).expand_as(mean)
    zero = mean.new_zeros(()).expand_as(mean)
    return Units(mean, second, third, fourth, Noise(variance, zero, one, one, zero))


def relu(mean: Tensor, variance: Tensor) -> Units:
    """Exact, by Stein's lemma: ``E[h^(n+1)] = mean E[h^n] + n variance E[h^(n-1)]``.

    The derivative is a step, its expectation the probability of being on. The second derivative
    is a spike at zero, its expectation the density there.
    """
    std = variance.sqrt().clamp_min_(1e-18 if mean.dtype == torch.float32 else 1e-100)
    z = mean / std
    on = torch.special.ndtr(z)
    bell = z.square_().mul_(-0.5).exp_().mul_(1 / math.sqrt(2 * math.pi))
    # Far below zero the two terms of each sum cancel, and rounding may leave less than nothing.
    first = torch.mul(std, bell).addcmul_(mean, on).clamp_min_(0)
    spread_on = variance * on
    second = torch.addcmul(spread_on, mean, first).clamp_min_(0)
    third = torch.mul(variance, first).mul_(2).addcmul_(mean, second).clamp_min_(0)
    fourth = torch.mul(variance, second).mul_(3).addcmul_(mean, third).clamp_min_(0)
    spread = torch.addcmul(second, first, first, value=-1).clamp_min_(0)
    residual = spread_on.mul_(on).neg_().add_(spread).clamp_min_(0)
    noise = Noise(spread, residual, on, on, bell.div_(std))
    return Units(first, second, third, fourth, noise)


def _by_quadrature(
    function: Callable[[Tensor], Tensor], derivatives: Callable[[Tensor], tuple[Tensor, Tensor]]
) -> Callable[[Tensor, Tensor], Units]:
    """Moments of a smooth activation, whose derivatives follow from its value."""
    shares = np.exp(-0.5 * _NODES**2)
    shares /= shares.sum()

    def moments(mean: Tensor, variance: Tensor) -> Units:
        std = variance.sqrt()
        first, second, third, fourth, slope, squared_slope, curvature = (
            torch.zeros_like(mean) for _ in range(7)
        )
        for node, share in zip(_NODES.tolist(), shares.tolist(), strict=True):
            value = function(torch.add(mean, std, alpha=node))
            first.add_(value, alpha=share)
            square = value.square()
            second.add_(square, alpha=share)
            third.addcmul_(square, value, value=share)
            fourth.addcmul_(square, square, value=share)
            one, two = derivatives(value)
            slope.add_(one, alpha=share)
            squared_slope.addcmul_(one, one, value=share)
            curvature.add_(two, alpha=share)
        spread = torch.addcmul(second, first, first, value=-1).clamp_min_(0)
        residual = torch.addcmul(spread, slope.square(), variance, value=-1).clamp_min_(0)
        noise = Noise(spread, residual, slope, squared_slope, curvature)
        return Units(first, second, third, fourth, noise)

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
