"""Probabilities of several classes whose log odds are Gaussian, at points and their opposites."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from .gaussian_outputs import (
    GaussianOutputs,
    largest_variance,
    set_root_of_log_odds,
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
    if log_odds.third is not None or not moderate.any():
        logits = log_odds.at(standard_points(len(mean) - 1), n_zeros=1)
        return softmax(logits, logits)
    if moderate.all():
        mean -= (highest + lowest) / 2
        return _from_half_of_the_powers(mean, log_odds.covariance)
    result = mean.new_empty(len(standard_points(len(mean) - 1)), *mean.shape).mT
    for rows in (moderate, moderate.logical_not()):
        result[:, rows] = class_probabilities(log_odds.rows(rows), softmax)
    return result


def _from_half_of_the_powers(mean: Tensor, covariance: Tensor) -> Tensor:
    """Opposite points are ``mean + d`` and ``mean - d``, so their powers are each other's inverses.

    But for a factor of each class, ``exp(2 mean)``.

    Parameters
    ----------
    mean : Tensor of shape (n_raw + 1, rows)
        Of the logits, around zero. It is overwritten.
    covariance : Tensor of shape (rows, n_raw, n_raw)
        Of all but the last one.
    """
    n_classes, n_rows = mean.shape
    points = standard_points(n_classes - 1)
    n_pairs = len(points) // 2
    columns = mean.new_zeros(n_classes, n_classes, n_rows)
    set_root_of_log_odds(columns[:-1, :-1], (mean[:-1] - mean[-1]).T, covariance)
    columns[-1] = mean
    # Measured: powers of two take two thirds of the time of those of e.
    at = np.column_stack([points[:n_pairs], np.ones(n_pairs)]) * _LOG2_E
    # Rows last in memory: what follows works on the classes side by side.
    powers = mean.new_empty(len(points), n_classes, n_rows)
    half, opposite = powers[:n_pairs], powers[n_pairs:]
    torch.matmul(torch.from_numpy(at).to(mean), columns.flatten(1), out=half.flatten(1)).exp2_()
    torch.div(mean.mul_(2 * _LOG2_E).exp2_(), half, out=opposite)
    return powers.div_(powers.sum(1, keepdim=True)).mT


@lru_cache(maxsize=8)
def _furthest(n_dimensions: int) -> float:
    """Distance of the point that is furthest out."""
    return float(np.linalg.norm(standard_points(n_dimensions), axis=1).max())
