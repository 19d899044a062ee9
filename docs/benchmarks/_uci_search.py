"""A small search in the training part of each split; used by `uci.py`."""

from __future__ import annotations

import argparse
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from _common import markdown_table
from _data import REGRESSION, load_table
from _published import HMC, PUBLISHED, TWO_LAYERS
from _results import Results
from _uci import coverage_key, score_ours
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdropout import DropoutMLPRegressor
from skdropout.metrics import log_predictive_density_scorer
from skdropout.model_selection import BatchedGridSearchCV

GRID = {
    "dropout_rate": [0.02, 0.05, 0.1, 0.2],
    "hidden_layer_sizes": [(100,), (100, 100)],
    "noise": ["homoscedastic", "heteroscedastic"],
}
# Networks that the chosen candidate is fitted with.
MEMBERS = (1, 5)

INTRO = """`BatchedGridSearchCV` over {grid} in the training part of each of the first {splits}
splits: its last fifth is held out, and the candidate with the highest log density there is fitted
to all of the training part with its five folds and calibrated, once with one network for each fold
and once with `n_members=5`. The search itself judges one network and does not calibrate. All splits
of a table are the folds of one search, which trains them together. Nothing looks at test rows.
Positive gains are better; the published figures are means over 20 splits.

*seconds* is the search, for one split its share, and the median of the fits. Chosen, with the
number of splits:"""


def search(folder: Path, table_name: str, n_splits: int) -> dict[str, Any]:
    """The best of `GRID` for each split, by the last fifth of its training rows."""
    table = load_table(folder, table_name)
    cuts = [int(0.8 * len(train)) for train, _ in table.splits[:n_splits]]
    parts = [
        (train[:cut], train[cut:])
        for (train, _), cut in zip(table.splits[:n_splits], cuts, strict=True)
    ]
    network = DropoutMLPRegressor(calibrate=False, random_state=0)
    found = BatchedGridSearchCV(
        make_pipeline(StandardScaler(), network),
        {f"dropoutmlpregressor__{name}": values for name, values in GRID.items()},
        scoring=log_predictive_density_scorer,
        cv=parts,
        refit=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        found.fit(table.X, table.y.astype(float))
        seconds = time.perf_counter() - start
    candidates = [
        {name.partition("__")[2]: value for name, value in candidate.items()}
        for candidate in found.cv_results_["params"]
    ]
    held_out = [found.cv_results_[f"split{split}_test_score"] for split in range(n_splits)]
    return {
        "chosen": [candidates[np.argmax(scores)] for scores in held_out],
        "held out": [scores.tolist() for scores in held_out],
        "seconds": seconds / n_splits,
    }


def fit_chosen(
    folder: Path, table_name: str, split: int, chosen: dict[str, Any], n_members: int
) -> dict[str, float]:
    """Test scores of what was chosen for a split, fitted to its training part."""
    table = load_table(folder, table_name)
    train, test = table.splits[split]
    scaler = StandardScaler().fit(table.X[train])
    model = DropoutMLPRegressor(random_state=split, n_members=n_members, **chosen)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        model.fit(scaler.transform(table.X[train]), table.y[train].astype(float))
        seconds = time.perf_counter() - start
    X_test, y_test = scaler.transform(table.X[test]), table.y[test].astype(float)
    return {**score_ours(model, X_test, y_test), "seconds": seconds}


def search_section(results: Results, options: argparse.Namespace) -> list[str]:
    """The search, then the chosen candidates against the published two layers and HMC."""
    n_splits, chosen = options.search_splits, []
    lines: dict[int, list[list[str]]] = {n_members: [] for n_members in MEMBERS}
    for table in options.tables:

        def compute(table: str = table) -> dict:
            return search(options.data, table, n_splits)

        found = results.get(f"search/{table}/{n_splits} splits", compute)
        chosen.append(f"- {table}: {_counted(found['chosen'])}.")
        for n_members in MEMBERS:
            fits = _fits(results, options, table, found["chosen"], n_members)
            lines[n_members].append([table, *_cells(table, fits, found["seconds"])])
    gains = ["gain over two layers", "over HMC"]
    coverage = ["90% coverage", "95%"]
    header = ["table", "RMSE", *gains, "log density", *gains, *coverage, "seconds"]
    parts = ["## A small search", INTRO.format(grid=GRID, splits=n_splits), "\n".join(chosen)]
    for n_members, its_lines in lines.items():
        title = "One network" if n_members == 1 else f"{n_members} members"
        parts += [f"### {title}", markdown_table(header, its_lines)]
    return parts


def _fits(
    results: Results,
    options: argparse.Namespace,
    table: str,
    chosen: list[dict[str, Any]],
    n_members: int,
) -> list[dict[str, float]]:
    """Scores of what was chosen, one for each split."""
    fits = []
    for split, parameters in enumerate(chosen):

        def compute(split: int = split, parameters: dict[str, Any] = parameters) -> dict:
            return fit_chosen(options.data, table, split, parameters, n_members)

        fits.append(results.get(f"searched/{table}/{split}/{n_members}", compute))
    return fits


def _counted(chosen: list[dict[str, Any]]) -> str:
    """How often each value was chosen, in words."""
    words = []
    for name in GRID:
        # A file of results has made lists of the tuples.
        values = [c[name] for c in chosen]
        counts = Counter(tuple(v) if isinstance(v, list) else v for v in values).most_common()
        words.append(f"`{name}`: {', '.join(f'{value} ({n})' for value, n in counts)}")
    return "; ".join(words)


def _cells(table: str, fits: list[dict[str, float]], seconds: float) -> list[str]:
    cells = []
    for score, sign in (("rmse", -1), ("ll", 1)):
        ours = np.mean([fit[score] for fit in fits])
        cells.append(f"{ours:.3f}")
        for published in (TWO_LAYERS, HMC):
            gain = sign * (ours - PUBLISHED[published][score][REGRESSION.index(table)])
            cells.append(f"{gain:+.3f}")
    cells += [f"{np.mean([fit[coverage_key(level)] for fit in fits]):.3f}" for level in (0.9, 0.95)]
    fit_seconds = np.median([fit["seconds"] for fit in fits])
    return [*cells, f"{seconds:.1f} + {fit_seconds:.1f}"]
