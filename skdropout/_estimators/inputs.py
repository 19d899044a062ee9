"""What the columns of X are, and how they become numbers for a network."""

from __future__ import annotations

from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
from scipy import sparse
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import validate_data

from .._support.gaps import empty_rows, put_back, split_gaps
from .._support.sklearn import check_y, num_samples, safe_indexing
from ..preprocessing import TableEncoder
from ..preprocessing._cells import checked_table as checked_frame
from .parameters import Parameters

# How scikit-learn is to check columns that go as they come.
_NUMBERS: dict[str, Any] = {"dtype": [np.float64, np.float32], "accept_sparse": "csr"}

# Of levels and hat functions beside each other. Chosen on parts of the tables that no page scores
# (docs/tables.md): with 1 networks learn single levels and knots by heart before they find what
# rows have in common. Levels alone, and beside what lies below a number, are whole.
_HEIGHT_OF_HATS = 0.25
# Of a table that is encoded by intervals because nobody said how: a gigabyte, on the way.
_MOST_NUMBERS = 5 * 10**7


def checked_rows(estimator: Any, X: Any) -> Any:
    """Rows for a fitted estimator, as the numbers that its network takes.

    An array, or a matrix in CSR format.
    """
    _check_frame(estimator, X)
    if estimator._encoder is None:
        return validate_data(estimator, X, reset=False, **_NUMBERS)
    _check_columns(estimator, X, reset=False)
    return estimator._encoder.transform(X)


def checked_table(
    estimator: Any,
    X: Any,
    y: Any,
    reset: bool,
    counts: np.ndarray | None,
    numeric: bool,
    streamed: bool = False,
) -> tuple[Any, np.ndarray]:
    """Rows as the numbers that a network takes, and targets of equal length.

    Parameters
    ----------
    estimator : DropoutMLP
        With `reset` it is told what the columns are, and what encodes them.
    X, y
        As the user gave them.
    reset : bool
        Whether the columns are new.
    counts : ndarray of bool of shape (n_samples,) or None
        Rows that the encoding is learned from. None is all of them.
    numeric : bool
        Whether y must hold numbers.
    streamed : bool, default=False
        Whether these are the first rows of many calls, of which the others are not known.

    Returns
    -------
    X : ndarray or matrix in CSR format of shape (n_samples, n_inputs)
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        NaN where single cells of several columns are missing.
    """
    _check_frame(estimator, X)
    y, gaps = split_gaps(y)
    if reset:
        estimator._encoder = encoder_for(estimator, X, streamed)
    encoder: TableEncoder | None = estimator._encoder
    if encoder is None:
        options = {**_NUMBERS, "multi_output": True, "y_numeric": numeric}
        X, y = validate_data(estimator, X, y, reset=reset, **options)
        return X, put_back(y, gaps)
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is None"
        )
    _check_columns(estimator, X, reset)
    y = check_y(y, multi_output=True, y_numeric=numeric, estimator=estimator)
    check_consistent_length(X, y)
    if reset:
        if gaps is not None:
            known = ~empty_rows(gaps)
            counts = known if counts is None else known & counts
        learned = X if counts is None or counts.all() else safe_indexing(X, np.flatnonzero(counts))
        encoder.fit(learned)
        n_numbers = num_samples(X) * encoder._entries_per_row
        is_auto = estimator.input_encoding == "auto" and encoder.encoding == "cumulative"
        if is_auto and n_numbers > _MOST_NUMBERS:
            encoder = estimator._encoder = _encoder_as("piecewise", estimator).fit(learned)
        # What is not compressed takes fewer bytes as soon as more than half is filled.
        encoder.sparse_output = 2 * encoder._entries_per_row < len(encoder.column_of_feature_)
    return encoder.transform(X), put_back(y, gaps)


def _check_frame(estimator: Any, X: Any) -> None:
    """That a DataFrame has rows, columns and a name for each, which others say less clearly."""
    if nw.dependencies.is_into_dataframe(X):
        checked_frame(X, type(estimator).__name__)


def _check_columns(estimator: Any, X: Any, reset: bool) -> None:
    """Names and number of the columns, which the encoder does not ask for in our name."""
    if getattr(X, "ndim", 2) == 1:
        check_array(X, dtype=None)  # Raises, with what to do about it.
    validate_data(estimator, X, reset=reset, skip_check_array=True)


def encoder_for(given: Parameters, X: Any, streamed: bool = False) -> TableEncoder | None:
    """What encodes a table, not yet fitted; None where its columns go as they come."""
    encoding, declared = given.input_encoding, given.categorical_features
    by_dtype = isinstance(declared, str | None)
    if encoding == "auto":
        if by_dtype and (sparse.issparse(X) or (streamed and _plain_numbers(X))):
            return None
        # The first of many calls may have too few rows for the knots of a spline.
        encoding = "scale" if streamed else given._auto_encoding(num_samples(X), _n_columns(X))
    if encoding is None:
        if not by_dtype:
            raise ValueError(
                f"{type(given).__name__}: categorical_features={declared!r:.200} says which "
                "columns to encode, and input_encoding=None encodes none; use 'auto', 'scale', "
                "'piecewise' or 'cumulative'"
            )
        return None
    if sparse.issparse(X):
        raise ValueError(
            f"{type(given).__name__}: input_encoding={given.input_encoding!r} with "
            f"categorical_features={declared!r:.200} encodes columns, and those of a sparse X go "
            "as they come; use input_encoding=None, 'auto' without categories, or X.toarray()"
        )
    return _encoder_as(encoding, given)


def _encoder_as(encoding: str, given: Parameters) -> TableEncoder:
    """What encodes a table in this way, not yet fitted."""
    how: dict[str, Any] = {}
    if encoding == "piecewise":
        how["height"] = _HEIGHT_OF_HATS
    if encoding == "cumulative":
        how["n_knots"] = given._cumulative_knots
    categories = given.categorical_features
    encoder = TableEncoder(encoding, categorical_features=categories, sparse_output=False, **how)
    encoder._within = type(given).__name__
    return encoder


def _n_columns(X: Any) -> int:
    shape = getattr(X, "shape", None) or np.asarray(X, dtype=object).shape
    return shape[1] if len(shape) > 1 else 1


def _plain_numbers(X: Any) -> bool:
    """Whether a table holds numbers without gaps; what is no table is left to be refused.

    A DataFrame with infinite numbers does not: the encoder refuses them by the column's name.
    """
    table = nw.from_native(X, eager_only=True, pass_through=True)
    if isinstance(table, nw.DataFrame):
        return all(_is_plain(table[:, j]) for j in range(table.shape[1]))
    if sparse.issparse(X) or getattr(X, "dtype", None) is None:
        return True
    return np.asarray(X).dtype.kind != "f" or not np.isnan(np.asarray(X)).any()


def _is_plain(series: Any) -> bool:
    numbers = series.dtype.is_numeric() or series.dtype == nw.Boolean
    if not numbers or series.is_null().any():
        return False
    return not series.dtype.is_float() or bool(series.is_finite().all())
