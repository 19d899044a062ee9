"""Pieces of an encoding: each turns the cells of a column into one or two entries a row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from sklearn.preprocessing import OrdinalEncoder

# Of numbers near the largest that float64 holds, differences are finite in quarters.
_QUARTER = 0.25
# Standardised values beyond it are all the same: far away.
_FAR = 1e100
_ROUNDING = 4 * np.finfo(np.float64).eps


class Entries(NamedTuple):
    """Entries of a sparse matrix, equally many in each row.

    Parameters
    ----------
    columns : ndarray of int of shape (n_samples, n_entries)
        Counted from the first of the part.
    values : ndarray of float of shape (n_samples, n_entries)
        A zero is no entry.
    """

    columns: np.ndarray
    values: np.ndarray


class Part(ABC):
    """Some output columns that one input column is responsible for.

    Attributes
    ----------
    has_height : bool
        Whether the entries are shares of a whole, which may be taken for another number than one.
    tells_distance : bool
        Whether rows are the further apart in these columns, the more they differ.
    """

    has_height = False
    tells_distance = True

    @property
    @abstractmethod
    def width(self) -> int:
        """Output columns."""

    @property
    @abstractmethod
    def n_entries(self) -> int:
        """Entries of each row."""

    @abstractmethod
    def encode(self, values: np.ndarray, missing: np.ndarray) -> Entries:
        """Entries of each row.

        Parameters
        ----------
        values : ndarray of shape (n_samples,)
            Of missing cells anything.
        missing : ndarray of bool of shape (n_samples,)
        """

    @abstractmethod
    def names(self, column: str) -> list[str]:
        """Names of the output columns.

        Parameters
        ----------
        column : str
            The name of the input column.
        """


def _one_column(values: np.ndarray) -> Entries:
    values = values.reshape(-1, 1)
    return Entries(np.zeros(values.shape, np.int32), values)


class AsTheyCome(Part):
    """Numbers without a change. There must be no gaps."""

    width = n_entries = 1

    def encode(self, values: np.ndarray, missing: np.ndarray) -> Entries:
        return _one_column(values)

    def names(self, column: str) -> list[str]:
        return [column]


class Zeros(Part):
    """A column that said nothing in training, and has no say afterwards."""

    width = n_entries = 1

    def encode(self, values: np.ndarray, missing: np.ndarray) -> Entries:
        return _one_column(np.zeros(len(values)))

    def names(self, column: str) -> list[str]:
        return [column]


class Gaps(Part):
    """One where the cell is missing, zero elsewhere."""

    width = n_entries = 1

    def encode(self, values: np.ndarray, missing: np.ndarray) -> Entries:
        return _one_column(missing.astype(np.float64))

    def names(self, column: str) -> list[str]:
        return [f"missingindicator_{column}"]


@dataclass(frozen=True)
class Scale:
    """Centre and size of a column of numbers, in quarters.

    Parameters
    ----------
    centre : float
        The median.
    size : float
        The interquartile range; half the range if that is zero, infinite if that is zero too.
    """

    centre: float
    size: float

    @classmethod
    def of(cls, values: np.ndarray) -> Scale:
        """Of numbers that are all finite, at least one."""
        low, first, centre, third, high = np.quantile(values * _QUARTER, [0, 0.25, 0.5, 0.75, 1])
        # What is below the rounding of the numbers themselves is no spread.
        least = _ROUNDING * abs(centre)
        sizes = [size for size in (third - first, (high - low) / 2) if size > least]
        return cls(float(centre), float(sizes[0]) if sizes else np.inf)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.clip((values * _QUARTER - self.centre) / self.size, -_FAR, _FAR)


@dataclass(frozen=True)
class SmoothClip(Part):
    """Standardised numbers z, as ``z / sqrt(1 + (z / 3)^2)``; gaps are at the centre."""

    scale: Scale
    width = n_entries = 1

    def encode(self, values: np.ndarray, missing: np.ndarray) -> Entries:
        z = np.where(missing, 0.0, self.scale(values))
        return _one_column(z / np.hypot(1, z / 3))

    def names(self, column: str) -> list[str]:
        return [column]


@dataclass(frozen=True)
class Knots:
    """Places among which piecewise-linear functions bend. Beyond the ends they are constant.

    Parameters
    ----------
    scale : Scale
    places : ndarray of shape (n_knots,)
        Increasing, of standardised numbers.
    gaps_are_central : bool
        Whether a missing value stands at the centre; otherwise it has no entry.
    """

    scale: Scale
    places: np.ndarray
    gaps_are_central: bool

    def __len__(self) -> int:
        return len(self.places)

    def passed(self, values: np.ndarray, missing: np.ndarray) -> np.ndarray:
        """Intervals that lie below a number, its own in part: ``(n_samples,)``."""
        z = np.where(missing, 0.0, self.scale(values))
        return np.interp(z, self.places, np.arange(len(self)))

    def without_gaps(self, entries: np.ndarray, missing: np.ndarray) -> np.ndarray:
        """The same entries, which this overwrites, with none where a gap has no place."""
        if not self.gaps_are_central:
            entries[missing] = 0
        return entries


@dataclass(frozen=True)
class Hats(Part):
    """Piecewise-linear functions of a number, in the basis that is one at a knot each."""

    knots: Knots
    n_entries = 2
    has_height = True
    # Any two knots that are no neighbours are equally far apart.
    tells_distance = False

    @property
    def width(self) -> int:
        return len(self.knots)

    def encode(self, values: np.ndarray, missing: np.ndarray) -> Entries:
        passed = self.knots.passed(values, missing)
        left = np.minimum(passed.astype(np.int32), self.width - 2)
        share = passed - left
        entries = self.knots.without_gaps(np.stack([1 - share, share], axis=1), missing)
        return Entries(np.stack([left, left + 1], axis=1), entries)

    def names(self, column: str) -> list[str]:
        return [f"{column}_sp_{knot}" for knot in range(self.width)]


@dataclass(frozen=True)
class Ramps(Part):
    """Piecewise-linear functions of a number, in the basis that rises between two knots each.

    Below the first of the two it is zero, above the second one.
    """

    knots: Knots
    has_height = True
    # The number itself tells it beside them.
    tells_distance = False

    @property
    def width(self) -> int:
        return len(self.knots) - 1

    @property
    def n_entries(self) -> int:
        return self.width

    def encode(self, values: np.ndarray, missing: np.ndarray) -> Entries:
        intervals = np.arange(self.width, dtype=np.int32)
        passed = self.knots.passed(values, missing)
        entries = self.knots.without_gaps(np.clip(passed[:, None] - intervals, 0, 1), missing)
        return Entries(np.broadcast_to(intervals, entries.shape), entries)

    def names(self, column: str) -> list[str]:
        return [f"{column}_bin_{interval}" for interval in range(self.width)]


def quantile_knots(values: np.ndarray, n_knots: int) -> np.ndarray:
    """Knots between which about equally many values lie.

    A value that is as frequent as all those between two knots gets one of its own, and the
    others lie at quantiles of the rest. So a spike takes one knot, not half of them.

    Parameters
    ----------
    values : ndarray of shape (n_samples,)
    n_knots : int
        At most so many; fewer where fewer values differ, and then each is a knot.

    Returns
    -------
    knots : ndarray of shape (at most n_knots,)
        Increasing, the smallest and the largest value among them.
    """
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= n_knots:
        return distinct
    is_spike = counts * (n_knots - 1) >= len(values)
    rest = np.repeat(distinct[~is_spike], counts[~is_spike])
    levels = np.linspace(0, 1, n_knots - is_spike.sum())
    quantiles = np.quantile(rest, levels, method="inverted_cdf")
    return np.unique(np.concatenate([distinct[is_spike], quantiles]))


@dataclass(frozen=True)
class Levels(Part):
    """One output column for each frequent level, one for the rare ones, one for gaps.

    Parameters
    ----------
    places : dict
        Levels that are frequent, as keys, and their columns.
    has_rare, has_gaps : bool
        Whether the training rows had any. What they had not goes with the rare ones, and without
        them has no entry.
    are_booleans : bool
        Whether the levels are truth values, as numbers.
    """

    places: dict
    has_rare: bool
    has_gaps: bool
    are_booleans: bool = False
    n_entries = 1
    has_height = True

    @classmethod
    def of(
        cls,
        labels: np.ndarray,
        missing: np.ndarray,
        min_frequency: float | None,
        max_categories: int | None,
        are_booleans: bool = False,
    ) -> Levels:
        """Learned from training rows, at least one of which is not missing."""
        column = labels[~missing].reshape(-1, 1)
        counted = OrdinalEncoder(
            min_frequency=min_frequency,
            max_categories=max_categories,
            handle_unknown="use_encoded_value",
            unknown_value=-1,
        ).fit(column)
        rare = getattr(counted, "infrequent_categories_", [None])[0]
        levels = counted.categories_[0].tolist()
        left_out = set() if rare is None else set(rare.tolist())
        kept = [level for level in levels if level not in left_out]
        places = {level: place for place, level in enumerate(kept)}
        return cls(places, bool(left_out), bool(missing.any()), are_booleans)

    @property
    def width(self) -> int:
        return len(self.places) + self.has_rare + self.has_gaps

    def encode(self, values: np.ndarray, missing: np.ndarray) -> Entries:
        nowhere = -1
        unseen = len(self.places) if self.has_rare else nowhere
        found = (self.places.get(value, unseen) for value in values.tolist())
        places = np.fromiter(found, np.int32, len(values))
        places[missing] = self.width - 1 if self.has_gaps else unseen
        places = places.reshape(-1, 1)
        return Entries(np.maximum(places, 0), (places != nowhere).astype(np.float64))

    def names(self, column: str) -> list[str]:
        levels = map(bool, self.places) if self.are_booleans else map(_short, self.places)
        names = [f"{column}_{level}" for level in levels]
        names += [f"{column}_infrequent_sklearn"] * self.has_rare
        return names + [f"missingindicator_{column}"] * self.has_gaps


def _short(level: str | float) -> str | float:
    return int(level) if isinstance(level, float) and level.is_integer() else level
