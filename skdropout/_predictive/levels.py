"""Probabilities that people ask intervals and quantiles for."""

from __future__ import annotations

from typing import Any

import numpy as np


def checked_quantiles(caller: str, quantiles: Any) -> np.ndarray:
    """Probabilities as an array.

    Parameters
    ----------
    caller : str
        Who asks.
    quantiles : array-like of shape (n_quantiles,)

    Returns
    -------
    ndarray of shape (n_quantiles,)

    Raises
    ------
    ValueError
        If they are not increasing numbers in (0, 1).
    """
    probabilities = np.atleast_1d(np.asarray(quantiles, dtype=np.float64))
    if (
        probabilities.ndim != 1
        or not ((probabilities > 0) & (probabilities < 1)).all()
        or (np.diff(probabilities) <= 0).any()
    ):
        raise ValueError(
            f"{caller}: quantiles must be increasing numbers in (0, 1), got {quantiles!r}"
        )
    return probabilities


def checked_levels(caller: str, confidence_level: Any) -> np.ndarray:
    """Confidence levels as an array.

    Parameters
    ----------
    caller : str
        Who asks.
    confidence_level : float or array-like of shape (n_levels,)

    Returns
    -------
    ndarray of shape () or (n_levels,)

    Raises
    ------
    ValueError
        If they are not numbers in (0, 1).
    """
    levels = np.asarray(confidence_level, dtype=np.float64)
    if levels.ndim > 1 or not levels.size or not ((levels > 0) & (levels < 1)).all():
        raise ValueError(
            f"{caller}: confidence_level must be a number in (0, 1) or a list of such, got "
            f"{confidence_level!r}"
        )
    return levels


def tails(levels: np.ndarray) -> np.ndarray:
    """Probabilities of the lower and then of the upper ends of central intervals."""
    lower = (1 - np.atleast_1d(levels)) / 2
    return np.concatenate([lower, 1 - lower])


def as_intervals(ends: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Quantiles of `tails` as intervals.

    Parameters
    ----------
    ends : ndarray of shape (..., 2 * n_levels)
    levels : ndarray of shape () or (n_levels,)

    Returns
    -------
    ndarray of shape (..., 2) or (..., 2, n_levels)
    """
    ends = ends.reshape(*ends.shape[:-1], 2, -1)
    return ends if levels.ndim else ends[..., 0]
