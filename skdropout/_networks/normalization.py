"""Normalization between a linear map and its activation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._support.arrays import PickledAsArrays
from .._support.members import copy_holding
from ..families import LinearMoments, PlainLinear

EPSILON = 1e-5


@dataclass(frozen=True)
class PlainLayerNorm:
    """Layer normalization of a plain network: `scale` and `shift` of shape ``(members, n)``."""

    scale: Tensor
    shift: Tensor


class Normalization(PickledAsArrays, ABC):
    """Normalization of the units of one layer, for every member of a stack.

    Parameters
    ----------
    n_members, n_units : int
    """

    name: ClassVar[str]

    def __init__(self, n_members: int, n_units: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(n_members, n_units, dtype=torch.float32))
        self.shift = nn.Parameter(torch.zeros(n_members, n_units, dtype=torch.float32))

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        NORMALIZATIONS[cls.name] = cls

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Normalize while training: ``(members, rows, units)`` to the same shape."""

    @abstractmethod
    def plain(self, linear: PlainLinear) -> tuple[PlainLinear, PlainLayerNorm | None]:
        """What the map and this normalization are together at prediction."""

    @abstractmethod
    def moments(self, linear: LinearMoments) -> tuple[LinearMoments, PlainLayerNorm | None]:
        """What the moments of a noisy map and this normalization are together at prediction."""

    def thinned(self, units: Tensor) -> Normalization:
        """The normalization of some of the units, given by their indices."""
        return copy_holding(
            self,
            parameters={
                name: nn.Parameter(values.detach()[:, units].clone())
                for name, values in self.named_parameters()
            },
            buffers={name: values[:, units].clone() for name, values in self.named_buffers()},
        )


NORMALIZATIONS: dict[str, type[Normalization]] = {}
"""The normalizations by name."""


class BatchNorm(Normalization):
    """Batch normalization (Ioffe and Szegedy 2015), statistics per member and unit.

    The running statistics move only in `forward`, which only training calls; at prediction the
    whole is an affine map and is folded into the weights, so it cannot leak between rows.
    """

    name = "batch"
    mean: Tensor
    variance: Tensor

    def __init__(self, n_members: int, n_units: int) -> None:
        super().__init__(n_members, n_units)
        self.register_buffer("mean", torch.zeros(n_members, n_units, dtype=torch.float32))
        self.register_buffer("variance", torch.ones(n_members, n_units, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        # A unit of a member is a channel of its own.
        channels = x.transpose(0, 1).flatten(1)
        normalized = F.batch_norm(
            channels,
            self.mean.view(-1),
            self.variance.view(-1),
            self.scale.flatten(),
            self.shift.flatten(),
            training=True,
            eps=EPSILON,
        )
        return normalized.view(-1, *self.mean.shape).transpose(0, 1)

    def plain(self, linear: PlainLinear) -> tuple[PlainLinear, PlainLayerNorm | None]:
        factor, shift = (values.unsqueeze(1) for values in self._affine())
        weight, bias = linear.weight * factor.unsqueeze(2), linear.bias * factor + shift
        return replace(linear, weight=weight, bias=bias), None

    def moments(self, linear: LinearMoments) -> tuple[LinearMoments, PlainLayerNorm | None]:
        factor, shift = self._affine()
        column = factor.unsqueeze(1)
        variance = None if linear.variance is None else linear.variance * column.square()
        weight, bias = linear.weight * column, linear.bias * factor + shift
        return replace(linear, weight=weight, bias=bias, variance=variance), None

    def _affine(self) -> tuple[Tensor, Tensor]:
        """Factor and shift at prediction: ``(members, n_units)`` each."""
        factor = (self.scale * torch.rsqrt(self.variance + EPSILON)).detach()
        return factor, self.shift.detach() - self.mean * factor


class LayerNorm(Normalization):
    """Layer normalization (Ba, Kiros and Hinton 2016): over the units of a row."""

    name = "layer"

    def forward(self, x: Tensor) -> Tensor:
        normalized = F.layer_norm(x, x.shape[-1:], eps=EPSILON)
        return torch.addcmul(self.shift.unsqueeze(1), normalized, self.scale.unsqueeze(1))

    def plain(self, linear: PlainLinear) -> tuple[PlainLinear, PlainLayerNorm | None]:
        return linear, PlainLayerNorm(self.scale.detach(), self.shift.detach())

    def moments(self, linear: LinearMoments) -> tuple[LinearMoments, PlainLayerNorm | None]:
        return linear, PlainLayerNorm(self.scale.detach(), self.shift.detach())
