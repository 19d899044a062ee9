"""Skewness of a noisy network's outputs, from what the ways forward and back know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .maps import Passed

# Directions up to which sums one direction after the other take less time than many small products.
_FEW = 4


class Source(NamedTuple):
    """A noisy map as the outputs see it.

    Attributes
    ----------
    passed : Passed
        The map on the way forward.
    first : Tensor of shape (rows or 1, n_directions, n_in)
        Derivatives of the outputs, or of a decision, with respect to what it reads, times the
        factors. Those of outputs are the same for all rows in the last map.
    effect : Tensor of shape (rows, n_directions, n_in) or None
        What one standard deviation of each factor does to the outputs, if it is known already
        (`MomentMap.add_own`). Nobody asks for the derivatives themselves then.
    sums : Tensor of shape (rows or 1, n_directions, n_out)
        Derivatives with respect to its sums, to be used only where its weights are random.
    """

    passed: Passed
    first: Tensor
    effect: Tensor | None
    sums: Tensor

    def along(self, decision: Tensor) -> Source:
        """The same as a combination ``(rows, n_directions)`` of the outputs sees it."""
        sums = self.sums if self.passed.own is None else _along(self.sums, decision)
        if self.effect is not None:
            effect = _along(self.effect, decision)
            return Source(self.passed, effect, effect, sums)
        return Source(self.passed, _along(self.first, decision), None, sums)


def _along(values: Tensor, decision: Tensor) -> Tensor:
    if len(values) == 1:
        return torch.matmul(decision, values[0]).unsqueeze(1)
    if decision.shape[1] > _FEW:
        return torch.bmm(decision.unsqueeze(1), values)
    first, *others = values.unbind(1)
    shares = decision.unsqueeze(2).unbind(1)
    total = first * shares[0]
    for part, share in zip(others, shares[1:], strict=True):
        total.addcmul_(part, share)
    return total.unsqueeze(1)


def third_moments(sources: Sequence[Source]) -> Tensor:
    """Third central moment of one output, or of a decision: ``(rows, 1)``.

    With `q` the covariance of a sum with the output, carried from the first noisy map on, three
    things make the output skewed: factors that are skewed, activations that bend what arrives,
    and noise whose effect grows with what arrives.

    Parameters
    ----------
    sources : sequence of Source
        From the inputs to the outputs, as one output or a decision sees them.
    """
    total = sources[0].first.new_zeros(len(sources[0].passed.units.mean), 1)
    q: Tensor | None = None
    for source in sources:
        effect = _effect(source)
        if q is not None:
            total += _of_random_units(source, q)
        elif effect is not None:
            cubes = effect.square().mul_(effect)
            # As one product: torch would make one of each row, five times as slow.
            of_factors = (2 * source.passed.layer.tilt).expand(cubes.shape[-1]).contiguous()
            total += torch.mv(cubes.flatten(0, 1), of_factors).view_as(total)
        if source is not sources[-1]:
            q = _onward(source, effect, q)
    return total


def skewness(third: Tensor, covariance: Tensor, decision: Tensor | None) -> Tensor:
    """Skewness of one output, or of several along a decision.

    Parameters
    ----------
    third : Tensor of shape (rows, 1)
    covariance : Tensor of shape (rows, n, n)
    decision : Tensor of shape (rows, n) or None
    """
    variance = covariance[:, 0]
    if decision is not None:
        c = decision.unsqueeze(2)
        variance = (c.mT @ covariance @ c).squeeze(2)
    # One after the other: a cube would leave the dtype's range sooner.
    inverse = variance.clamp_min(torch.finfo(variance.dtype).tiny ** 0.5).rsqrt_()
    return (third * inverse).mul_(inverse).mul_(inverse)


def _effect(source: Source) -> Tensor | None:
    """`Source.effect`, for factors on units that are the same in every draw."""
    (layer, units, rest, *_), first = source.passed, source.first
    if source.effect is not None or rest is None or units.noise is not None:
        return source.effect
    return first * (units.mean * layer.root).unsqueeze(1)


def _of_random_units(source: Source, q: Tensor) -> Tensor:
    """What activations and noise add, given the covariance of the sums with the outputs."""
    (layer, units, _, own, _), first = source.passed, source.first
    assert units.noise is not None, "noise stays noise on its way"
    bent = q * units.noise.curvature.unsqueeze(1)
    if layer.alpha is not None:
        bent.addcmul_(units.noise.value_slope.unsqueeze(1), first * (2 * layer.alpha))
    total = 3 * _dot(bent.mul_(q), first)
    if layer.alpha is not None:
        total += _dot(units.third().unsqueeze(1), first.pow(3) * layer.third)
    if own is not None and layer.variance is not None:
        of_squares = torch.matmul(source.sums.square(), layer.variance.T)
        total += 6 * _dot(q * units.noise.value_slope.unsqueeze(1), of_squares)
    return total


def _dot(left: Tensor, right: Tensor) -> Tensor:
    """Sums over the units of products: ``(rows, 1)``. What is the same for all rows has one."""
    if len(right) == 1:
        return torch.matmul(left, right[0, 0])
    return torch.linalg.vecdot(left, right)


def _onward(source: Source, effect: Tensor | None, q: Tensor | None) -> Tensor | None:
    """Covariance of the outputs with the sums of a map, from that with those before its inputs."""
    layer, units, rest, own, norm = source.passed
    if effect is not None:
        q = (effect * units.mean.unsqueeze(1)).mul_(layer.root)
    elif q is not None and units.noise is not None:
        q = q * units.noise.slope.unsqueeze(1)
        if rest is not None:
            q.addcmul_(rest.unsqueeze(1), source.first)
    if q is not None:
        q = torch.matmul(q, layer.onward)
        if norm is not None:
            q = norm.forward(q)
    if own is None:
        return q
    of_weights = source.sums * own.unsqueeze(1)
    return of_weights if q is None else q + of_weights
