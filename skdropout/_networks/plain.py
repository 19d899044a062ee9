"""What predictions are made from: plain networks, or noisy ones by their moments.

Nothing here knows of families, or of training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from ..families import LinearMoments, PlainLinear
from .normalization import PlainLayerNorm


@dataclass(frozen=True)
class PlainLayer:
    """A linear map of a plain stack, and the layer normalization behind it, if any."""

    linear: PlainLinear
    norm: PlainLayerNorm | None


@dataclass(frozen=True)
class PlainStack:
    """Plain networks: no noise, no state.

    Attributes
    ----------
    layers : tuple of PlainLayer
        From the inputs to the raw outputs.
    activation : callable
        Between the layers.
    inputs : Tensor of int64 or None
        Columns of a row that the networks read, in order. None is all of them.
    """

    layers: tuple[PlainLayer, ...]
    activation: Callable[[Tensor], Tensor]
    inputs: Tensor | None = None

    @property
    def n_members(self) -> int:
        return self.layers[0].linear.weight.shape[0]

    def reading(self, some: Any) -> PlainStack:
        """The same networks for rows that hold some columns only; the others are zero."""
        return replace(self, layers=_reading(self.layers, some))

    @property
    def n_draws(self) -> int:
        """Draws per member."""
        return max(
            size
            for linear in (layer.linear for layer in self.layers)
            for size in (
                linear.weight.shape[1],
                linear.bias.shape[1],
                1 if linear.gain is None else linear.gain.shape[1],
            )
        )


def _reading(layers: Any, some: Any) -> Any:
    first, *others = layers
    return (replace(first, linear=first.linear.reading(some)), *others)


@dataclass(frozen=True)
class MomentLayer:
    """Moments of a noisy map, and the layer normalization behind it, if any."""

    linear: LinearMoments
    norm: PlainLayerNorm | None


@dataclass(frozen=True)
class MomentStack:
    """Noisy networks, by the moments of their maps.

    Attributes
    ----------
    layers : tuple of MomentLayer
        From the inputs to the raw outputs.
    activation : str
        A key of `skdropout.activations.ACTIVATIONS`.
    inputs : Tensor of int64 or None
        As in `PlainStack`.
    directions : Tensor of shape (n_directions, raw outputs) or None
        Combinations of the raw outputs that are asked for. None is the raw outputs themselves.
    log_odds : bool
        Whether these are log odds of classes. Then the closest decision between them is asked for,
        and its skewness.
    """

    layers: tuple[MomentLayer, ...]
    activation: str
    inputs: Tensor | None = None
    directions: Tensor | None = None
    log_odds: bool = False

    @property
    def n_members(self) -> int:
        return self.layers[0].linear.weight.shape[0]

    def reading(self, some: Any) -> MomentStack:
        """As of `PlainStack`."""
        return replace(self, layers=_reading(self.layers, some))
