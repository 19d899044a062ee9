"""Arguments that several metrics take, checked once."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length, column_or_1d

from .._predictive.checks import checked_finite
from .._predictive.scores import mean_of_columns
from .._support.gaps import empty_rows, gaps_in, put_back, split_gaps

# How far the probabilities of a row's classes may be from a sum of one.
_UNIT_TOLERANCE = 0.01


def checked_weight(sample_weight: Any, n_samples: int) -> np.ndarray:
    """Weights of the rows, ones if there are none: ``(n_samples,)``, float64.

    Raises
    ------
    ValueError
        For weights that are negative, not finite or all zero, or as many as there are no rows.
    """
    if sample_weight is None:
        return np.ones(n_samples)
    weight = np.asarray(column_or_1d(sample_weight), dtype=np.float64)
    check_consistent_length(np.empty(n_samples), weight)
    if not (np.isfinite(weight).all() and (weight >= 0).all() and (weight > 0).any()):
        raise ValueError("sample_weight must be finite, not negative and not all zero")
    return weight


def checked_classes(estimator: Any, probabilities: Any) -> np.ndarray:
    """Probabilities of classes of which each row has one: ``(n_samples, n_classes)``.

    Raises
    ------
    ValueError
        For those of a model of several labels per row, which do not add up to one.
    """
    proba = np.asarray(probabilities)
    # What is not a number is told by those who know the row.
    if proba.ndim != 2 or (np.abs(proba.sum(1) - 1) > _UNIT_TOLERANCE).any():
        raise ValueError(
            f"{type(estimator).__name__} gives rows probabilities that do not add up to one, as "
            "where y has several labels per row; referral, and scores of class probabilities, are "
            "for one label per row. Fit one model per label for them"
        )
    return proba


def checked_target(name: str, y_true: Any) -> np.ndarray:
    """Numbers of shape (n_samples,) or (n_samples, n_outputs), float64.

    Of several outputs single ones may be missing, and are NaN then.

    Raises
    ------
    ValueError
        For no rows, other shapes, NaN in a single column or infinity.
    """
    filled, gaps = split_gaps(y_true)
    y = np.asarray(filled, dtype=np.float64)
    if y.ndim not in (1, 2) or not y.size:
        raise ValueError(
            f"{name}: y_true must have shape (n_samples,) or (n_samples, n_outputs) and hold at "
            f"least one row, got shape {y.shape}"
        )
    return put_back(checked_finite(name, "y_true", y), gaps)


def mean_over_rows(values: np.ndarray, weight: np.ndarray, y: np.ndarray) -> float:
    """Weighted mean over rows, after the plain mean over outputs if there are several.

    Parameters
    ----------
    values : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Scores; of one number per row they are of all outputs together.
    weight : ndarray of shape (n_samples,)
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Targets. Where one is missing its score does not count: the mean is then that of each
        output over its own targets, and rows without any target are left out.

    Raises
    ------
    ValueError
        If all targets are missing.
    """
    # A row of weight zero is no row, whatever it holds.
    used = weight > 0
    values, weight, gaps = values[used], weight[used], gaps_in(y[used])
    columns = values.reshape(len(values), -1)
    if gaps is None:
        return float(np.average(columns.mean(1), weights=weight))
    if gaps.all():
        raise ValueError("y holds no value in any row that counts")
    if columns.shape != gaps.shape:
        gaps = empty_rows(gaps)[:, None]
    return mean_of_columns(columns, weight, gaps)
