"""Raw outputs whose distribution over the draws is a Gaussian, and points that stand for it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.special import ndtri
from scipy.stats import qmc
from torch import Tensor

# One output: the trapezoid rule, whose error falls exponentially for smooth functions. Nodes in
# standard deviations; they resolve a logistic curve ten times as steep as the Gaussian is wide.
_NODES = np.linspace(-6.0, 6.0, 65)
# Several outputs: so many points of a scrambled Sobol sequence, each with its opposite. The seed is
# that of 0 to 29 whose points were nearest to 4,096, for random logits of 3 to 10 classes.
_LOG2_PAIRS, _SEED = 5, 29
# Beyond this skewness the bent Gaussian would fold back within three standard deviations.
_MOST_SKEWED = 1.0


class GaussianOutputs(NamedTuple):
    """Raw outputs over the draws, as a Gaussian a row, which may be skewed.

    Attributes
    ----------
    mean : Tensor of shape (rows, n_raw)
    covariance : Tensor of shape (rows, n_raw, n_raw)
    third : Tensor of shape (rows, n_raw) or None
        Third central moment of each output. None is none.
    """

    mean: Tensor
    covariance: Tensor
    third: Tensor | None = None

    def at(self, points: np.ndarray) -> Tensor:
        """Points of a standard normal distribution ``(n, n_raw)``, as points of this one.

        Returns
        -------
        Tensor of shape (n, rows, n_raw)
        """
        at = torch.tensor(points, dtype=self.mean.dtype, device=self.mean.device)
        scale, bend, shift = self._bent()
        if self.mean.shape[1] == 1:
            powers = torch.cat([at.square(), at, torch.ones_like(at)], 1)
            std = self.covariance[:, 0].clamp_min(0).sqrt()
            terms = torch.cat([bend * std.square(), scale * std, shift], 1)
            return torch.matmul(powers, terms.T).unsqueeze(2)
        # Points and rows last in memory: what follows works on the outputs side by side.
        spread = torch.einsum("sd,rcd->csr", at, _root(self.covariance))
        if self.third is not None:
            scale, bend = scale.T.unsqueeze(1), bend.T.unsqueeze(1)
            spread = torch.addcmul(scale * spread, spread.square(), bend)
        return spread.add_(shift.T.unsqueeze(1)).permute(1, 2, 0)

    def _bent(self) -> tuple[Tensor, Tensor, Tensor]:
        """What makes ``scale x + bend x^2 + shift`` of points `x` of mean zero, each output's own.

        The first terms of Cornish and Fisher's expansion: they have the third moment as well.
        """
        if self.third is None:
            return torch.ones_like(self.mean), torch.zeros_like(self.mean), self.mean
        variance = self.covariance.diagonal(dim1=1, dim2=2).clamp_min(0)
        inverse = variance.clamp_min(torch.finfo(variance.dtype).tiny ** 0.25).rsqrt()
        skewness = (self.third * inverse.pow(3)).clamp_(-_MOST_SKEWED, _MOST_SKEWED)
        # The variance stays what it is.
        scale = (1 + skewness.square() / 18).rsqrt_()
        bend = scale * skewness * inverse / 6
        return scale, bend, self.mean - bend * variance


def as_points(raws: Sequence[Any]) -> tuple[list[Tensor], Tensor | None]:
    """What stands for the functions of each member.

    Parameters
    ----------
    raws : list of Tensor of shape (n_draws, rows, n_raw) or of GaussianOutputs, one per member

    Returns
    -------
    raws : list of Tensor of shape (n_points, rows, n_raw), one per member
        Draws as they are. For a Gaussian the nodes of a rule of integration, the same for all
        rows: the trapezoid rule for one output, quasi-random points for several.
    shares : Tensor of shape (members * n_points,) or None
        What each point of the members together counts, of sum one. None is the same for all.
    """
    if not isinstance(raws[0], GaussianOutputs):
        return list(raws), None
    mean = raws[0].mean
    if mean.shape[1] > 1:
        return equally_likely_points(raws), None
    weights = np.exp(-0.5 * _NODES**2)
    shares = torch.as_tensor(weights / weights.sum(), dtype=mean.dtype, device=mean.device)
    points = [outputs.at(_NODES[:, None]) for outputs in raws]
    return points, shares.repeat(len(raws)) / len(raws)


def equally_likely_points(raws: Sequence[GaussianOutputs]) -> list[Tensor]:
    """Quasi-random points with the mean and covariance of each member's Gaussian."""
    return [outputs.at(standard_points(outputs.mean.shape[1])) for outputs in raws]


@lru_cache(maxsize=8)
def standard_points(n_dimensions: int) -> np.ndarray:
    """Quasi-random points of a standard normal distribution, always the same.

    Each has its opposite, and together they have covariance one, so that every linear and every
    quadratic function has its exact mean over them.

    Returns
    -------
    ndarray of shape (n_points, n_dimensions)
    """
    half = ndtri(qmc.Sobol(n_dimensions, scramble=True, seed=_SEED).random_base2(_LOG2_PAIRS))
    points = np.concatenate([half, -half])
    if len(half) > n_dimensions:
        points = np.linalg.solve(np.linalg.cholesky(points.T @ points / len(points)), points.T).T
    points.setflags(write=False)
    return points


def _root(covariance: Tensor) -> Tensor:
    """Cholesky's factors of matrices ``(rows, n, n)``, some of which may be singular."""
    root, info = torch.linalg.cholesky_ex(covariance)
    singular = info > 0
    if singular.any():
        root[singular] = _singular_root(covariance[singular])
    return root


def _singular_root(covariance: Tensor) -> Tensor:
    """The same, column by column; directions without variance are left out."""
    rest, root = covariance.clone(), torch.zeros_like(covariance)
    smallest = torch.finfo(rest.dtype).eps * 8 * rest.diagonal(dim1=1, dim2=2).amax(1)
    for column in range(rest.shape[1]):
        pivot = rest[:, column, column]
        scale = torch.where(pivot > smallest, pivot.clamp_min(1e-37).rsqrt(), 0.0)
        root[:, :, column] = rest[:, :, column] * scale.unsqueeze(1)
        rest = rest - root[:, :, column].unsqueeze(2) * root[:, :, column].unsqueeze(1)
    return root
