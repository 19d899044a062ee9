"""Probabilities of several classes whose log odds are Gaussian, at points and their opposites."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from .outputs import (
    MOST_SKEWED,
    GaussianOutputs,
    largest_variance,
    standard_points,
)

_LOG2_E = math.log2(math.e)
# Share of the exponents of a dtype that powers and their inverses may use.
_SHARE = 0.9


def class_probabilities(
    log_odds: GaussianOutputs, softmax: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Probabilities at the quasi-random points of each row.

    Parameters
    ----------
    log_odds : GaussianOutputs
        Of several classes against the last one.
    softmax : callable
        Takes logits ``(n_points, rows, n_raw + 1)`` of any size, and memory for its result.

    Returns
    -------
    Tensor of shape (n_points, rows, n_raw + 1)
    """
    mean = torch.cat([log_odds.mean.T, log_odds.mean.new_zeros(1, len(log_odds.mean))])
    highest, lowest = mean.amax(0), mean.amin(0)
    reach = largest_variance(log_odds.covariance).clamp_min_(0).sqrt_()
    reach.mul_(_furthest(len(mean) - 1)).add_(highest).sub_(lowest)
    # Rows of which no power at any point overflows or vanishes.
    moderate = reach <= _SHARE * math.log(torch.finfo(mean.dtype).max)
    if not moderate.any():
        logits = log_odds.at(standard_points(len(mean) - 1), n_zeros=1)
        return softmax(logits, logits)
    if moderate.all():
        mean -= (highest + lowest) / 2
        return _from_powers(log_odds, mean)
    result = mean.new_empty(len(standard_points(len(mean) - 1)), *mean.shape).mT
    for rows in (moderate, moderate.logical_not()):
        result[:, rows] = class_probabilities(log_odds.rows(rows), softmax)
    return result


def _from_powers(log_odds: GaussianOutputs, mean: Tensor) -> Tensor:
    """From powers of the logits, without a look for the largest one.

    Opposite points of a Gaussian are ``mean + d`` and ``mean - d``, so their powers are each
    other's inverses, but for a factor of each class, ``exp(2 mean)``: half of them are enough. Not
    of one that is bent.

    Parameters
    ----------
    log_odds : GaussianOutputs
    mean : Tensor of shape (n_raw + 1, rows)
        Of all logits, around zero. It is overwritten.
    """
    n_classes, n_rows = mean.shape
    columns = log_odds.columns(n_zeros=1)
    columns[n_classes - 1] = mean
    # Measured: powers of two take two thirds of the time of those of e.
    at = log_odds.coordinates(standard_points(n_classes - 1)) * _LOG2_E
    # Rows last in memory: what follows works on the classes side by side.
    powers = mean.new_empty(len(at), n_classes, n_rows)
    n_made = len(at) // 2 if log_odds.skewness is None else len(at)
    made, opposite = powers[:n_made], powers[n_made:]
    coordinates = torch.from_numpy(at[:n_made]).to(mean)
    torch.matmul(coordinates, columns.flatten(1), out=made.flatten(1)).exp2_()
    if len(opposite):
        torch.div(mean.mul_(2 * _LOG2_E).exp2_(), made, out=opposite)
    return powers.div_(powers.sum(1, keepdim=True)).mT


@lru_cache(maxsize=8)
def _furthest(n_dimensions: int) -> float:
    """Distance of the point that is furthest out, however its first dimension is bent."""
    points = standard_points(n_dimensions).copy()
    points[:, 0] = np.abs(points[:, 0]) + MOST_SKEWED / 6 * np.abs(points[:, 0] ** 2 - 1)
    return float(np.linalg.norm(points, axis=1).max())
