"""What `score` is where single cells of y are missing, which scikit-learn's own refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import r2_score
from sklearn.utils import check_array, check_consistent_length

from .._support.gaps import empty_rows, put_back
from .._support.sklearn import check_sample_weight

# Rows that a coefficient of determination needs.
_FEWEST_ROWS = 2


def r2_of_columns(
    y: np.ndarray, gaps: np.ndarray, prediction: np.ndarray, weight: Any, caller: str
) -> float:
    """R^2 of each column over the rows in which it has a value, then the plain mean.

    Parameters
    ----------
    y, gaps : ndarray of shape (n_samples, n_outputs)
        As `split_gaps` returns them.
    prediction : ndarray of the same shape
    weight : array-like of shape (n_samples,) or None
    caller : str
        The estimator.

    Returns
    -------
    float
        Columns with fewer than two values are left out.

    Raises
    ------
    ValueError
        If that is all of them, or if `y` is not of the shape of the prediction.
    """
    y, weight = _checked(y, gaps, prediction, weight, caller)
    there = ~np.isnan(y) & (weight > 0)[:, None]
    columns = np.flatnonzero(there.sum(0) >= _FEWEST_ROWS)
    if not len(columns):
        raise ValueError(f"{caller}.score: no column of y has a value in two rows")
    scores = [
        r2_score(y[rows, column], prediction[rows, column], sample_weight=weight[rows])
        for column in columns
        for rows in (there[:, column],)
    ]
    return float(np.mean(scores))


def accuracy_of_rows(
    y: np.ndarray, gaps: np.ndarray, prediction: np.ndarray, weight: Any, caller: str
) -> float:
    """Share of the rows all of whose labels that are known are right.

    Parameters
    ----------
    y, gaps, prediction, weight, caller
        As for `r2_of_columns`.

    Returns
    -------
    float
        Rows without any known label are left out.

    Raises
    ------
    ValueError
        If that is all of them, or if `y` is not of the shape of the prediction.
    """
    y, weight = _checked(y, gaps, prediction, weight, caller)
    missing = np.isnan(y)
    weight = np.where(empty_rows(missing), 0.0, weight)
    if not weight.any():
        raise ValueError(f"{caller}.score: no row of y has a value")
    right = ((prediction == y) | missing).all(1)
    return float(np.average(right, weights=weight))


def _checked(
    y: np.ndarray, gaps: np.ndarray, prediction: np.ndarray, weight: Any, caller: str
) -> tuple[np.ndarray, np.ndarray]:
    """Targets with NaN for missing cells, and weights."""
    y = put_back(check_array(y, input_name="y", estimator=caller), gaps)
    check_consistent_length(y, prediction)
    if y.shape != prediction.shape:
        raise ValueError(
            f"{caller}.score: y has shape {y.shape}, but the predictions have {prediction.shape}"
        )
    return y, check_sample_weight(weight, y, dtype=np.float64)
