"""`TableEncoder`."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from .._support.sklearn import (
    Interval,
    Options,
    StrOptions,
    check_feature_names_in,
    get_column_indices,
    validate_parameters,
)
from ._cells import NUMBERS, Cells, checked_table, read
from ._columns import Settings, encoded_column
from ._parts import Entries


class TableEncoder(TransformerMixin, BaseEstimator):
    """A table as it comes, as numbers of one size for a network or a linear model.

    Takes a DataFrame with numbers of any scale, categories, dates and missing values, and makes
    a few entries a row of many columns. What happens to each kind of column stands in
    `docs/tables.md`.

    Parameters
    ----------
    encoding : {"piecewise", "cumulative", "scale"} or None, default="piecewise"
        What happens to numbers. "scale": centred by the median, divided by the interquartile
        range (by half the range if that is zero), then clipped smoothly to between -3 and 3
        [1]_. "piecewise": that, and beside it a piecewise-linear encoding with knots at
        quantiles, in the hat basis of `SplineTransformer(degree=1)`, which has two entries
        a value. "cumulative": the same functions as sums of others [2]_, each of which says how
        much of the interval between two knots lies below the value, and which has an entry for
        every interval that does. None: as they come; then text, dates and gaps in numbers are
        errors.
    n_knots : int, default=17
        Knots of "piecewise" and "cumulative", the smallest and the largest value among them. A
        column with fewer different values has a knot at each.
    categorical_features : "from_dtype", array-like of bool, int or str, or None, \
