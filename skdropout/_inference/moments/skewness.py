"""Skewness of one raw output, or of a decision, from what the ways forward and back know."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .maps import Passed


def skewness(passed: Sequence[Passed], covariance: Tensor, decision: Tensor | None) -> Tensor:
    """Skewness of one output, or of several along a decision: ``(rows, 1)``.

    With `q` the covariance of a sum with the output, carried from the first noisy map on, three
    things make the output skewed: factors that are skewed, activations that bend what arrives,
    and noise whose effect grows with what arrives.

    Parameters
    ----------
    passed : sequence of Passed
        From the inputs to the outputs. The way back has passed those with noise.
    covariance : Tensor of shape (rows, n, n)
        Of the outputs.
    decision : Tensor of shape (rows, n) or None
        What combines several outputs.
    """
    variance = _along(_along(covariance, decision).unsqueeze(2), decision)
    third, q = torch.zeros_like(variance), None
    for one in passed:
        if one.spread is None and one.own is None:
            continue
        first, sums = _along(one.first, decision), None
        if one.own is not None:
            sums = _along(one.sums, decision)
        if q is not None:
            third += _of_random_units(one, first, sums, q).unsqueeze(1)
        elif one.spread is not None:
            effect = first * (one.units.mean * one.layer.gain_std)
            of_factors = effect.square().mul_(effect).mul_(one.layer.half_skewness)
            third += 2 * of_factors.sum(1, keepdim=True)
        if one is not passed[-1]:
            q = _onward(one, first, sums, q)
    # One after the other: a cube would leave the dtype's range sooner.
    inverse = variance.clamp_min(torch.finfo(variance.dtype).tiny ** 0.5).rsqrt_()
    return third.mul_(inverse).mul_(inverse).mul_(inverse)


def _along(values: Tensor, decision: Tensor | None) -> Tensor:
    """A combination of the outputs: ``(rows or 1, n, ...)`` to ``(rows, ...)``."""
    if decision is None:
        return values[:, 0]
    if len(values) == 1:
        return decision @ values[0]
    return (decision.unsqueeze(1) @ values).squeeze(1)


def _of_random_units(one: Passed, first: Tensor, sums: Tensor | None, q: Tensor) -> Tensor:
    """What activations and noise add, given the covariance of the sums with the output."""
    layer, units = one.layer, one.units
    assert units.noise is not None, "noise stays noise on its way"
    value_slope = units.noise.value_slope
    bent = q * units.noise.curvature
    if layer.gain_variance is not None:
        bent.addcmul_(value_slope, first * (2 * layer.gain_variance))
    total = 3 * _dot(bent.mul_(q), first)
    if layer.gain_variance is not None:
        total += _dot(units.third(), first.pow(3) * layer.gain_third)
    if sums is not None and layer.variance is not None:
        total += 6 * _dot(q * value_slope, sums.square() @ layer.variance.T)
    return total


def _dot(left: Tensor, right: Tensor) -> Tensor:
    """Sums over the units of products: ``(rows,)``. What is the same for all rows has one."""
    return left @ right[0] if len(right) == 1 else torch.linalg.vecdot(left, right)


def _onward(one: Passed, first: Tensor, sums: Tensor | None, q: Tensor | None) -> Tensor | None:
    """Covariance of the output with the sums of a map, from that with those before its inputs."""
    layer, units = one.layer, one.units
    if units.noise is not None:
        assert q is not None, "noise stays noise on its way"
        q = (q * units.noise.slope).addcmul_(one.rest, first)
    elif one.spread is not None:
        q = first * one.rest
    if q is not None:
        q = q @ layer.onward
        if one.norm is not None:
            q = one.norm.forward(q)
    if one.own is None or sums is None:
        return q
    of_weights = sums * one.own
    return of_weights if q is None else q + of_weights
