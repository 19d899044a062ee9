"""DataFrames for people who want names and an index."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._support.sklearn import num_samples
from .uncertainty import Uncertainty


def uncertainty_frame(
    X: Any,
    uncertainty: Uncertainty,
    error: Uncertainty | None = None,
    names: list[str] | None = None,
) -> Any:
    """Lay an `Uncertainty` out as a pandas DataFrame on the index of `X`.

    Parameters
    ----------
    X : array-like
        Its index is used if it has one.
    uncertainty : Uncertainty
    error : Uncertainty, optional
        Standard errors, for columns whose names end in "_error".
    names : list of str, optional
        Names of the columns of two-dimensional fields; by default they are numbered.

    Raises
    ------
    ImportError
        If pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as missing:
        raise ImportError("as_frame=True needs pandas: pip install pandas") from missing
    columns = _columns(uncertainty, names)
    if error is not None:
        columns |= {f"{name}_error": values for name, values in _columns(error, names).items()}
    return pd.DataFrame(columns, index=_row_names(X))


def named_as(X: Any, frame: Any) -> Any:
    """A DataFrame on the index of `X`, whatever it stood on.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Rows as a person gave them.
    frame : DataFrame
        What came out for them, row by row.

    Raises
    ------
    ValueError
        If there are more or fewer rows than `X` has, so that nobody knows whose they are.
    """
    n_rows = num_samples(X)
    if len(frame) != n_rows:
        raise ValueError(
            f"as_frame=True: the steps before the estimator make {len(frame)} rows of the {n_rows} "
            "that were given, so their names are not known"
        )
    names = _row_names(X)
    return frame.set_axis(range(n_rows) if names is None else names)


def _row_names(X: Any) -> Any:
    # The `index` of a list is a method.
    names = getattr(X, "index", None)
    return None if callable(names) else names


def _columns(uncertainty: Uncertainty, names: list[str] | None) -> dict[str, np.ndarray]:
    columns: dict[str, np.ndarray] = {}
    for field, values in uncertainty._asdict().items():
        if values.ndim == 1:
            columns[field] = values
            continue
        labels = names if names and len(names) == values.shape[1] else range(values.shape[1])
        columns.update({f"{field}_{label}": values[:, k] for k, label in enumerate(labels)})
    return columns
