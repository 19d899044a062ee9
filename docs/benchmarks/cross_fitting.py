"""Five cross-fitted networks against one and against five on all rows, and seconds beside peers."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _common import EARLIER_RUNS, ONE_NETWORK, Page, make_parser, markdown_table, parse, threads
from _data import CLASSIFICATION, REGRESSION, load_table, preprocessed, score_rows, summary
from _data import timed_fit as timed
from _results import Lines
from sklearn.neural_network import MLPClassifier, MLPRegressor

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor

FIVE, ONE, MANY = "five, cross-fitted", "one, all rows", "five, all rows"
ARMS: dict[str, dict[str, Any]] = {
    FIVE: {},
    ONE: ONE_NETWORK,
    MANY: {**ONE_NETWORK, "n_members": 5},
}
MLP, CATBOOST = "scikit-learn's MLP", "CatBoost"
OFFICIAL_SEEDS = 3

INTRO = """The same network and training three ways; everything else at its defaults.

- *{five}*: the default, `cv=5`. One network for each fold, trained without it, stopped and
  calibrated on it, and averaged.
- *{one}*: `cv=None, early_stopping=False, calibrate=False`. Trained until the training loss gains
  no more, or to `max_iter`.
- *{many}*: the same with `n_members=5`, a deep ensemble.

All predict with 100 draws in all. Inputs are standardised, missing values become the training
part's medians. Tables with an official split (adult, ann-thyroid) are fitted with {seeds} seeds; of
the others the first {folds} splits are used.

