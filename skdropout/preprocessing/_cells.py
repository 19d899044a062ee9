"""A table, column by column, from whatever holds it: what its cells are, and which are missing."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from numbers import Real
from typing import Any, NoReturn

import narwhals.stable.v2 as nw
import numpy as np
from narwhals.exceptions import DuplicateError
from sklearn.utils import check_array

from .._support.gaps import missing_cells

NUMBERS = "numbers"
BOOLEANS = "booleans"
TEXT = "text"
DATES = "dates without a time zone"
ZONED = "dates with a time zone"
DURATIONS = "durations"
NOTHING = "missing values only"

_OF_DTYPE = {
    "b": BOOLEANS,
    "i": NUMBERS,
    "u": NUMBERS,
    "f": NUMBERS,
    "U": TEXT,
    "M": DATES,
    "m": DURATIONS,
}
# The first that fits: a boolean is a number too.
_OF_TYPE: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (str, TEXT),
    ((bool, np.bool_), BOOLEANS),
    ((Real, Decimal), NUMBERS),
    (datetime.date, DATES),
    (datetime.timedelta, DURATIONS),
)
_STORED = {
    NUMBERS: np.dtype("float64"),
    BOOLEANS: np.dtype("float64"),
    TEXT: np.dtype("object"),
    DATES: np.dtype("M8[us]"),
    ZONED: np.dtype("M8[us]"),
    DURATIONS: np.dtype("m8[us]"),
    NOTHING: np.dtype("float64"),
}
_GAP = {"f": np.nan, "O": None, "M": np.datetime64("NaT"), "m": np.timedelta64("NaT")}


@dataclass(frozen=True)
class Cells:
    """One column of a table.

    Parameters
    ----------
    name : str
        Who reads it, and its name, as error sentences begin.
    kind : str
        What it holds, in words: one of the constants of this module.
    values : ndarray of shape (n_samples,)
        Numbers and booleans in float64, text as objects, dates (in UTC if they have a time zone)
        and durations in microseconds.
    missing : ndarray of bool of shape (n_samples,)
    dtype : dtype or None
        In which numbers came.
    is_category : bool
        Whether its dtype is one of categories.
    order : tuple or None
        Its levels in increasing order, if they have one.
    zone : str or None
        The time zone of dates.
    series : narwhals Series or None
        What was read, for dates with a time zone.
    """

    name: str
    kind: str
    values: np.ndarray
    missing: np.ndarray
    dtype: Any = None
    is_category: bool = False
    order: tuple | None = None
    zone: str | None = None
    series: Any = None

    @property
    def present(self) -> np.ndarray:
        """Values of the cells that are not missing."""
        return self.values[~self.missing]

    def refuse(self, what: str) -> NoReturn:
        raise ValueError(f"{self.name} {what}")

    def as_gaps_of(self, kind: str) -> Cells:
        """Missing cells of a column that holds something else in other rows."""
        stored = _STORED[kind]
        gaps = np.full(len(self.values), _GAP[stored.kind], stored)
        return replace(self, kind=kind, values=gaps)


def checked_table(X: Any, caller: str) -> Any:
    """A DataFrame in narwhals' hands, or an array with two axes; of any dtype.

    Parameters
    ----------
    X : DataFrame, array or nested list
    caller : str
        Who reads it, for the errors.

    Raises
    ------
    ValueError
        Without rows or columns, with two columns of one name, for one axis, complex numbers.
    TypeError
        For a sparse matrix.
    """
    try:
        table = nw.from_native(X, eager_only=True, pass_through=True)
    except DuplicateError as error:
        raise ValueError(f"{caller}: each column needs a name of its own. {error}") from error
    if not isinstance(table, nw.DataFrame):
        return _checked_array(X, caller)
    for number, what in zip(table.shape, ("sample", "feature"), strict=True):
        if number == 0:
            raise ValueError(
                f"Found array with 0 {what}(s) (shape={table.shape}) while a minimum of 1 is "
                f"required by {caller}."
            )
    return table


def _checked_array(X: Any, caller: str) -> np.ndarray:
    as_it_is = {"dtype": None, "ensure_all_finite": False, "estimator": caller, "input_name": "X"}
    table = check_array(X, **as_it_is)
    if table.dtype.kind == "U" and not hasattr(X, "dtype"):
        # NumPy wrote the numbers of a list with text as text.
        table = check_array(X, **{**as_it_is, "dtype": object})
    return table


def read(table: Any, caller: str, declared: Sequence[bool]) -> list[Cells]:
    """All columns of a checked table.

    Parameters
    ----------
    table : DataFrame of narwhals or ndarray
        As `checked_table` returns it.
    caller : str
        Who reads it, for the errors.
    declared : sequence of bool
        Columns that the caller says are categories: theirs may be values of any one type.

    Raises
    ------
    ValueError
        For numbers and text in one column, infinite numbers, dtypes that have no meaning here.
    TypeError
        For cells that are neither numbers, text nor dates.
    """
    if isinstance(table, nw.DataFrame):
        return [
            _from_series(table[:, j], f"{caller}: column {name!r}", declared[j])
            for j, name in enumerate(table.columns)
        ]
    return [
        _cells(table[:, j], missing_cells(table[:, j]), f"{caller}: column {j}", declared[j])
        for j in range(table.shape[1])
    ]


def _from_series(series: Any, name: str, declared: bool) -> Cells:
    dtype, values = series.dtype, series.to_numpy()
    is_category = isinstance(dtype, nw.Categorical | nw.Enum)
    if is_category and values.dtype.kind in "mM":
        # Levels are written as their dtype writes them.
        values = np.array(series.to_list(), object)
    missing = series.is_null().to_numpy()
    cells = _cells(values, missing, name, declared or is_category, str(dtype))
    zone = getattr(dtype, "time_zone", None)
    if zone is not None and cells.kind == DATES:
        cells = replace(cells, kind=ZONED, zone=zone, series=series)
    return replace(cells, is_category=is_category, order=_order(dtype, cells))


def _order(dtype: Any, cells: Cells) -> tuple | None:
    if not isinstance(dtype, nw.Enum):
        return None
    return tuple(map(str, dtype.categories)) if cells.kind == TEXT else tuple(dtype.categories)


def _cells(
    values: np.ndarray, missing: np.ndarray, name: str, declared: bool, dtype: str | None = None
) -> Cells:
    if values.ndim != 1:
        raise TypeError(f"{name} is of dtype {dtype}: {_ALLOWED}")
    if values.dtype.kind == "f":
        missing = missing | np.isnan(values)
    if missing.all():
        return Cells(name, NOTHING, np.full(len(values), np.nan), missing)
    kind = _OF_DTYPE.get(values.dtype.kind)
    if kind is None:
        kind = _kind_of_objects(values, missing, name, declared)
    if declared and kind not in (NUMBERS, BOOLEANS):
        kind, values = TEXT, np.array([str(value) for value in values], object)
    cells = Cells(name, kind, _stored(values, missing, _STORED[kind]), missing, values.dtype)
    _check_finite(cells)
    return cells


_ALLOWED = (
    "the argument must be a string, a number, a boolean, a date or a duration in each cell. "
    "Convert the column, or drop it"
)


def _kind_of_objects(values: np.ndarray, missing: np.ndarray, name: str, declared: bool) -> str:
    if values.dtype.kind == "c":
        raise ValueError(f"{name}: Complex data not supported")
    values = values[~missing].astype(object)
    examples = {type(value): value for value in values}
    kinds = {_kind_of_type(type_): value for type_, value in examples.items()}
    if set(kinds) == {NUMBERS, BOOLEANS}:
        return NUMBERS
    strange = kinds.get(None)
    if strange is not None and not (declared and len(kinds) == 1):
        raise TypeError(f"{name} holds a {type(strange).__name__}, {strange!r:.50}: {_ALLOWED}")
    if len(kinds) > 1:
        found = " and ".join(f"{kind} ({value!r:.30})" for kind, value in kinds.items())
        raise ValueError(
            f"{name} holds {found}; a column must be of one kind. Make it numbers, as "
            "pandas.to_numeric(column, errors='coerce') does, or text, as column.astype(str) does"
        )
    (kind,) = kinds
    if kind == DATES and any(getattr(value, "tzinfo", None) is not None for value in values):
        raise ValueError(
            f"{name} holds objects for dates with a time zone; make it a column of dates, as "
            "pandas.to_datetime(column, utc=True) does"
        )
    return TEXT if kind is None else kind


def _kind_of_type(cell: type) -> str | None:
    return next((kind for types, kind in _OF_TYPE if issubclass(cell, types)), None)


def _stored(values: np.ndarray, missing: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if not missing.any():
        return values.astype(dtype)
    stored = np.full(len(values), _GAP[dtype.kind], dtype)
    stored[~missing] = values[~missing].astype(dtype)
    return stored


def _check_finite(cells: Cells) -> None:
    if cells.kind == NUMBERS and np.isinf(cells.values).any():
        row = int(np.flatnonzero(np.isinf(cells.values))[0])
        cells.refuse(
            f"holds {cells.values[row]:g} (infinity) in row {row}; numbers must be finite. "
            "Make it a missing value or a large number"
        )
