"""Missing cells: where they are, and how a target with several columns goes past scikit-learn."""

from __future__ import annotations

import sys
from numbers import Real
from typing import Any

import numpy as np


def missing_cells(values: np.ndarray) -> np.ndarray:
    """Which cells of an array are missing (None, NaN, NaT, `pandas.NA`): bool, of its shape."""
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind != "O":
        return np.isnat(values) if values.dtype.kind in "mM" else np.zeros(values.shape, bool)
    pandas = sys.modules.get("pandas")
    if pandas is not None:
        return pandas.isna(values)
    # A NaN of any type is the only number that is not itself.
    missing = [v is None or (isinstance(v, Real) and v != v) for v in values.flat]
    return np.array(missing, bool).reshape(values.shape)


def split_gaps(y: Any) -> tuple[Any, np.ndarray | None]:
    """A target of several columns with zeros for missing cells, and where these are.

    scikit-learn refuses missing cells in y. Zero is a value that everything else may be checked
    with: it is a number, a count and a label.

    Parameters
    ----------
    y : array-like
        As a user gives it.

    Returns
    -------
    y : array-like
        The same object if no cell is missing or there is only one column.
    gaps : ndarray of bool of shape (n_samples, n_outputs) or None
        None for no gaps.
    """
    try:
        values = np.asarray(y)
    except (TypeError, ValueError):
        return y, None  # scikit-learn says what is wrong with it.
    if values.ndim != 2 or values.shape[1] < 2 or values.dtype.kind not in "fO":
        return y, None
    gaps = missing_cells(values)
    if not gaps.any():
        return y, None
    values = values.copy()
    values[gaps] = 0
    if values.dtype.kind == "O" and all(isinstance(v, Real | np.bool_) for v in values.flat):
        values = values.astype(np.float64)
    return values, gaps


def put_back(y: np.ndarray, gaps: np.ndarray | None) -> np.ndarray:
    """A checked target with NaN where its cells are missing; `y` itself without gaps."""
    if gaps is None:
        return y
    y = y.copy() if y.dtype.kind in "fO" else y.astype(np.float64)
    y[gaps] = np.nan
    return y


def empty_rows(gaps: np.ndarray) -> np.ndarray:
    """Rows without any cell: bool, ``(rows,)``."""
    return np.asarray(gaps.all(axis=1))


def gaps_in(y: np.ndarray) -> np.ndarray | None:
    """Which cells of a checked target are missing, of its shape; None for none."""
    if y.ndim != 2 or y.dtype.kind != "f":
        return None
    gaps = np.isnan(y)
    return gaps if gaps.any() else None
