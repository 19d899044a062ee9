"""Defaults against those of scikit-learn's MLP, boosting and forest, over public tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from _common import Page, make_parser, markdown_table, threads
from _data import (
    CLASSIFICATION,
    REGRESSION,
    Table,
    load_table,
    preprocessed,
    score_rows,
    summary,
    timed_fit,
    widened_error,
)
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor

OURS = "ours"
SCALED = "MLPRegressor, y scaled"
MAKERS: dict[str, dict[str, Callable]] = {
    "classification": {
        OURS: lambda seed: DropoutMLPClassifier(random_state=seed),
        "MLPClassifier": lambda seed: MLPClassifier(random_state=seed),
        "HistGradientBoostingClassifier": lambda seed: HistGradientBoostingClassifier(
            random_state=seed
        ),
        "RandomForestClassifier": lambda seed: RandomForestClassifier(random_state=seed),
    },
    "regression": {
        OURS: lambda seed: DropoutMLPRegressor(random_state=seed),
        "MLPRegressor": lambda seed: MLPRegressor(random_state=seed),
        SCALED: lambda seed: TransformedTargetRegressor(
            MLPRegressor(random_state=seed), transformer=StandardScaler()
        ),
    },
}
SMALLER_IS_BETTER = {"accuracy": False, "log density": False}  # all others: True
OFFICIAL_SEEDS = 3
FEW_SPLITS = {"magic-gamma": 3, **dict.fromkeys(REGRESSION, 3)}

INTRO = """Every estimator at its defaults but for `random_state`; one thread. Inputs are
standardised, with means and scales of the training part only; in mammographic-mass missing values
become the training part's medians first. Tables with an official split (adult, ann-thyroid) are
fitted with {seeds} seeds; of the others all 10 folds are used (magic-gamma: 3), of the regression
tables the first {regression} of 20 splits{shortened}; [the UCI page](uci.md) has all 20.

- *log loss*: nats per row; probabilities are kept above 1.2e-7 for everybody.
- *log density*: of the test targets, in nats per row and the units of y. Ours is the mixture over
  the draws. `MLPRegressor` states no density: it gets a Gaussian around its prediction with the
  root mean square of its residuals on the training part as standard deviation.
- *calibration error*: for classes the expected calibration error of the top probability in 15
  bins of equal width; for regression the distance of the 90 % interval's coverage of the test
  targets from 0.9. Intervals are mean +- 1.645 standard deviations for everybody.
- *difference*: ours less the other's, paired by split, with its standard error. Over splits the
  error is widened because their training parts overlap (Nadeau and Bengio 2003, Inference for
  the generalization error, Machine Learning 52); of an official split it is a paired bootstrap
  over the test rows.
- The last column calls ours better or worse where the difference is beyond two standard errors.
- *fit time*: seconds, medians; the ratio is ours through the other's, the median over splits.
- *not converged*: fits that ended at `max_iter` with a `ConvergenceWarning`.

`{scaled}` is `MLPRegressor` in a `TransformedTargetRegressor` with a `StandardScaler`.
Ours scales y by default and the bare `MLPRegressor` does not, so compare with both."""


def run_table(table: Table, makers: dict[str, Callable], n_splits: int) -> dict[str, list[dict]]:
    """Fit everybody on every split: per name and split its rows' scores, seconds, convergence."""
    splits = table.splits * OFFICIAL_SEEDS if table.official else table.splits
    results: dict[str, list[dict]] = {name: [] for name in makers}
    for seed, (train, test) in enumerate(splits[:n_splits]):
        X, X_test = preprocessed(table, train, test)
        y, y_test = table.y[train], table.y[test]
        names = list(makers)
        for name in names[seed % len(names) :] + names[: seed % len(names)]:
            model, seconds, converged = timed_fit(makers[name](seed), X, y)

            def residual_std(model: object, X: np.ndarray = X, y: np.ndarray = y) -> float:
                return float(np.sqrt(np.mean((y - model.predict(X)) ** 2)))

            rows = score_rows(model, X_test, y_test, None if name == OURS else residual_std)
            results[name].append({"rows": rows, "seconds": seconds, "converged": converged})
    return results


def standard_errors(table: Table, ours: list[dict], other: list[dict]) -> dict[str, float]:
    """Of the mean difference of each score."""
    if table.official:
        return bootstrap_errors(ours, other)
    pairs = [(summary(a["rows"]), summary(b["rows"])) for a, b in zip(ours, other, strict=True)]
    sizes = [len(part) for part in table.splits[0]]
    return {
        score: widened_error(np.array([a[score] - b[score] for a, b in pairs]), *sizes)
        for score in pairs[0][0]
    }


