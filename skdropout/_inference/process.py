"""A Gaussian process of random features: functions that vary where there were no rows.

Its functions have mean zero. They are added to networks, which say what the mean is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._support.arrays import as_tensor
from .._support.compressed import Compressed
from .moments.outputs import GaussianOutputs

# Which of a member's streams of random numbers is that of its functions; its maps have the first.
_STREAM = 2**16


@dataclass(frozen=True)
class RandomFeatures:
    """Random Fourier features: their products are a Gaussian kernel, on average over them.

    Attributes
    ----------
    columns : ndarray of int of shape (n_columns,)
        Of a row, those that say how far it is from another; increasing.
    frequencies : ndarray of shape (n_columns, n_features)
    phases : ndarray of shape (n_features,)

    References
    ----------
    Rahimi and Recht (2007). Random features for large-scale kernel machines. NeurIPS.
    """

    columns: np.ndarray
    frequencies: np.ndarray
    phases: np.ndarray

    def __call__(self, x: Tensor | Compressed) -> Tensor:
        """Features of some rows, ``(rows, n_features)``, in the dtype of `x`."""
        dense, frequencies = self._read(x)
        angles = dense @ frequencies.to(dense) + as_tensor(self.phases).to(dense)
        return angles.cos_().mul_(math.sqrt(2 / len(self.phases)))

    def _read(self, x: Tensor | Compressed) -> tuple[Tensor, Tensor]:
        """Columns of some rows, and their frequencies; those without an entry may be left out."""
        frequencies, mine = as_tensor(self.frequencies), self.columns
        if not (isinstance(x, Compressed) and x.spreads):
            return x.to_dense()[:, as_tensor(mine).to(x.device)], frequencies
        columns, few = x.narrowed()
        _, place, own = np.intersect1d(columns.cpu().numpy(), mine, True, return_indices=True)
        return few.to_dense()[:, as_tensor(place)], frequencies[as_tensor(own)]

    def at_length(self, length: float, centre: np.ndarray) -> RandomFeatures:
        """Those of a kernel that is so many times as wide, with phases counted from a centre."""
        frequencies = self.frequencies / length
        return replace(self, frequencies=frequencies, phases=self.phases - centre @ frequencies)


class DrawnFunctions(NamedTuple):
    """Functions that were drawn, so many for each member.

    Attributes
    ----------
    features : RandomFeatures
    weights : Tensor of shape (members, n_draws, n_raw, n_features)
        Float64.
    """

    features: RandomFeatures
    weights: Tensor

    def __call__(self, x: Tensor | Compressed) -> Tensor:
        """Their values, ``(members, n_draws, rows, n_raw)``, the rows last in memory."""
        features = self.features(x)
        values = self.weights.flatten(0, 2).to(features) @ features.T
        return values.view(*self.weights.shape[:3], -1).mT


@dataclass(frozen=True)
class GaussianProcess:
    """Functions given rows: linear in random features, with Gaussian weights of mean zero.

    Attributes
    ----------
    features : RandomFeatures
    root : ndarray of shape (n_features, n_features)
        ``root @ root.T`` is the covariance of the weights, of a function of size one.
    size : ndarray of shape (n_raw,)
        Of the function that is added to each raw output of a network.
    """

    features: RandomFeatures
    root: np.ndarray
    size: np.ndarray

    def draw(self, n_draws: int, seeds: Sequence[int], centred: bool = True) -> DrawnFunctions:
        """Functions, `n_draws` for each seed.

        Parameters
        ----------
        n_draws : int
        seeds : sequence of int
        centred : bool, default=True
            Whether the mean of several is zero everywhere, so that they leave the mean of a
            member's draws where it is. Each has the variance of one that is drawn alone, but they
            are not independent: two are opposites.
        """
        shape = n_draws, len(self.size), len(self.root)
        rngs = [np.random.default_rng((seed, _STREAM)) for seed in seeds]
        normal = as_tensor(np.stack([rng.standard_normal(shape) for rng in rngs]))
        if centred and n_draws > 1:
            normal = (normal - normal.mean(1, keepdim=True)) * math.sqrt(n_draws / (n_draws - 1))
        weights = normal @ as_tensor(self.root).double().T
        return DrawnFunctions(self.features, weights * as_tensor(self.size).unsqueeze(1))

    def variance(self, x: Tensor | Compressed) -> Tensor:
        """Of the functions' values, ``(rows, n_raw)``."""
        features = self.features(x)
        unit = (features @ as_tensor(self.root).to(features)).square_().sum(1, keepdim=True)
        return unit * as_tensor(self.size).to(features).square()


def widened(
    outputs: GaussianOutputs, variance: Tensor, directions: Tensor | None
) -> GaussianOutputs:
    """Gaussian outputs of networks, with the functions of a process added.

    Parameters
    ----------
    outputs : GaussianOutputs
    variance : Tensor of shape (rows, n_raw)
        By `GaussianProcess.variance`. The functions of different raw outputs are independent.
    directions : Tensor of shape (n_outputs, n_raw) or None
        What the outputs are of the raw ones. None is these themselves.
    """
    variance = variance.to(outputs.mean)
    added = torch.diag_embed(variance)
    if directions is not None:
        turned = directions.to(variance)
        added = (turned * variance.unsqueeze(1)) @ turned.T
    covariance = outputs.covariance + added
    if outputs.skewness is None:
        return outputs._replace(covariance=covariance)
    before, after = (_along(outputs.decision, part) for part in (outputs.covariance, covariance))
    # The third central moment stays: the functions that are added are symmetric.
    share = (before / after.clamp_min(torch.finfo(after.dtype).tiny)).clamp(0, 1)
    return outputs._replace(covariance=covariance, skewness=outputs.skewness * share**1.5)


def _along(decision: Tensor | None, covariance: Tensor) -> Tensor:
    """Variance of the one output, or along a decision: ``(rows, 1)``."""
    if decision is None:
        return covariance[:, 0]
    return torch.einsum("ri,rij,rj->r", decision, covariance, decision).unsqueeze(1)
