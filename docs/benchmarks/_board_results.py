"""What the fits of `board.py` say of two models on one table, and of all tables together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from _data import Table, widened_error
from scipy.stats import rankdata


class Score(NamedTuple):
    """A score: its name, digits, whether less is better, and whether ratios of it mean anything."""

    name: str
    digits: int
    loss: bool = True
    ratio: bool = False


SCORES = {
    "classification": (
        Score("log loss", 4, ratio=True),
        Score("calibration error", 4),
        Score("AURC", 4),
        Score("accuracy", 4, loss=False),
    ),
    "regression": (
        Score("RMSE", 4, ratio=True),
        Score("log density", 3, loss=False),
        Score("CRPS", 4, ratio=True),
        Score("interval score", 3, ratio=True),
    ),
}
# Of rows of one fold there are losses, from which this score is made.
OF_ROWS = {"log loss": np.mean, "RMSE": lambda squares: np.sqrt(np.mean(squares))}


class Pair(NamedTuple):
    """Two models on one table, on the folds that both have.

    Attributes
    ----------
    first, second : float
        Means over these folds.
    error : float
        Standard error of the difference; NaN where one fold does not tell it.
    folds : int
    """

    first: float
    second: float
    error: float
    folds: int

    @property
    def difference(self) -> float:
        return self.first - self.second

    def verdict(self, loss: bool) -> int:
        """1 if the first is better by more than two standard errors, -1 if worse, else 0."""
        gain = -self.difference if loss else self.difference
        return int(np.sign(gain)) if abs(gain) > 2 * self.error else 0


class Board:
    """All finished fits, with one label of ours.

    Parameters
    ----------
    lines : iterable of dict
        Of the file of fits.
    label : str
    tables : dict of Table
        In the order of the page.
    """

    def __init__(self, lines: Any, label: str, tables: dict[str, Table]) -> None:
        self.tables = tables
        self.fits: dict[tuple[str, str], dict[int, dict]] = {}
        self.failed: dict[tuple[str, str], str] = {}
        for line in lines:
            if line["table"] not in tables or line["label"] not in {"", label}:
                continue
            key = line["table"], line["model"]
            if "failed" in line:
                self.failed[key] = line["failed"]
            else:
                self.fits.setdefault(key, {})[line["fold"]] = line

    def has(self, table: str, model: str) -> bool:
        return (table, model) in self.fits

    def n_folds(self, table: str, model: str) -> int:
        return len(self.fits[table, model])

    def mean(self, table: str, model: str, score: str) -> float:
        lines = self.fits[table, model].values()
        return float(np.mean([line["scores"][score] for line in lines]))

    def seconds(self, table: str, model: str, what: str = "seconds") -> float:
        return float(np.median([line[what] for line in self.fits[table, model].values()]))

    def pair(self, table: str, first: str, second: str, score: str) -> Pair | None:
        """Two models on the folds that both have; None if there is none."""
        lines = [self.fits.get((table, model), {}) for model in (first, second)]
        folds = sorted(lines[0].keys() & lines[1].keys())
        if not folds:
            return None
        values = np.array([[each[fold]["scores"][score] for fold in folds] for each in lines])
        split = self.tables[table].splits[0]
        error = widened_error(values[0] - values[1], *(len(part) for part in split))
        if len(folds) == 1 and score in OF_ROWS:
            error = error_over_rows(*(each[folds[0]]["losses"] for each in lines), score)
        return Pair(*values.mean(1), error, len(folds))

    def pairs(
        self, names: Sequence[str], first: str, second: str, score: str
    ) -> Iterator[tuple[str, Pair]]:
        """Of each table that both have."""
        for name in names:
            pair = self.pair(name, first, second, score)
            if pair is not None:
                yield name, pair

    def ratio(self, names: Sequence[str], first: str, second: str, score: str) -> float:
        """Geometric mean over the tables of the ratio of both means."""
        pairs = [pair for _, pair in self.pairs(names, first, second, score)]
        return float(np.exp(np.mean([np.log(pair.first / pair.second) for pair in pairs])))

    def times(self, names: Sequence[str], first: str, second: str, what: str = "seconds") -> float:
        """Geometric mean over the tables of the ratio of seconds."""
        both = [name for name in names if self.has(name, first) and self.has(name, second)]
        logs = [
            np.log(self.seconds(name, first, what) / self.seconds(name, second, what))
            for name in both
        ]
        return float(np.exp(np.mean(logs)))

    def ranks(
        self, names: Sequence[str], models: Sequence[str], score: Score, base: str
    ) -> dict[str, list[float]]:
        """Ranks of each model on the tables that it has, 1 is best, by differences from `base`."""
        found: dict[str, list[float]] = {model: [] for model in models}
        for name in names:
            there = [model for model in models if self.pair(name, model, base, score.name)]
            gains = [self.pair(name, model, base, score.name).difference for model in there]
            for model, rank in zip(
                there, rankdata(np.array(gains) * (1 if score.loss else -1)), strict=True
            ):
                found[model].append(float(rank))
        return found


def error_over_rows(first: list[float], second: list[float], score: str) -> float:
    """Standard error of the difference of a score on one test part."""
    a, b = np.asarray(first), np.asarray(second)
    error = np.std(a - b, ddof=1) / np.sqrt(len(a))
    # The root of the mean square moves by so much less than the mean square.
    return float(error / (np.sqrt(a.mean()) + np.sqrt(b.mean())) if score == "RMSE" else error)
