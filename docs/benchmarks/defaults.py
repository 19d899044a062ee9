"""The grid of dropout rates that decides the defaults."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from _common import Page, make_parser, markdown_table
from _data import (
    CLASSIFICATION,
    REGRESSION,
    Table,
    load_table,
    preprocessed,
    score_rows,
    summary,
    timed_fit,
)
from joblib import Parallel, delayed
from scipy.stats import rankdata
from sklearn.model_selection import KFold, StratifiedKFold
from threadpoolctl import threadpool_limits

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor

ESTIMATORS = {"classification": DropoutMLPClassifier, "regression": DropoutMLPRegressor}
# The first score of each task decides.
SCORES = {
    "classification": ("log loss", "accuracy", "calibration error"),
    "regression": ("log density", "RMSE", "calibration error"),
}
LARGER_IS_BETTER = {"log density", "accuracy"}
RATES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
INPUT_RATES = (0.0, 0.05, 0.1)

INTRO = """Each estimator at its defaults but for the rate and `random_state`, over the tables of
`tables.py`: {splits}-fold cross-validation within the training part of the official split, of
fold 0 or of split 0, so the rows that this page's choice saw are not all new to `tables.py` where
a table has folds; with one number chosen for {tables} tables that matters little. Preprocessing
and scores are as there. Figures are means over the folds. *Mean rank* is over the tables of the
task, 1 is best. *Mean gain* is the mean over the tables of the score's improvement over the first
line, in the score's own units (for RMSE in per cent, since tables have different units)."""


def folds(table: Table, task: str, n_splits: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cross-validation within the training part of the table's first split."""
    train = np.sort(table.splits[0][0])
    kind = StratifiedKFold if task == "classification" else KFold
    cv = kind(n_splits, shuffle=True, random_state=1)
    return [(train[a], train[b]) for a, b in cv.split(train, table.y[train])]


def fit_once(
    folder: Path, name: str, task: str, n_splits: int, fold: int, rates: tuple[float, float]
) -> dict[str, float]:
    """Scores of one fit, with ``(dropout_rate, input_dropout_rate)``."""
    torch.set_num_threads(1)
    with threadpool_limits(1):
        table = load_table(folder, name)
        train, test = folds(table, task, n_splits)[fold]
        X, X_test = preprocessed(table, train, test)
        model = ESTIMATORS[task](
            dropout_rate=rates[0], input_dropout_rate=rates[1], random_state=fold
        )
        model, _, converged = timed_fit(model, X, table.y[train])
        scores = summary(score_rows(model, X_test, table.y[test]))
    return {**scores, "converged": float(converged)}


def run_grid(
    folder: Path, names: tuple[str, ...], task: str, n_splits: int, grid: list[tuple], n_jobs: int
) -> dict[str, np.ndarray]:
    """Mean scores ``(candidates, tables)``, by name."""
    keys = [(rates, name, fold) for rates in grid for name in names for fold in range(n_splits)]
    done = Parallel(n_jobs=n_jobs, verbose=1)(
        delayed(fit_once)(folder, name, task, n_splits, fold, rates) for rates, name, fold in keys
    )
    values = {score: np.zeros((len(grid), len(names))) for score in done[0]}
    for (rates, name, _), scores in zip(keys, done, strict=True):
        for score, value in scores.items():
            values[score][grid.index(rates), names.index(name)] += value / n_splits
    return values


def mean_ranks(score: str, values: np.ndarray) -> np.ndarray:
    """Rank of each candidate, 1 is best, the mean over the tables."""
    sign = -1 if score in LARGER_IS_BETTER else 1
    return np.mean([rankdata(sign * column) for column in values.T], axis=0)


def mean_gains(score: str, values: np.ndarray) -> list[str]:
    sign = 1 if score in LARGER_IS_BETTER else -1
    if score == "RMSE":
        return [f"{gain:+.2f} %" for gain in (100 * (1 - values / values[0])).mean(1)]
    return [f"{gain:+.4f}" for gain in (sign * (values - values[0])).mean(1)]


def score_table(
    score: str, values: np.ndarray, names: tuple[str, ...], labels: list[str], first: str
) -> str:
    """Markdown: a line per candidate, a column per table, best figures in bold."""
    sign = -1 if score in LARGER_IS_BETTER else 1
    best = (sign * values).argmin(0)
    ranks, gains = mean_ranks(score, values), mean_gains(score, values)
    lines = []
    for row, label in enumerate(labels):
        cells = [
            f"**{value:.4f}**" if best[column] == row else f"{value:.4f}"
            for column, value in enumerate(values[row])
        ]
        lines.append([label, *cells, f"{ranks[row]:.2f}", gains[row]])
    return markdown_table([first, *names, "mean rank", "mean gain"], lines)


def grid_parts(
    task: str,
    names: tuple[str, ...],
    values: dict[str, np.ndarray],
    labels: list[str],
    first: str,
) -> list[str]:
    parts = []
    for score in SCORES[task]:
        parts += [f"#### {score}", score_table(score, values[score], names, labels, first)]
    finished = values["converged"].mean(1)
    shares = (f"{label}: {x:.0%}" for label, x in zip(labels, finished, strict=True))
    parts.append(f"Fits that converged before `max_iter`, by {first}: {', '.join(shares)}.")
    return parts


def section(task: str, names: tuple[str, ...], options, n_splits: int) -> list[str]:
    def grid_of(grid: list[tuple]) -> dict[str, np.ndarray]:
        return run_grid(options.data, names, task, n_splits, grid, options.jobs)

    estimator, decisive = ESTIMATORS[task], SCORES[task][0]
    rates = (0.0, 0.1, 0.5) if options.quick else RATES
    values = grid_of([(rate, 0.0) for rate in rates])
    best = rates[int(mean_ranks(decisive, values[decisive]).argmin())]
    parts = [
        f"## {estimator.__name__}",
        f"Best mean rank of {decisive}: `dropout_rate={best}`. "
        f"The package's default was {estimator().dropout_rate} when this page was made.",
        "### `dropout_rate`",
        *grid_parts(task, names, values, [f"{rate:g}" for rate in rates], "rate"),
    ]
    values = grid_of([(best, rate) for rate in INPUT_RATES])
    parts += [
        f"### `input_dropout_rate`, with `dropout_rate={best}`",
        *grid_parts(task, names, values, [f"{rate:g}" for rate in INPUT_RATES], "input rate"),
    ]
    return parts


def main() -> None:
    parser = make_parser(__file__, __doc__, data=True)
    parser.add_argument("--splits", type=int, default=5, help="folds of the cross-validation")
    parser.add_argument("--jobs", type=int, default=2, help="processes, one thread each")
    options = parser.parse_args()
    tasks = {"classification": CLASSIFICATION, "regression": REGRESSION}
    if options.quick:
        options.splits = 2
        tasks = {"classification": ("pima", "mammographic-mass"), "regression": ("yacht",)}
    page = Page(__file__, "How the default rates were chosen", options)
    n_tables = sum(map(len, tasks.values()))
    page.add(INTRO.format(splits=options.splits, tables=n_tables))
    warnings.simplefilter("ignore")
    for task, names in tasks.items():
        page.add(*section(task, names, options, options.splits))
    page.write()


if __name__ == "__main__":
    main()
