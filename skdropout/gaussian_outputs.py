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
from torch.nn.functional import pad

# One output: the trapezoid rule, whose error falls exponentially for smooth functions. Nodes in
# standard deviations; they resolve a logistic curve ten times as steep as the Gaussian is wide.
_NODES = np.linspace(-6.0, 6.0, 65)
# Several outputs: so many points of a scrambled Sobol sequence, each with its opposite. The seed is
# that of 0 to 29 whose points were nearest to 4,096, for random logits of 3 to 10 classes.
_LOG2_PAIRS, _SEED = 5, 29
# With so many log odds the points are too few to be even in all directions.
_LEAST_TURNED = 5
# One less the cosine of the smallest angle that they are turned by.
_APART = 1e-3
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

    def rows(self, chosen: Tensor) -> GaussianOutputs:
        """Of some rows, by a mask."""
        third = None if self.third is None else self.third[chosen]
        return GaussianOutputs(self.mean[chosen], self.covariance[chosen], third)

    def divided(self, by: float) -> GaussianOutputs:
        """The distribution of the outputs divided by a number."""
        third = None if self.third is None else self.third / by**3
        return GaussianOutputs(self.mean / by, self.covariance / by**2, third)

    def at(self, points: np.ndarray, n_zeros: int = 0) -> Tensor:
        """Points of a standard normal distribution ``(n, n_raw)``, as points of this one.

        Parameters
        ----------
        points : ndarray of shape (n, n_raw)
        n_zeros : int, default=0
            Outputs that are always zero, added behind several others. These are log odds then.

        Returns
        -------
        Tensor of shape (n, rows, n_raw + n_zeros)
        """
        at = torch.tensor(points, dtype=self.mean.dtype, device=self.mean.device)
        n_rows, n_raw = self.mean.shape
        if n_raw == 1:
            scale, bend, shift = self._bent()
            powers = torch.cat([at.square(), at, torch.ones_like(at)], 1)
            std = self.covariance[:, 0].clamp_min(0).sqrt()
            terms = torch.cat([bend * std.square(), scale * std, shift], 1)
            return torch.matmul(powers, terms.T).unsqueeze(2)
        # Points and rows last in memory: what follows works on the outputs side by side. The means
        # and zeros come along in one product, in which new memory is written once.
        columns = self.mean.new_zeros(n_raw + 1, n_raw + n_zeros, n_rows)
        if n_zeros:
            set_root_of_log_odds(columns[:-1, :n_raw], self.mean, self.covariance)
        else:
            set_root(columns[:-1, :n_raw], self.covariance)
        columns[-1, :n_raw] = self.mean.T
        if self.third is None:
            at = torch.cat([at, torch.ones_like(at[:, :1])], 1)
            values = torch.matmul(at, columns.flatten(1))
        else:
            values = torch.matmul(at, columns[:-1].flatten(1))
        values = values.view(len(points), -1, n_rows)
        if self.third is not None:
            scale, bend, shift = (value.T for value in self._bent())
            bent = values[:, :n_raw]
            bent.mul_(torch.addcmul(scale, bent, bend)).add_(shift)
        return values.mT

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


def as_points(raws: Sequence[Any], n_zeros: int = 0) -> tuple[list[Tensor], Tensor | None]:
    """What stands for the functions of each member.

    Parameters
    ----------
    raws : list of Tensor of shape (n_draws, rows, n_raw) or of GaussianOutputs, one per member
    n_zeros : int, default=0
        Outputs that are always zero, added behind several Gaussian ones.

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
        return equally_likely_points(raws, n_zeros), None
    weights = np.exp(-0.5 * _NODES**2)
    shares = torch.as_tensor(weights / weights.sum(), dtype=mean.dtype, device=mean.device)
    points = [outputs.at(_NODES[:, None]) for outputs in raws]
    return points, shares.repeat(len(raws)) / len(raws)


def equally_likely_points(raws: Sequence[GaussianOutputs], n_zeros: int = 0) -> list[Tensor]:
    """Quasi-random points with the mean and covariance of each member's Gaussian."""
    return [outputs.at(standard_points(outputs.mean.shape[1]), n_zeros) for outputs in raws]


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


