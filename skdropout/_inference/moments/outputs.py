"""Raw outputs whose distribution over the draws is a Gaussian, and points that stand for it."""

from __future__ import annotations

import math
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
    skewness : Tensor of shape (rows, 1) or None
        Of the one output, or along the decision. None is none.
    decision : Tensor of shape (rows, n_raw) or None
        By `closest_decision`, of several outputs that are log odds.
    """

    mean: Tensor
    covariance: Tensor
    skewness: Tensor | None = None
    decision: Tensor | None = None

    def to(self, dtype: torch.dtype) -> GaussianOutputs:
        """These numbers in another dtype."""
        return GaussianOutputs._make(None if part is None else part.to(dtype) for part in self)

    def is_finite(self) -> bool:
        """Whether all numbers are. Of sums that leave the dtype's range the answer is no, too."""
        return math.isfinite(sum(float(part.sum()) for part in self if part is not None))

    def divided(self, by: float) -> GaussianOutputs:
        """The distribution of the outputs divided by a number."""
        return self._replace(mean=self.mean / by, covariance=self.covariance / by**2)

    def marginals(self) -> GaussianOutputs:
        """The distribution of each output for itself, as rows of one output, a row's together."""
        variance = self.covariance.diagonal(dim1=1, dim2=2)
        return GaussianOutputs(self.mean.reshape(-1, 1), variance.reshape(-1, 1, 1))

    def at(self, points: np.ndarray, n_zeros: int = 0) -> Tensor:
        """Points of a standard normal distribution ``(n, n_raw)``, as points of this one.

        Returns
        -------
        Tensor of shape (n, rows, n_raw + n_zeros)
            Behind the others outputs that are always zero. Rows are last in memory: what follows
            works on the outputs side by side.
        """
        n_rows, n_raw = self.mean.shape
        bent = self.skewness is not None
        # What a point is made of by one product with its coordinates, one and (bent) a square. The
        # means and zeros come along in it: new memory is written once.
        columns = self.mean.new_zeros(n_raw + 1 + bent, n_raw + n_zeros, n_rows)
        set_root(columns[:n_raw, :n_raw], self.covariance, self.decision)
        columns[n_raw, :n_raw] = self.mean.T
        coordinates = [points, np.ones((len(points), 1))]
        if self.skewness is not None:
            # The first terms of Cornish and Fisher's expansion: the variance stays, and the
            # skewness becomes what it should be.
            skewness = self.skewness.T.clamp(-_MOST_SKEWED, _MOST_SKEWED)
            columns[0] *= (1 + skewness.square() / 18).rsqrt_()
            torch.mul(columns[0], skewness / 6, out=columns[-1])
            coordinates.append(points[:, :1] ** 2 - 1)
        at = torch.from_numpy(np.concatenate(coordinates, 1)).to(self.mean)
        return torch.matmul(at, columns.flatten(1)).view(len(points), -1, n_rows).mT


def joined(parts: Sequence[GaussianOutputs]) -> GaussianOutputs:
    """All rows of several."""
    fields = zip(*parts, strict=True)
    return GaussianOutputs._make(None if f[0] is None else torch.cat(f) for f in fields)


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
    quadratic function has its exact mean over them. Of shape ``(n_points, n_dimensions)``.
    """
    half = ndtri(qmc.Sobol(n_dimensions, scramble=True, seed=_SEED).random_base2(_LOG2_PAIRS))
    points = np.concatenate([half, -half])
    if len(half) > n_dimensions:
        points = np.linalg.solve(np.linalg.cholesky(points.T @ points / len(points)), points.T).T
    points.setflags(write=False)
    return points


def set_root(root: Tensor, covariance: Tensor, decision: Tensor | None = None) -> None:
    """Cholesky's factors of matrices ``(rows, n, n)``, some of which may be singular.

    A column at a time for all rows: LAPACK's fail for singular ones, and take longer one by one.
    Directions with no more variance than rounding makes are left out.

    They take the place of zeros in `root` of shape ``(n, n, rows)``, columns first, then entries.
    The first column is turned to a decision ``(rows, n)``.
    """
    rest = covariance.permute(1, 2, 0).contiguous()
    smallest = torch.finfo(root.dtype).eps * 8 * rest.diagonal().T.amax(0)
    for k in range(len(rest)):
        pivot = rest[k, k]
        scale = torch.where(pivot > smallest, pivot.clamp_min(1e-37).rsqrt_(), 0.0)
        column = torch.mul(rest[k, k:], scale, out=root[k, k:])[1:]
        rest[k + 1 :, k + 1 :].addcmul_(column.unsqueeze(1), column, value=-1)
    if decision is not None:
        _turn(root, decision.T)


def _turn(root: Tensor, decision: Tensor) -> None:
    """Reflect factors so that all of what moves a decision ``(n, rows)`` is in the first column.

    Quasi-random points are most even in their first dimension. Else a single point that happens
    to lie far out between two classes would stand for more than it is worth.
    """
    first = (root * decision).sum(1)
    size = first.square().sum(0)
    first *= size.clamp_min(torch.finfo(root.dtype).tiny).rsqrt_()
    # Unless they are the same already: then rounding would decide about the other columns.
    apart = 1 - first[0]
    share = torch.where((apart > _APART) & (size > 0), 1 / apart, 0.0)
    first[0] -= 1
    along = (root * first.unsqueeze(1)).sum(0).mul_(share)
    root.addcmul_(first.unsqueeze(1), along, value=-1)


def closest_decision(mean: Tensor) -> Tensor:
    """What tells the most probable class from the others, weighted by their probabilities.

    The other classes' logits less the most probable one's, as weights ``(rows, n)`` of log odds
    against a last class, whose means these are.
    """
    logits = pad(mean, (0, 1))
    top = logits.argmax(1, keepdim=True)
    others = torch.softmax(logits.scatter(1, top, -torch.inf), 1)
    return others.scatter_(1, top, -1.0)[:, :-1]
