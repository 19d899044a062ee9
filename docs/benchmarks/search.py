"""Seconds of a grid search over dropout rates, against three other ways to search."""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch
from _common import (
    BUSY,
    ONE_NETWORK,
    Page,
    alternate,
    busy_core,
    make_parser,
    markdown_table,
    median_ratio,
    n_cores,
    threads,
)
from _data import load_table
from sklearn.base import BaseEstimator
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import scale
from skorch import NeuralNetClassifier
from torch import nn

from skdropout import DropoutMLPClassifier
from skdropout.model_selection import BatchedGridSearchCV

LARGER = "bank"
WIDTH, FOLDS = 100, 5
OURS = "BatchedGridSearchCV"
OURS_IN_TWO = f"{OURS}, n_jobs=2"
# What to reach at batch 32: so many times faster than the other, with as many processes.
TARGETS = {
    "GridSearchCV(ours, n_jobs=2)": 5.0,
    "GridSearchCV(MLPClassifier, n_jobs=2)": 4.0,
    "GridSearchCV(stock skorch, n_jobs=2)": 10.0,
}

INTRO = """A search over {n_rates} candidates and {folds} folds, {epochs} epochs each where the
table does not say otherwise, one hidden layer of {width} units, Adam, log loss, no refit. The
candidates of `skdropout` and of skorch are dropout rates; `MLPClassifier` has none and searches
over as many values of `alpha`. The batched search runs in one process with one thread, its default,
and in two (n_jobs=2), the others in two processes with one thread each. Every search runs once
before the clock starts, then in turns {repeats} times. Times are medians in seconds, scoring
included: with few epochs the scorer of scikit-learn, which all have in common, is a good part of
the batched search. A ratio is the other's time through that of the batched search in the same
round, in one process or in two: the median of the rounds, their range in brackets. Above 1 the
batched search is faster. The targets are for batch 32 and compare like with like: two processes
with two. Stock skorch is `NeuralNetClassifier` with its default callbacks and `DataLoader`,
`verbose=0`, `train_split=None`."""

GROWTH = """One process, one thread, {epochs} epochs, batch 32. Milliseconds of a fit are the
whole search's time, scoring included, through candidates x folds."""


class Network(nn.Module):
    """One hidden layer with dropout, for stock skorch."""

    def __init__(self, n_in: int, rate: float = 0.1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_in, WIDTH), nn.ReLU(), nn.Dropout(rate), nn.Linear(WIDTH, 2)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def network(batch: int, epochs: int, estimator: type = DropoutMLPClassifier) -> BaseEstimator:
    # Every search trains one network for each candidate and fold.
    options = ONE_NETWORK if estimator is DropoutMLPClassifier else {}
    return estimator(
        (WIDTH,),
        batch_size=batch,
        max_iter=epochs,
        n_iter_no_change=np.inf,
        random_state=0,
        **options,
    )


def stock_skorch(n_in: int, batch: int, epochs: int) -> NeuralNetClassifier:
    return NeuralNetClassifier(
        Network,
        module__n_in=n_in,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=1e-3,
        batch_size=batch,
        max_epochs=epochs,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )


def search(
    search_class: type,
    estimator: BaseEstimator,
    grid: dict,
    X: np.ndarray,
    y: np.ndarray,
    n_jobs: int | None,
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search_class(
            estimator, grid, scoring="neg_log_loss", cv=FOLDS, n_jobs=n_jobs, refit=False
        ).fit(X, y)


def contestants(
    X: np.ndarray, y: np.ndarray, batch: int, epochs: int, n_rates: int
) -> dict[str, Callable[[], None]]:
    rates = np.linspace(0.05, 0.7, n_rates)
    ours = network(batch, epochs)
    penalties = np.geomspace(1e-5, 1, n_rates)
    plain, mlp, skorch = TARGETS
    find = functools.partial(search, X=X, y=y)
    grid = {"dropout_rate": rates}
    return {
        OURS: functools.partial(find, BatchedGridSearchCV, ours, grid, n_jobs=None),
        OURS_IN_TWO: functools.partial(find, BatchedGridSearchCV, ours, grid, n_jobs=2),
        plain: functools.partial(find, GridSearchCV, ours, grid, n_jobs=2),
        mlp: functools.partial(
            find,
            GridSearchCV,
            network(batch, epochs, MLPClassifier),
            {"alpha": penalties},
            n_jobs=2,
        ),
        skorch: functools.partial(
            find,
            GridSearchCV,
            stock_skorch(X.shape[1], batch, epochs),
            {"module__rate": rates},
            n_jobs=2,
        ),
    }


def compared(label: str, seconds: dict[str, np.ndarray], batch: int) -> list[list[str]]:
    lines = []
    for name, times in seconds.items():
        line = [f"{label}, batch {batch}", name, f"{np.median(times):.2f}"]
        for ours in (OURS, OURS_IN_TWO):
            ratio, low, high = median_ratio(times, seconds[ours])
            line.append("" if name == ours else f"{ratio:.1f} ({low:.1f}-{high:.1f})")
        target = TARGETS.get(name) if batch == 32 else None
        reached = "yes" if target is not None and ratio >= target else "**no**"
        lines.append([*line, *(("", "") if target is None else (f"{target:.0f}", reached))])
    return lines


def growth(X: np.ndarray, y: np.ndarray, sizes: list[tuple[int, int]], epochs: int) -> str:
    """Time of the batched search for numbers of candidates and of rows."""
    lines = []
    for n_candidates, n_rows in sizes:
        rows = np.random.default_rng(0).integers(len(X), size=n_rows)
        grid = {"dropout_rate": np.linspace(0.05, 0.7, n_candidates)}
        start = time.perf_counter()
        search(BatchedGridSearchCV, network(32, epochs), grid, X[rows], y[rows], None)
        seconds = time.perf_counter() - start
        n_fits = n_candidates * FOLDS
        steps = n_fits * epochs * np.ceil(n_rows * (FOLDS - 1) / FOLDS / 32)
        lines.append(
            [
                n_candidates,
                f"{n_rows:,}",
                f"{seconds:.1f}",
                f"{seconds / n_fits * 1e3:.1f}",
                f"{seconds / steps * 1e6:.0f}",
            ]
        )
    header = ["candidates", "rows", "seconds", "ms per fit", "us per fit and step"]
    return markdown_table(header, lines)


def main() -> None:
    parser = make_parser(__file__, __doc__, data=True, busy=True)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    repeats, epochs, larger_epochs, n_rates = options.repeats, 50, (5, 20), 10
    sizes = [(n, 569) for n in (10, 50, 100, 500)] + [(10, n) for n in (1_000, 4_000, 16_000)]
    if options.quick:
        repeats, epochs, larger_epochs, n_rates, sizes = 1, 2, (1,), 2, [(2, 200), (4, 200)]
    page = Page(__file__, "Search: seconds of a grid over dropout rates", options)
    X, y = load_breast_cancer(return_X_y=True)
    X = scale(X).astype(np.float32)
    table = load_table(options.data, LARGER)
    X_larger, y_larger = scale(table.X).astype(np.float32), table.y
    header = [
        *("table", "search", "seconds"),
        *("this / batched", "this / batched, n_jobs=2", "target", "reached"),
    ]
    lines: list[list[str]] = []
    with threads(1):
        searches = [(f"breast cancer {X.shape}", X, y, epochs, (32, 200))] + [
            (f"{LARGER} {X_larger.shape}, {length} epochs", X_larger, y_larger, length, (32,))
            for length in larger_epochs
        ]
        for label, X_own, y_own, length, batches in searches:
            for batch in batches:
                turns = contestants(X_own, y_own, batch, length, n_rates)
                lines += compared(label, alternate(turns, repeats), batch)
        intro = INTRO.format(
            n_rates=n_rates, folds=FOLDS, epochs=epochs, width=WIDTH, repeats=repeats
        )
        page.add(intro, f"Cores: {n_cores()}.", markdown_table(header, lines))
        page.add(
            "## Growth with candidates and rows",
            GROWTH.format(epochs=larger_epochs[0]),
            growth(X, y, sizes, larger_epochs[0]),
        )
    if options.busy:
        label, X_own, y_own, length, _ = searches[0]
        with threads(n_cores()), busy_core():
            turns = contestants(X_own, y_own, 32, length, n_rates)
            turns.pop("GridSearchCV(stock skorch, n_jobs=2)")
            lines = compared(label, alternate(turns, repeats), 32)
        page.add("## A busy core", BUSY.format(cores=n_cores()), markdown_table(header, lines))
    page.write()


if __name__ == "__main__":
    main()