def set_root(root: Tensor, covariance: Tensor) -> None:
    """Cholesky's factors of matrices ``(rows, n, n)``, some of which may be singular.

    Parameters
    ----------
    root : Tensor of shape (n, n, rows)
        Zeros, which are overwritten. Columns first, then their entries.
    covariance : Tensor of shape (rows, n, n)
    """
    factors, failed = torch.linalg.cholesky_ex(covariance)
    root.copy_(factors.permute(2, 1, 0))
    smallest = torch.finfo(root.dtype).eps * 8 * largest_variance(covariance)
    singular = (failed != 0) | (root.diagonal().amin(1).square() <= smallest)
    if singular.any():
        root[:, :, singular] = _singular_root(covariance[singular], smallest[singular])


def set_root_of_log_odds(root: Tensor, mean: Tensor, covariance: Tensor) -> None:
    """The same for log odds against the last class, with the closest decision first.

    Quasi-random points are most even in their first dimension. With many classes it goes to what
    tells the most probable class from the runner-up. Else a single point that happens to lie far
    out between these two would stand for more than it is worth.

    Parameters
    ----------
    root : Tensor of shape (n, n, rows)
        As for `set_root`.
    mean : Tensor of shape (rows, n)
    covariance : Tensor of shape (rows, n, n)
    """
    set_root(root, covariance)
    if len(root) < _LEAST_TURNED:
        return
    top, second = _closest_classes(mean, covariance)
    first = _factors_of(second, root) - _factors_of(top, root)
    size = first.square().sum(0)
    first *= size.clamp_min(torch.finfo(root.dtype).tiny).rsqrt_()
    # The reflection that exchanges this direction and the first dimension, unless they are the
    # same already: then rounding would decide about its other dimensions.
    apart = 1 - first[0]
    share = torch.where((apart > _APART) & (size > 0), 1 / apart, 0.0)
    first[0] -= 1
    along = (root * first.unsqueeze(1)).sum(0).mul_(share)
    root.addcmul_(first.unsqueeze(1), along, value=-1)


def _closest_classes(mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """The most probable class of each row, and the one fewest standard deviations behind it."""
    logits, whole = pad(mean, (0, 1)), pad(covariance, (0, 1, 0, 1))
    highest, top = logits.max(1, keepdim=True)
    with_top = whole.gather(1, top.unsqueeze(2).expand(-1, 1, whole.shape[2])).squeeze(1)
    variance = whole.diagonal(dim1=1, dim2=2) - 2 * with_top + with_top.gather(1, top)
    variance.clamp_min_(torch.finfo(variance.dtype).tiny)
    distance = (highest - logits).square_() / variance
    distance.scatter_(1, top, torch.nan).nan_to_num_(torch.inf)
    return top.squeeze(1), distance.argmin(1)


def _factors_of(classes: Tensor, root: Tensor) -> Tensor:
    """Of one class a row: ``(n, rows)``. The last class, which all are against, has none."""
    n, last = len(root), classes == len(root)
    index = classes.masked_fill(last, 0).expand(n, 1, -1)
    return root.gather(1, index).squeeze(1).masked_fill_(last, 0.0)


def largest_variance(covariance: Tensor) -> Tensor:
    """Of the outputs of each row: ``(rows,)``."""
    # Measured: along the last axis, torch takes several times as long.
    return covariance.diagonal(dim1=1, dim2=2).T.contiguous().amax(0)


def _singular_root(covariance: Tensor, smallest: Tensor) -> Tensor:
    """Factors ``(n, n, rows)`` that leave out directions with no more variance than `smallest`."""
    rest = covariance.permute(1, 2, 0).contiguous()
    root = torch.zeros_like(rest)
    for k in range(len(rest)):
        pivot = rest[k, k]
        scale = torch.where(pivot > smallest, pivot.clamp_min(1e-37).rsqrt_(), 0.0)
        column = torch.mul(rest[k, k:], scale, out=root[k, k:])[1:]
        rest[k + 1 :, k + 1 :].addcmul_(column.unsqueeze(1), column, value=-1)
    return root