def bootstrap_errors(
    ours: list[dict], other: list[dict], n_resamples: int = 300
) -> dict[str, float]:
    """Standard deviation of the seeds' mean difference over resampled test rows."""
    rng = np.random.default_rng(0)
    n_rows = len(next(iter(ours[0]["rows"].values())))
    differences: dict[str, list[float]] = {}
    for _ in range(n_resamples):
        index = rng.integers(n_rows, size=n_rows)
        a, b = (mean_summary(fits, index) for fits in (ours, other))
        for score in a:
            differences.setdefault(score, []).append(a[score] - b[score])
    return {score: float(np.std(values)) for score, values in differences.items()}


def mean_summary(fits: list[dict], index: np.ndarray | slice = slice(None)) -> dict[str, float]:
    """Scores, the mean over the fits."""
    summaries = [summary({key: rows[index] for key, rows in f["rows"].items()}) for f in fits]
    return {score: float(np.mean([s[score] for s in summaries])) for score in summaries[0]}


def verdict(score: str, difference: float, error: float) -> str:
    if not np.isfinite(error):
        return "?"
    if abs(difference) <= 2 * error:
        return "same"
    return "better" if (difference < 0) == SMALLER_IS_BETTER.get(score, True) else "**worse**"


def compare(table: Table, results: dict[str, list[dict]], other: str) -> list[list[str]]:
    """Lines of the table of results for one table and one rival."""
    a, b = mean_summary(results[OURS]), mean_summary(results[other])
    errors = standard_errors(table, results[OURS], results[other])
    lines = []
    for score, error in errors.items():
        difference = a[score] - b[score]
        line = [table.name, score, f"{a[score]:.4f}", f"{b[score]:.4f}"]
        line += [f"{difference:+.4f} ± {error:.4f}", verdict(score, difference, error)]
        lines.append(line)
    times = [np.array([fit["seconds"] for fit in results[name]]) for name in (OURS, other)]
    medians = [f"{np.median(seconds):.2f}" for seconds in times]
    lines.append([table.name, "fit time", *medians, f"x {np.median(times[0] / times[1]):.2f}", ""])
    return lines


def tally(lines: Iterable[list[str]]) -> str:
    """Which tables are better, the same and worse, per score."""
    found: dict[str, dict[str, list[str]]] = {}
    for name, score, *_, word in lines:
        if word:
            found.setdefault(score, {}).setdefault(word.strip("*"), []).append(name)
    parts = []
    for score, words in found.items():
        counted = (f"{w} on {len(names)} ({', '.join(names)})" for w, names in words.items())
        parts.append(f"- {score}: {'; '.join(counted)}.")
    return "\n".join(parts)


def section(task: str, names: Iterable[str], folder: Path, n_splits: int | None) -> list[str]:
    makers = MAKERS[task]
    lines: dict[str, list[list[str]]] = {name: [] for name in makers if name != OURS}
    unfinished = dict.fromkeys(makers, 0)
    n_fits = 0
    for table_name in names:
        table = load_table(folder, table_name)
        all_splits = FEW_SPLITS.get(table_name, max(OFFICIAL_SEEDS, len(table.splits)))
        results = run_table(table, makers, min(n_splits or all_splits, all_splits))
        n_fits += len(results[OURS])
        for name, fits in results.items():
            unfinished[name] += sum(not fit["converged"] for fit in fits)
        for other in lines:
            lines[other] += compare(table, results, other)
        print(table_name, "done", flush=True)
    counts = ", ".join(f"{name} {count}" for name, count in unfinished.items())
    parts = [f"## {task.capitalize()}", f"Not converged, of {n_fits} fits each: {counts}."]
    for other, its_lines in lines.items():
        header = ["table", "score", "ours", other, "difference", "ours is"]
        parts += [f"### Against {other}", tally(its_lines), markdown_table(header, its_lines)]
    return parts


def main() -> None:
    parser = make_parser(__file__, __doc__, data=True)
    parser.add_argument("--splits", type=int, help="at most so many splits of each table")
    options = parser.parse_args()
    tasks = {"classification": CLASSIFICATION, "regression": REGRESSION}
    if options.quick:
        options.splits = 2
        tasks = {"classification": ("pima", "mammographic-mass"), "regression": ("yacht",)}
    page = Page(__file__, "Defaults on real tables", options)
    shortened = f", shortened here to at most {options.splits} each" if options.splits else ""
    splits = FEW_SPLITS[REGRESSION[0]]
    page.add(
        INTRO.format(seeds=OFFICIAL_SEEDS, regression=splits, shortened=shortened, scaled=SCALED)
    )
    with threads(1):
        for task, names in tasks.items():
            page.add(*section(task, names, options.data, options.splits))
    page.write()


if __name__ == "__main__":
    main()
