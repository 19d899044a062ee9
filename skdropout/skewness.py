"""Third central moments of a noisy network's outputs, from what the ways forward and back know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .activated import Units
from .moment_maps import MomentMap, Normalized, unexplained


class Source(NamedTuple):
    """A noisy map as the outputs see it.

    Attributes
    ----------
    layer : MomentMap
    units : Units
        What it reads.
    spread : Tensor of shape (rows, n_in) or None
        By `MomentMap.spread`.
    first : Tensor of shape (rows or 1, n_directions, n_in)
        Derivatives of the outputs with respect to what it reads, times the factors. The same for
        all rows in the last map.
    effect : Tensor of shape (rows, n_directions, n_in) or None
        By `MomentMap.effect`, of units that are the same in every draw.
    norm : Normalized or None
        Behind the map.
    of_weights : Tensor of shape (rows, n_directions, n_out) or None
        Covariance of the outputs with the sums of the map, as far as noise on its weights makes it.
    """

    layer: MomentMap
    units: Units
    spread: Tensor | None
    first: Tensor
    effect: Tensor | None
    norm: Normalized | None
    of_weights: Tensor | None


def third_moments(sources: Sequence[Source]) -> Tensor:
    """Third central moments of the outputs: ``(rows, n_directions)``.

    With `q` the covariance of a sum with the output, carried from the first noisy map on, three
    things make the output skewed: factors that are skewed, activations that bend what arrives,
    and factors whose effect grows with what arrives.

    Parameters
    ----------
    sources : sequence of Source
        From the inputs to the outputs.
    """
    first = sources[0]
    total = first.first.new_zeros(len(first.units.mean), first.first.shape[1])
    q: Tensor | None = None
    for source in sources:
        if q is not None:
            total += _of_random_units(source, q)
        elif source.effect is not None:
            cubes = source.effect.square().mul_(source.effect)
            total += torch.matmul(cubes, (2 * source.layer.tilt).expand(cubes.shape[-1]))
        if source is not sources[-1]:
            q = _onward(source, q)
    return total


def _of_random_units(source: Source, q: Tensor) -> Tensor:
    """What activations and factors add, given the covariance of the sums with the outputs."""
    layer, units, first = source.layer, source.units, source.first
    assert units.noise is not None, "noise stays noise on its way"
    bent = q * units.noise.curvature.unsqueeze(1)
    if layer.alpha is None:
        return 3 * _dot(bent.mul_(q), first)
    bent.addcmul_(units.noise.value_slope.unsqueeze(1), first * (2 * layer.alpha)).mul_(q)
    skewed = _dot(units.third().unsqueeze(1), first.pow(3) * layer.third)
    return skewed.add_(_dot(bent, first), alpha=3)


def _dot(left: Tensor, right: Tensor) -> Tensor:
    """Sums over the units of products: ``(rows, n_directions)``. Axes of length one serve all."""
    if right.shape[:2] == (1, 1):
        return torch.matmul(left, right[0, 0])
    if len(right) == 1 and left.shape[1] == 1:
        return torch.matmul(left[:, 0], right[0].T)
    return torch.linalg.vecdot(left, right)


def _onward(source: Source, q: Tensor | None) -> Tensor | None:
    """Covariance of the outputs with the sums of a map, from that with those before its inputs."""
    layer, units = source.layer, source.units
    if source.effect is not None:
        q = source.effect * (units.mean * layer.root).unsqueeze(1)
    elif q is not None and units.noise is not None:
        q = q * units.noise.slope.unsqueeze(1)
        if source.spread is not None:
            own = unexplained(source.spread, units.noise)
            q.addcmul_(own.unsqueeze(1), source.first)
    if q is not None:
        q = torch.matmul(q, layer.weight)
        if source.norm is not None:
            q = source.norm.forward(q)
    if source.of_weights is None:
        return q
    return source.of_weights if q is None else q + source.of_weights