default="from_dtype"
        Which columns are categories. "from_dtype": those of categorical dtype, text and
        booleans. A mask, indices or names: these and no others. None: no column. Text that is no
        category is an error.
    min_frequency : int or float, default=5
        Levels in fewer training rows, or in a smaller share of them, are rare and share one
        column. None: no level is rare because of it.
    max_categories : int, default=1000
        At most so many output columns for the levels of one column, the rare ones' among them.
        None: as many as there are.
    height : float, default=1.0
        What the column of a level holds where a row has the level, and what a piecewise-linear
        function is at most. With "piecewise" the estimators take 0.25: Adam's steps move all
        weights alike, and single levels should not be learned before what many rows have in common.
    sparse_output : bool, default=True
        A compressed sparse row matrix, or an array.
    dtype : {numpy.float32, numpy.float64} or None, default=None
        Of the output. None: float32 if all numbers of the table are float32, else float64.

    Attributes
    ----------
    column_of_feature_ : ndarray of int of shape (n_features_out,)
        The input column that each output column comes from, counted from 0.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Only if `X` has column names that are all strings.

    See Also
    --------
    sklearn.preprocessing.OneHotEncoder : Categories alone.
    sklearn.preprocessing.SplineTransformer : Numbers alone, with splines of higher degree.

    Notes
    -----
    *Missing values.* A column with gaps in the training rows has a column that says so. Elsewhere
    a gap stands at the centre of the numbers, or is treated as a level that was not seen.

    *Levels that were not seen* are treated as rare ones. If no training row had a rare level, they
    have no entry.

    A column without a value or with only one number in training has a column of zeros, whatever it
    holds later.

    References
    ----------
    .. [1] D. Holzmüller, L. Grinsztajn, I. Steinwart (2024). Better by default: strong pre-tuned
       MLPs and boosted trees on tabular data. NeurIPS.
    .. [2] Y. Gorishniy, I. Rubachev, A. Babenko (2022). On embeddings for numerical features in
       tabular deep learning. NeurIPS.

    Examples
    --------
    >>> import pandas as pd
    >>> from skdropout.preprocessing import TableEncoder
    >>> X = pd.DataFrame({"age": [22, 38, None, 35], "sex": ["male", "female", "female", "male"]})
    >>> encoder = TableEncoder("scale", min_frequency=None, sparse_output=False)
    >>> encoder.fit_transform(X).round(2)
    array([[-1.43,  0.  ,  0.  ,  1.  ],
           [ 0.37,  0.  ,  1.  ,  0.  ],
           [ 0.  ,  1.  ,  1.  ,  0.  ],
           [ 0.  ,  0.  ,  0.  ,  1.  ]])
    >>> encoder.get_feature_names_out().tolist()
    ['age', 'missingindicator_age', 'sex_female', 'sex_male']
    >>> encoder.column_of_feature_.tolist()
    [0, 0, 1, 1]
    """

    _parameter_constraints: ClassVar[dict] = {
        "encoding": [StrOptions({"piecewise", "cumulative", "scale"}), None],
        "n_knots": [Interval(Integral, 2, None, closed="left")],
        "categorical_features": [StrOptions({"from_dtype"}), "array-like", None],
        "min_frequency": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Real, 0, 1, closed="neither"),
            None,
        ],
        "max_categories": [Interval(Integral, 1, None, closed="left"), None],
        "height": [Interval(Real, 0, None, closed="neither")],
        "sparse_output": ["boolean"],
        "dtype": [Options(type, {np.float32, np.float64}), None],
    }
    # The estimator that encodes with it, whom the user called: errors are in its name.
    _within: str | None = None

    def __init__(
        self,
        encoding: str | None = "piecewise",
        *,
        n_knots: int = 17,
        categorical_features: Any = "from_dtype",
        min_frequency: float | None = 5,
        max_categories: int | None = 1000,
        height: float = 1.0,
        sparse_output: bool = True,
        dtype: Any = None,
    ) -> None:
        self.encoding = encoding
        self.n_knots = n_knots
        self.categorical_features = categorical_features
        self.min_frequency = min_frequency
        self.max_categories = max_categories
        self.height = height
        self.sparse_output = sparse_output
        self.dtype = dtype

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn scales, knots and levels.

        Parameters
        ----------
        X : DataFrame, array or nested list of shape (n_samples, n_features)
        y : None
            Ignored.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            For a parameter out of range, and for columns that cannot be encoded: infinite numbers,
            numbers and text in one column, free text, two columns of one name.
        TypeError
            For cells that are neither numbers, text nor dates, and for sparse matrices.
        """
        validate_parameters(self)
        caller = self._caller()
        table = checked_table(X, caller)
        declared = self._declared(X, table.shape[1])
        columns = read(table, caller, declared)
        settings = self._settings()
        # Of categorical dtype, they are categories by it.
        are_categories = [
            said or (settings.by_dtype and cells.is_category)
            for said, cells in zip(declared, columns, strict=True)
        ]
        encoded = [
            encoded_column(cells, is_category, settings)
            for cells, is_category in zip(columns, are_categories, strict=True)
        ]
        validate_data(self, X if hasattr(X, "shape") else table, skip_check_array=True)
        self._columns = encoded
        self._are_categories = are_categories
        widths = [column.width for column in encoded]
        self.column_of_feature_ = np.repeat(np.arange(len(encoded)), widths)
        return self

    def transform(self, X: Any) -> Any:
        """Encode rows.

        Parameters
        ----------
        X : DataFrame, array or nested list of shape (n_samples, n_features)
            With the columns of the training rows, in their order.

        Returns
        -------
        encoded : sparse matrix in CSR format or ndarray of shape (n_samples, n_features_out)

        Raises
        ------
        ValueError
            For other columns, infinite numbers, and columns that hold something else than in `fit`.
        TypeError
            For cells that are neither numbers, text nor dates, and for sparse matrices.
        """
        check_is_fitted(self)
        caller = self._caller()
        table = checked_table(X, caller)
        validate_data(self, X if hasattr(X, "shape") else table, reset=False, skip_check_array=True)
        cells = read(table, caller, self._are_categories)
        entries = self._entries(cells, self._dtype_of(cells))
        return _matrix(entries, len(self.column_of_feature_), self.sparse_output)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the output columns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the input columns, only where there are no `feature_names_in_`.

        Returns
        -------
        names : ndarray of str objects of shape (n_features_out,)
            The name of the input column, with the level, the number of the knot or the like.
        """
        check_is_fitted(self)
        columns = zip(self._columns, check_feature_names_in(self, input_features), strict=True)
        return np.array([name for column, of in columns for name in column.names(of)], object)

    @property
    def _entries_per_row(self) -> int:
        return sum(part.n_entries for column in self._columns for _, part in column.parts)

    @property
    def _telling(self) -> np.ndarray:
        """Output columns in which rows are the further apart, the more they differ: ``(n,)``."""
        parts = [part for column in self._columns for _, part in column.parts]
        return np.repeat([part.tells_distance for part in parts], [part.width for part in parts])

    def _declared(self, X: Any, n_columns: int) -> list[bool]:
        """Columns that the parameter says are categories."""
        declared = [False] * n_columns
        if self.categorical_features is None or self._by_dtype():
            return declared
        key = np.asarray(self.categorical_features).tolist()
        try:
            for j in get_column_indices(X if hasattr(X, "shape") else np.asarray(X, object), key):
                declared[j] = True
        except (ValueError, TypeError, IndexError) as error:
            raise ValueError(
                f"{self._caller()}: categorical_features={self.categorical_features!r:.200} "
                f"does not say which of the {n_columns} columns are categories; allowed are a "
                f"mask, indices or names of columns ({error})"
            ) from error
        return declared

    def _caller(self) -> str:
        return self._within or type(self).__name__

    def _by_dtype(self) -> bool:
        return isinstance(self.categorical_features, str)

    def _settings(self) -> Settings:
        return Settings(
            self.encoding, self.n_knots, self.min_frequency, self.max_categories, self._by_dtype()
        )

    def _dtype_of(self, cells: Sequence[Cells]) -> np.dtype:
        numbers = {column.dtype for column in cells if column.kind == NUMBERS}
        single = np.dtype(np.float32)
        chosen = (
            (single if numbers == {single} else np.float64) if self.dtype is None else self.dtype
        )
        return np.dtype(chosen)

    def _entries(self, cells: Sequence[Cells], dtype: np.dtype) -> Entries:
        """Entries of all columns, equally many in each row."""
        shape = len(cells[0].values), self._entries_per_row
        columns, values = np.empty(shape, np.int32), np.empty(shape, dtype)
        first = at = 0
        for column, of in zip(self._columns, cells, strict=True):
            for part, entries in column.encode(of, dtype):
                here = slice(at, at + part.n_entries)
                columns[:, here] = entries.columns + first
                values[:, here] = entries.values
                if part.has_height:
                    values[:, here] *= self.height
                first, at = first + part.width, here.stop
        return Entries(columns, values)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # As in OneHotEncoder, `string` is for estimators to which every object is a text.
        tags.input_tags.categorical = True
        tags.input_tags.allow_nan = self.encoding is not None
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _matrix(entries: Entries, n_columns: int, as_sparse: bool) -> Any:
    n_rows, n_entries = entries.columns.shape
    starts = np.arange(0, n_rows * n_entries + 1, n_entries)
    parts = entries.values.ravel(), entries.columns.ravel(), starts
    matrix = sparse.csr_matrix(parts, shape=(n_rows, n_columns))
    matrix.eliminate_zeros()
    return matrix if as_sparse else matrix.toarray()
