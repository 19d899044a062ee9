"""How each kind of column is encoded: what is seen of its cells, and the parts that read it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._cells import (
    BOOLEANS,
    DATES,
    DURATIONS,
    NOTHING,
    NUMBERS,
    TEXT,
    ZONED,
    Cells,
)
from ._parts import (
    AsTheyCome,
    Entries,
    Gaps,
    Hats,
    Knots,
    Levels,
    Part,
    Ramps,
    Scale,
    SmoothClip,
    Zeros,
    quantile_knots,
)

# Texts of which so large a share differ, in so many rows, are no categories.
_DIFFERENT, _MANY = 0.9, 200
_COMPARABLE = {BOOLEANS: NUMBERS}
# Of piecewise-linear functions.
_BASES: dict[str | None, Callable[[Knots], Part]] = {"piecewise": Hats, "cumulative": Ramps}


class View(ABC):
    """What is seen of a column: one or more columns, by the ends of their names."""

    @abstractmethod
    def __call__(self, cells: Cells) -> dict[str, np.ndarray]: ...


class Itself(View):
    """The values of the cells."""

    def __call__(self, cells: Cells) -> dict[str, np.ndarray]:
        return {"": cells.values}


class Seconds(View):
    """Durations as numbers."""

    def __call__(self, cells: Cells) -> dict[str, np.ndarray]:
        return {"_seconds": cells.values / np.timedelta64(1, "s")}


@dataclass(frozen=True)
class Ranked(View):
    """Levels, and their numbers in order. What has no place in the order is missing there.

    Parameters
    ----------
    order : tuple
        Levels, the smallest first.
    """

    order: tuple

    def __call__(self, cells: Cells) -> dict[str, np.ndarray]:
        ranks = {level: float(rank) for rank, level in enumerate(self.order)}
        found = (ranks.get(value, np.nan) for value in cells.values.tolist())
        return {"": cells.values, "_rank": np.fromiter(found, float, len(cells.values))}


@dataclass(frozen=True)
class Calendar(View):
    """Dates as days since 1970, and what clock and calendar say, in the column's time zone.

    Parameters
    ----------
    zone : str or None
    """

    zone: str | None

    def __call__(self, cells: Cells) -> dict[str, np.ndarray]:
        instants, local = cells.values, self._local(cells)
        days = local.astype("M8[D]")
        parts = {
            "_month": local.astype("M8[M]").astype(np.int64) % 12 + 1,
            # 1970 began on a Thursday; Monday is 0, as in pandas.
            "_weekday": (days.astype(np.int64) + 3) % 7,
            "_hour": np.floor((local - days) / np.timedelta64(1, "h")),
        }
        return {
            "_days": (instants - np.datetime64(0, "us")) / np.timedelta64(1, "D"),
            **{name: np.where(cells.missing, np.nan, part) for name, part in parts.items()},
        }

    def _local(self, cells: Cells) -> np.ndarray:
        if self.zone is None or cells.series is None:
            return cells.values
        local = cells.series.dt.convert_time_zone(self.zone).dt.replace_time_zone(None)
        return local.to_numpy().astype("M8[us]")


@dataclass(frozen=True)
class Settings:
    """The parameters of a `TableEncoder` that columns depend on."""

    encoding: str | None
    n_knots: int
    min_frequency: float | None
    max_categories: int | None
    by_dtype: bool


@dataclass(frozen=True)
class EncodedColumn:
    """A column as the training rows had it.

    Parameters
    ----------
    kind : str
        What it held.
    view : View
    parts : tuple of (str, Part)
        Each with the end of the name of what it sees.
    """

    kind: str
    view: View
    parts: tuple[tuple[str, Part], ...]

    @property
    def width(self) -> int:
        """Output columns."""
        return sum(part.width for _, part in self.parts)

    def names(self, column: str) -> list[str]:
        """Names of the output columns."""
        return [name for end, part in self.parts for name in part.names(column + end)]

    def encode(self, cells: Cells, dtype: np.dtype) -> Iterator[tuple[Part, Entries]]:
        """Entries of every part, for the same column of any rows.

        Parameters
        ----------
        cells : Cells
        dtype : dtype
            Of the output, in which numbers that are left as they come must be finite.

        Raises
        ------
        ValueError
            If the column holds something else than it did.
        """
        seen = self.view(self._as_before(cells))
        if any(isinstance(part, AsTheyCome) for _, part in self.parts):
            _check_as_they_come(cells, dtype)
        for end, part in self.parts:
            values = seen[end]
            missing = np.isnan(values) if values.dtype.kind == "f" else cells.missing
            yield part, part.encode(values, missing)

    def _as_before(self, cells: Cells) -> Cells:
        if self.kind == NOTHING:
            return cells.as_gaps_of(NOTHING)
        if cells.kind == NOTHING:
            return cells.as_gaps_of(self.kind)
        now, before = (_COMPARABLE.get(kind, kind) for kind in (cells.kind, self.kind))
        if now != before:
            cells.refuse(
                f"held {self.kind} in fit and holds {cells.kind} now, "
                f"{cells.present[0]!s:.50} for example; convert it to what it was"
            )
        return cells


def encoded_column(cells: Cells, declared: bool, settings: Settings) -> EncodedColumn:
    """Learn how to encode a column from its training rows.

    Parameters
    ----------
    cells : Cells
    declared : bool
        Whether it is a category because the user says so, in its dtype or by a parameter.
    settings : Settings

    Raises
    ------
    ValueError
        For text that is no category, dates and gaps where numbers are left as they come.
    """
    if settings.encoding is None and not declared and cells.kind in (NUMBERS, BOOLEANS, NOTHING):
        _check_as_they_come(cells, np.dtype(np.float64))
    if cells.kind == NOTHING:
        return EncodedColumn(NOTHING, Itself(), (("", Zeros()),))
    view, parts = _view_and_parts(cells, declared, settings)
    return EncodedColumn(cells.kind, view, tuple(parts))


def _check_as_they_come(cells: Cells, dtype: np.dtype) -> None:
    if cells.missing.any():
        cells.refuse(
            f"holds NaN or another missing value in row {np.argmax(cells.missing)}, and "
            "encoding=None takes numbers; allowed are 'scale', 'piecewise' and 'cumulative'"
        )
    too_large = np.abs(cells.values) > np.finfo(dtype).max
    if too_large.any():
        cells.refuse(
            f"holds {cells.values[np.argmax(too_large)]:g} in row {np.argmax(too_large)}, which "
            f"is infinite in {dtype}; with encoding=None take dtype=numpy.float64"
        )


def _view_and_parts(
    cells: Cells, declared: bool, settings: Settings
) -> tuple[View, list[tuple[str, Part]]]:
    if declared and cells.order is not None:
        return _ordered(cells, settings)
    if declared or _is_category(cells, settings):
        labels = _levels(cells.values, cells.missing, settings, cells.kind == BOOLEANS)
        return Itself(), [("", labels)]
    views: dict[str, Any] = {
        DURATIONS: Seconds(),
        DATES: Calendar(None),
        ZONED: Calendar(cells.zone),
    }
    view: View = views.get(cells.kind, Itself())
    if settings.encoding is None and cells.kind in views:
        cells.refuse(
            f"holds {cells.kind}, and encoding=None takes numbers; allowed are 'scale', "
            "'piecewise' and 'cumulative'"
        )
    (end, values), *others = view(cells).items()
    parts = [(end, part) for part in _numbers(values, settings)]
    for end, values in others:
        parts += [(end, part) for part in _calendar_part(values, settings)]
    return view, parts


def _is_category(cells: Cells, settings: Settings) -> bool:
    if cells.kind == BOOLEANS:
        return settings.by_dtype and settings.encoding is not None
    if cells.kind != TEXT:
        return False
    if settings.encoding is None:
        cells.refuse(
            "holds text, and encoding=None takes numbers and declared categories; allowed are "
            "'scale', 'piecewise' and 'cumulative', or name it in categorical_features"
        )
    if not settings.by_dtype:
        cells.refuse("holds text and is not among categorical_features; name it there, or drop it")
    present = cells.present
    n_different = len(set(present.tolist()))
    if len(present) >= _MANY and n_different > _DIFFERENT * len(present):
        cells.refuse(
            f"holds {len(present)} texts, of which {n_different} differ, so it is no category. "
            "Drop it if it is a key. Make numbers of sentences before, with TfidfVectorizer or "
            "skrub's StringEncoder. Numbers and dates that were read as text are "
            "for pandas.to_numeric(column, errors='coerce') and pandas.to_datetime. If it is a "
            "category all the same, name it in categorical_features or make it of dtype 'category'"
        )
    return True


def _numbers(values: np.ndarray, settings: Settings) -> list[Part]:
    missing = np.isnan(values)
    if settings.encoding is None:
        return [AsTheyCome()]
    present, has_gaps = values[~missing], bool(missing.any())
    scale = Scale.of(present)
    parts: list[Part] = [SmoothClip(scale)]
    basis = _BASES.get(settings.encoding)
    if basis is not None and np.isfinite(scale.size):
        knots = Knots(scale, quantile_knots(scale(present), settings.n_knots), not has_gaps)
        # Between two knots there is a straight line, which is there already.
        parts += [basis(knots)] if len(knots) > 2 else []
    return parts + ([Gaps()] if has_gaps else [])


def _levels(
    labels: np.ndarray, missing: np.ndarray, settings: Settings, are_booleans: bool = False
) -> Levels:
    frequent = settings.min_frequency, settings.max_categories
    return Levels.of(labels, missing, *frequent, are_booleans)


def _ordered(cells: Cells, settings: Settings) -> tuple[View, list[tuple[str, Part]]]:
    view = Ranked(cells.order or ())
    ranks = view(cells)["_rank"]
    rank = SmoothClip(Scale.of(ranks[~np.isnan(ranks)]))
    return view, [("_rank", rank), ("", _levels(cells.values, cells.missing, settings))]


def _calendar_part(values: np.ndarray, settings: Settings) -> list[Part]:
    missing = np.isnan(values)
    if len(np.unique(values[~missing])) == 1:
        return []
    return [SmoothClip(Scale.of(values[~missing])), _levels(values, missing, settings)]