Differences are {five} less the other, paired by split, with their standard error. Over splits it is
widened because training parts overlap (Nadeau and Bengio 2003, Inference for the generalization
error, Machine Learning 52); of an official split it is over the seeds only, so it knows nothing of
other test rows. Marked **better** or **worse** beyond two standard errors; the mark of one of many
comparisons may be chance. Log loss and log density are in nats per row; *calibration error* is the
expected one of the top probability in 15 bins; *coverage* is the share of test targets that 90 %
intervals hold."""

SECONDS = """Medians over splits. {mlp} and {catboost} at their defaults but for the number of
threads; {catboost} only where it is installed. Contestants take turns from split to
split{jobs}."""


class Score(NamedTuple):
    """A score of a page: its name, its key, digits, and whether it is a loss."""

    name: str
    key: str
    digits: int
    loss: bool


SCORES = {
    "classification": (
        Score("log loss", "log loss", 4, True),
        Score("calibration error", "calibration error", 4, True),
        Score("accuracy", "accuracy", 4, False),
    ),
    "regression": (
        Score("RMSE", "RMSE", 4, True),
        Score("log density", "log density", 3, False),
    ),
}


def task_of(name: str) -> str:
    return "classification" if name in CLASSIFICATION else "regression"


def contestants() -> list[str]:
    peers = [MLP, CATBOOST] if importlib.util.find_spec("catboost") else [MLP]
    return [*ARMS, *peers]


def make(task: str, who: str, seed: int, n_threads: int) -> Any:
    """An estimator, not yet fitted."""
    classes = task == "classification"
    if who in ARMS:
        kind = DropoutMLPClassifier if classes else DropoutMLPRegressor
        return kind(random_state=seed, **ARMS[who])
    if who == MLP:
        return (MLPClassifier if classes else MLPRegressor)(random_state=seed)
    import catboost

    kind = catboost.CatBoostClassifier if classes else catboost.CatBoostRegressor
    quiet = {"verbose": False, "allow_writing_files": False}
    return kind(thread_count=n_threads, random_seed=seed, **quiet)


def fit_and_score(
    folder: Path, name: str, who: str, n_threads: int, split: int
) -> dict[str, float]:
    """Seconds of one fit; of ours its scores on the test part too."""
    table = load_table(folder, name)
    train, test = table.splits[0 if table.official else split]
    X, X_test = preprocessed(table, train, test)
    y, y_test = table.y[train], table.y[test]
    if task_of(name) == "regression":
        y, y_test = y.astype(float), y_test.astype(float)
    with threads(n_threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, seconds, converged = timed(make(task_of(name), who, split, n_threads), X, y)
        found = {"seconds": seconds, "epochs": int(getattr(model, "n_iter_", 0) or 0)}
        if who not in ARMS:
            return found
        found |= {key: float(value) for key, value in _scores(model, X_test, y_test).items()}
    return {**found, "converged": bool(converged)}


def _scores(model: Any, X: np.ndarray, y: np.ndarray) -> dict[str, float]:
    if isinstance(model, DropoutMLPClassifier):
        return summary(score_rows(model, X, y))
    lower, upper = model.predict_interval(X, 0.9).T
    return {
        "RMSE": np.sqrt(np.mean((model.predict(X) - y) ** 2)),
        "log density": model.log_prob(X, y).mean(),
        "coverage": np.mean((y >= lower) & (y <= upper)),
    }


# ---- the page ------------------------------------------------------------------------------


class Found:
    """Results by table and contestant.

    Parameters
    ----------
    lines : Lines
    options : argparse.Namespace
    """

    def __init__(self, lines: Lines, options: Any) -> None:
        self.lines, self.options = lines, options
        self.tables = {name: load_table(options.data, name) for name in options.tables}

    def splits(self, name: str) -> range:
        table = self.tables[name]
        there = OFFICIAL_SEEDS if table.official else len(table.splits)
        return range(min(there, self.options.folds))

    def timed_splits(self, name: str, n_threads: int) -> range:
        """All with the first number of threads, few with others: scores are the same."""
        splits = self.splits(name)
        return splits if n_threads == self.options.threads[0] else splits[: self.options.timed]

    def keys(self) -> list[tuple]:
        """Everything to compute, contestants in turns."""
        keys = []
        for name in self.tables:
            for n_threads in self.options.threads:
                names = contestants()
                for split in self.timed_splits(name, n_threads):
                    turn = split % len(names)
                    order = names[turn:] + names[:turn]
                    keys += [(name, who, n_threads, split) for who in order]
        return keys

    def values(self, name: str, who: str, key: str, n_threads: int | None = None) -> np.ndarray:
        """One number of each split."""
        n = self.options.threads[0] if n_threads is None else n_threads
        splits = self.timed_splits(name, n)
        return np.array([self.lines.found[name, who, n, split][key] for split in splits])

    def difference(self, name: str, score: Score, other: str) -> str:
        """Mean difference, its standard error, and in a word what it says."""
        pairs = self.values(name, FIVE, score.key) - self.values(name, other, score.key)
        mean = pairs.mean()
        if len(pairs) < 2:
            return f"{mean:+.{score.digits}f}"
        table = self.tables[name]
        train, test = table.splits[0]
        widened = 0 if table.official else len(test) / len(train)
        error = np.sqrt((1 / len(pairs) + widened) * np.var(pairs, ddof=1))
        word = "" if abs(mean) <= 2 * error else " **better**"
        if word and (mean > 0) == score.loss:
            word = " **worse**"
        return f"{mean:+.{score.digits}f} ± {error:.{score.digits}f}{word}"


def score_table(found: Found, names: Sequence[str], score: Score) -> str:
    rows = [
        [
            name,
            *(f"{found.values(name, arm, score.key).mean():.{score.digits}f}" for arm in ARMS),
            *(found.difference(name, score, other) for other in (ONE, MANY)),
        ]
        for name in names
    ]
    return markdown_table(["table", *ARMS, f"against {ONE}", f"against {MANY}"], rows)


def overall_row(found: Found, names: Sequence[str], score: Score) -> list[str]:
    """Geometric mean over the tables of the ratio of means; of densities, which are logarithms,
    their ratio."""
    cells = []
    for other in (ONE, MANY):
        means = np.array(
            [[found.values(name, arm, score.key).mean() for name in names] for arm in (FIVE, other)]
        )
        logs = means if score.key == "log density" else np.log(means)
        cells.append(f"{np.exp((logs[0] - logs[1]).mean()):.3f}")
    kind = "less" if score.loss else "more"
    return [score.name if score.key != "log density" else "density", f"{kind} is better", *cells]


def add_scores(page: Page, found: Found, task: str, names: Sequence[str]) -> None:
    page.add(f"## {task.capitalize()}")
    rows = [overall_row(found, names, score) for score in SCORES[task]]
    header = ["geometric mean of ratios", "", f"through {ONE}", f"through {MANY}"]
    page.add(f"Over {len(names)} tables.", markdown_table(header, rows))
    for score in SCORES[task]:
        page.add(f"### {score.name[0].upper()}{score.name[1:]}", score_table(found, names, score))
    if task == "regression":
        rows = [
            [name, *(f"{found.values(name, arm, 'coverage').mean():.3f}" for arm in ARMS)]
            for name in names
        ]
        page.add("### Coverage of 90 % intervals", markdown_table(["table", *ARMS], rows))


def add_seconds(page: Page, found: Found, n_threads: int) -> None:
    jobs = found.options.jobs
    at_once = f"; {jobs} fits at the same time, which disturb each other" if jobs > 1 else ""
    s = "" if n_threads == 1 else "s"
    page.add(f"## Seconds of fit, {n_threads} thread{s}")
    page.add(SECONDS.format(mlp=MLP, catboost=CATBOOST, jobs=at_once))
    rows, ratios = [], []
    others = contestants()[1:]
    for name in found.tables:
        medians = {
            who: float(np.median(found.values(name, who, "seconds", n_threads)))
            for who in contestants()
        }
        ratios.append([medians[FIVE] / medians[who] for who in others])
        epochs = np.median(found.values(name, FIVE, "epochs", n_threads))
        cells = [f"{value:.2f}" for value in medians.values()]
        rows.append([name, f"{epochs:.0f}", *cells, *(f"{r:.2f}" for r in ratios[-1])])
    mean = np.exp(np.log(ratios).mean(0))
    blanks = [""] * (1 + len(contestants()))
    rows.append(["geometric mean", *blanks, *(f"{value:.2f}" for value in mean)])
    header = ["table", "epochs", *contestants(), *(f"{FIVE} / {who}" for who in others)]
    page.add(markdown_table(header, rows))


def add_parser_options(parser: Any) -> None:
    names = [*CLASSIFICATION, *REGRESSION]
    help_ = "JSON lines that a stopped run goes on from"
    parser.add_argument("--results", type=Path, help=help_)
    parser.add_argument("--tables", nargs="+", default=names, choices=names)
    parser.add_argument("--folds", type=int, default=10, help="at most so many splits of a table")
    help_ = "splits with the second and later numbers of threads"
    parser.add_argument("--timed", type=int, default=2, help=help_)
    parser.add_argument("--jobs", type=int, default=1, help="processes")


def main() -> None:
    parser = make_parser(__file__, __doc__, data=True, threads=True)
    add_parser_options(parser)
    options = parse(parser)
    if options.quick:
        options.tables, options.folds = ["pima", "yacht"], 2
    page = Page(__file__, "Cross-fitted members", options)
    found = Found(Lines(options.results), options)
    if found.lines.found:
        page.add(EARLIER_RUNS)
    folder = options.data
    compute: Callable[..., dict] = lambda *key: fit_and_score(folder, *key)  # noqa: E731
    found.lines.complete(found.keys(), compute, options.jobs)
    text = INTRO.format(
        five=FIVE, one=ONE, many=MANY, seeds=min(OFFICIAL_SEEDS, options.folds), folds=options.folds
    )
    page.add(text)
    for task in SCORES:
        if names := [name for name in options.tables if task_of(name) == task]:
            add_scores(page, found, task, names)
    for n_threads in options.threads:
        add_seconds(page, found, n_threads)
    page.write()


if __name__ == "__main__":
    main()
