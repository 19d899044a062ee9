"""Moments in closed form against draws: errors, limits, scores on unseen rows, and times.

Each part writes a page of its own, `moments-errors.md` and so on.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from _common import (
    ONE_NETWORK,
    Page,
    alternate,
    make_parser,
    markdown_table,
    median_ratio,
    n_cores,
    threads,
)
from _data import CLASSIFICATION, IMAGES, REGRESSION, load_table, preprocessed
from _reference import FEW, PIECE, compare
from joblib import Parallel, delayed
from sklearn.base import is_classifier
from sklearn.datasets import load_digits, make_classification, make_friedman1, make_regression
from sklearn.exceptions import ConvergenceWarning

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from skdropout.metrics import aurc_score

N_TRAIN, N_TEST = 4_000, 200
DEPTHS = (1, 2, 3)
TIMED = (10, 30, 100)
PARTS = ("errors", "limits", "scores", "times")
TITLE = "Moments in closed form against draws"

ERRORS = """## Errors

One network per table and depth, with hidden layers of 100 units and defaults otherwise but
`calibrate=False`, trained on the first split (at most {train:,} rows); the errors are means over
{rows} of its test rows, against {draws:,} draws. Beside them what few draws are off by, the mean
over {tries} tries.

- *variance*: relative error of the epistemic variance. For classes: error of the mutual
  information, divided by its mean over the rows, since in most rows it is near zero.
- *mean*: error of the mean (of the last class's probability) in standard deviations of the draws.
- *bias*: the signed error of the variance or mutual information by moments.
- The reference has errors of its own: {floor:.3f} of the variance, {floor_mean:.3f} of the mean."""

LIMITS = """## Where it fails

Errors as above, of regressors trained on 500 rows of Friedman's first function with 10 inputs and
unit noise; means over 100 rows, against {draws:,} draws. A few units, each dropped rarely, are no
Gaussian. Noise on few inputs is the hardest case: one input that goes moves every unit."""

CLASSES = """### Ten classes

The same of classifiers of scikit-learn's digits, trained on 1,500 rows for 60 epochs; means over
100 rows. With ten classes the curvature is left out, and 64 points stand for nine log odds."""

SCORES = """## Scores on unseen rows

Two hidden layers of 100 units, defaults otherwise but `calibrate=False`; {splits} splits of each
table, at most {train:,} training and 2,000 test rows. *Difference* is moments less 100 draws,
paired by split, with its standard error (widened because training parts overlap: Nadeau and
Bengio 2003, Machine Learning 52). AURC is the area under the risk-coverage curve, with the total
uncertainty deciding (squared error; for classes the share of wrong labels, and entropies). Moments
are called worse where the difference is beyond two standard errors."""

TIMES = """## Times

Multiples of one plain prediction (`predict` with `n_draws=0`), medians of {repeats} rounds in which
all take turns; {rows:,} rows of 20 inputs, rate 0.2. The variance of 100 draws is off by about
12 %. Regressors: `predict(return_std=True)`; classifiers: `predict_proba`."""
ONE_THREAD = "One thread, the processor's time:"
ALL_CORES = (
    "All {cores} cores, as torch takes them unless told otherwise, by the clock on the wall:"
)


def estimator(task: str, depth: int, seed: int = 0, **parameters: Any) -> Any:
    kind = DropoutMLPClassifier if task == "classification" else DropoutMLPRegressor
    return kind((100,) * depth, random_state=seed, **ONE_NETWORK, **parameters)


def some(rows: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the rows, in their order."""
    return np.random.default_rng(0).permutation(rows)[:most]


def each_table(function: Callable, tasks: dict, options: argparse.Namespace, n: int) -> list:
    """Results of all tables, in processes of their own."""
    return Parallel(options.jobs)(
        delayed(function)(options.data, task, name, n)
        for task, names in tasks.items()
        for name in names
    )


@contextmanager
def single_thread() -> Iterator[None]:
    """One thread, and no warnings of fits that end at `max_iter`."""
    with threads(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


# ---- errors --------------------------------------------------------------------------------


def errors_section(options: argparse.Namespace, tasks: dict) -> list[str]:
    header = ["table", "depth", "variance: moments", *map(str, FEW)]
    header += ["mean: moments", *map(str, FEW), "bias"]
    cases = each_table(table_errors, tasks, options, options.draws)
    found = [of_depth for of_table in cases for of_depth in of_table]
    lines = [[name, depth, *cells(errors)] for name, depth, errors in found]
    below = np.sum(
        [[errors["moments"][k] <= errors["100"][k] for k in (0, 1)] for _, _, errors in found],
        axis=0,
    )
    verdict = (
        f"Moments are nearer than 100 draws in {below[0]} of {len(found)} cases for the variance, "
        f"in {below[1]} for the mean."
    )
    text = ERRORS.format(
        train=N_TRAIN,
        rows=f"at most {N_TEST}",
        draws=options.draws,
        tries=options.draws // PIECE,
        floor=np.sqrt(2 / options.draws) * 0.8,
        floor_mean=np.sqrt(1 / options.draws) * 0.8,
    )
    return [text, verdict, markdown_table(header, lines)]


def table_errors(folder: Path, task: str, name: str, n_draws: int) -> list[tuple]:
    """Name, depth and errors of the network of each depth."""
    table = load_table(folder, name)
    train, test = table.splits[0]
    train, test = some(train, N_TRAIN), some(test, N_TEST)
    X, X_test = preprocessed(table, train, test)
    with single_thread():
        return [
            (name, depth, compare(estimator(task, depth).fit(X, table.y[train]), X_test, n_draws))
            for depth in DEPTHS
        ]


def cells(found: dict[str, tuple[float, float, float]]) -> list[str]:
    order = ["moments", *map(str, FEW)]
    variance, mean = ([f"{found[key][which]:.3f}" for key in order] for which in (0, 1))
    variance[0], mean[0] = f"**{variance[0]}**", f"**{mean[0]}**"
    return [*variance, *mean, f"{found['moments'][2]:+.3f}"]


# ---- limits --------------------------------------------------------------------------------


def limits_section(options: argparse.Namespace) -> list[str]:
    cases = [
        ((width,) * depth, {"dropout_rate": rate})
        for width in (5, 20, 100)
        for depth in (1, 2, 3, 5)
        for rate in (0.05, 0.2, 0.5)
    ]
    rate = {"dropout_rate": 0.2}
    cases += [((100,) * depth, {**rate, "input_dropout_rate": 0.1}) for depth in (1, 2)]
    cases += [((width,) * 2, {**rate, "normalization": "layer"}) for width in (20, 100)]
    cases += [((100, 100), {**rate, "activation": name}) for name in ("tanh", "logistic")]
    if options.quick:
        cases = cases[:3]
    found = Parallel(options.jobs)(
        delayed(limit)(hidden, parameters, options.draws) for hidden, parameters in cases
    )
    header = ["hidden layers", "parameters", "variance: moments", "100 draws"]
    header += ["mean: moments", "100 draws", "bias"]
    ten = [((100,) * depth, rate) for depth in DEPTHS for rate in (0.05, 0.2, 0.5)]
    digits = [limit_of_digits(*case, options.draws) for case in ten[: 2 if options.quick else None]]
    text = LIMITS.format(draws=options.draws)
    return [text, markdown_table(header, found), CLASSES, markdown_table(header, digits)]


def limit(hidden: tuple, parameters: dict, n_draws: int) -> list[str]:
    X, y = make_friedman1(600, 10, noise=1.0, random_state=0)
    X = (X - 0.5) * 12**0.5
    model = DropoutMLPRegressor(hidden, random_state=0, **ONE_NETWORK, **parameters)
    with single_thread():
        errors = compare(model.fit(X[:500], y[:500]), X[500:], n_draws)
    return limit_line(hidden, parameters, errors)


def limit_of_digits(hidden: tuple, rate: float, n_draws: int) -> list[str]:
    X, y = load_digits(return_X_y=True)
    X = (X - 8) / 8
    parameters = {"dropout_rate": rate}
    model = estimator("classification", len(hidden), max_iter=60, **parameters)
    with single_thread():
        errors = compare(model.fit(X[:1_500], y[:1_500]), X[1_500:1_600], n_draws)
    return limit_line(hidden, parameters, errors)


def limit_line(hidden: tuple, parameters: dict, errors: dict) -> list[str]:
    ours, theirs = errors["moments"], errors["100"]
    figures = [f"{x:.3f}" for pair in zip(ours[:2], theirs[:2], strict=True) for x in pair]
    settings = ", ".join(f"{name}={value!r}" for name, value in parameters.items())
    return [str(hidden), settings, *figures, f"{ours[2]:+.3f}"]


# ---- scores --------------------------------------------------------------------------------


def scores(model: Any, X: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Of one fitted model as it is set; larger is worse in all of them."""
    found = {"minus log density": -float(model.log_prob(X, y).mean())}
    if is_classifier(model):
        total = model.predict_uncertainty(X, measure="entropy").total
        return {**found, "AURC": float(aurc_score(y, model.predict(X), total))}
    u = model.predict_uncertainty(X)
    ends = model.predict_interval(X)
    covered = ((ends[:, 0] <= y) & (y <= ends[:, 1])).mean()
    aurc = aurc_score(y, u.mean, u.total, loss="squared_error")
    return {**found, "90 % coverage off by": abs(float(covered) - 0.9), "AURC": float(aurc)}


def scores_section(options: argparse.Namespace, tasks: dict) -> list[str]:
    cases = each_table(table_scores, tasks, options, options.splits)
    lines = [line for of_table in cases for line in of_table]
    worse = sum(line[-1] == "worse" for line in lines)
    header = ["table", "score", "100 draws", "moments", "difference", "moments are"]
    text = SCORES.format(splits=options.splits, train=N_TRAIN)
    return [text, f"Worse in {worse} of {len(lines)} comparisons.", markdown_table(header, lines)]


def table_scores(folder: Path, task: str, name: str, n_splits: int) -> list[list[str]]:
    """A line for each score."""
    table = load_table(folder, name)
    pairs: dict[str, list[tuple[float, float]]] = {}
    for seed, (train, test) in enumerate((table.splits * n_splits)[:n_splits]):
        train, test = some(train, N_TRAIN), some(test, 2_000)
        X, X_test = preprocessed(table, train, test)
        with single_thread():
            model = estimator(task, 2, seed).fit(X, table.y[train])
            drawn, closed = (
                scores(model.set_params(inference=inference), X_test, table.y[test])
                for inference in ("draws", "moments")
            )
        for score in drawn:
            pairs.setdefault(score, []).append((drawn[score], closed[score]))
    share = len(test) / len(train)
    return [[name, score, *difference(np.array(both), share)] for score, both in pairs.items()]


def difference(values: np.ndarray, share: float) -> list[str]:
    """Cells of a line from ``(splits, 2)`` scores; the last says whether the second is worse."""
    gaps = values[:, 1] - values[:, 0]
    error = float(np.sqrt(gaps.var(ddof=1) * (1 / len(gaps) + share)))
    gap = float(gaps.mean())
    verdict = "" if abs(gap) <= 2 * error else "worse" if gap > 0 else "better"
    draws, moments = values.mean(0)
    return [f"{draws:.4f}", f"{moments:.4f}", f"{gap:+.4f} ± {error:.4f}", verdict]


# ---- times ---------------------------------------------------------------------------------


def times_section(quick: bool) -> list[str]:
    repeats, n_rows = (3, 1_000) if quick else (7, 10_000)
    parts = [TIMES.format(repeats=repeats, rows=n_rows)]
    parts += [ONE_THREAD, times_table(repeats, n_rows, time.process_time)]
    with threads(n_cores()):
        table = times_table(repeats, n_rows, time.perf_counter)
    return [*parts, ALL_CORES.format(cores=n_cores()), table]


def times_table(repeats: int, n_rows: int, clock: Callable[[], float]) -> str:
    cases = [((100,) * depth, "regression", 1) for depth in DEPTHS]
    cases += [((256,) * 3, "regression", 1)]
    cases += [((100, 100), "classification", n) for n in (2, 3, 10)]
    cases += [((100,) * 3, "classification", 10)]
    lines = []
    for dtype in (np.float32, np.float64):
        for hidden, task, n_outputs in cases:
            model, X = timed_model(hidden, task, n_outputs, n_rows)
            seconds = alternate(contestants(model, X.astype(dtype)), repeats, clock)
            plain = seconds.pop("plain")
            ratios = {key: median_ratio(value, plain)[0] for key, value in seconds.items()}
            faster = median_ratio(seconds["100"], seconds["moments"])[0]
            lines.append(
                [
                    f"{hidden}, {task}, {n_outputs if n_outputs > 1 else 'one output'}",
                    np.dtype(dtype).name,
                    f"{1e3 * np.median(plain):.1f}",
                    f"**{ratios.pop('moments'):.1f}**",
                    *(f"{ratio:.1f}" for ratio in ratios.values()),
                    f"{faster:.1f}",
                ]
            )
            print(hidden, task, "times done", flush=True)
    header = ["network", "dtype", "plain, ms", "moments", *(f"{n} draws" for n in TIMED)]
    return markdown_table([*header, "faster than 100 draws"], lines)


def timed_model(hidden: tuple, task: str, n: int, n_rows: int) -> tuple[Any, np.ndarray]:
    if task == "regression":
        X, y = make_regression(n_rows, 20, noise=1.0, random_state=0)
    else:
        X, y = make_classification(
            n_rows, 20, n_informative=10, n_classes=n, flip_y=0.1, random_state=0
        )
    model = estimator(task, 1, dropout_rate=0.2, max_iter=3)
    return model.set_params(hidden_layer_sizes=hidden).fit(X[:2_000], y[:2_000]), X


def contestants(model: Any, X: np.ndarray) -> dict[str, Callable[[], object]]:
    def ask(**parameters: Any) -> object:
        model.set_params(**{"inference": "draws", "n_draws": 100, **parameters})
        if is_classifier(model):
            return model.predict_proba(X)
        return model.predict(X, return_std=parameters.get("n_draws") != 0)

    found: dict[str, Callable[[], object]] = {"plain": lambda: ask(n_draws=0)}
    found["moments"] = lambda: ask(inference="moments")
    for n in TIMED:
        found[str(n)] = lambda n=n: ask(n_draws=n)
    return found


def main() -> None:
    parser = make_parser(__file__, __doc__, data=True)
    parser.add_argument("--draws", type=int, default=20_000, help="draws of the reference")
    parser.add_argument("--splits", type=int, default=5, help="splits of each table for the scores")
    parser.add_argument("--jobs", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS, help="a page each")
    parser.add_argument("--tables", nargs="+", help="only these tables")
    options = parser.parse_args()
    tasks = {"regression": REGRESSION, "classification": CLASSIFICATION + IMAGES}
    if options.quick:
        options.draws, options.splits = 2_000, 2
        tasks = {"regression": ("yacht",), "classification": ("pima", "ann-thyroid")}
    if options.tables:
        tasks = {task: [n for n in names if n in options.tables] for task, names in tasks.items()}
    sections: dict[str, Callable[[], list[str]]] = {
        "errors": lambda: errors_section(options, tasks),
        "limits": lambda: limits_section(options),
        "scores": lambda: scores_section(options, tasks),
        "times": lambda: times_section(options.quick),
    }
    for part in options.parts:
        own = {**vars(options), "out": options.out.with_stem(f"{options.out.stem}-{part}")}
        page = Page(__file__, TITLE, argparse.Namespace(**own))
        with single_thread():
            page.add(*sections[part]())
        page.write()


if __name__ == "__main__":
    main()
