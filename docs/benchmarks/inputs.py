"""Encoded columns against columns prepared by hand, with the same network and training.

Each fit is a line of the file that `--out` names, so a run that was stopped goes on where it was,
and files of several runs can be joined. `--page` writes the page beside this script too.
"""

from __future__ import annotations

import argparse
import ast
import functools
import multiprocessing
import os
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from _common import Page, markdown_table, threads
from _data import (
    CLASSIFICATION,
    RAW,
    RAW_REGRESSION,
    REGRESSION,
    Table,
    load_raw_table,
    load_table,
    score_rows,
    summary,
    timed_fit,
    widened_error,
)
from _results import Fits
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor

BY_HAND = "by hand"
ENCODINGS = ("scale", "piecewise", "auto")
SCORES = {"classification": "log loss", "regression": "RMSE"}
NAMES = ("table", "fold", "encoding", "params", "one_hot_as_it_comes")

INTRO = """The same network and training on each table, with its columns prepared in two ways.

- *by hand*: the training part's medians for missing numbers, `StandardScaler`, and
  `OneHotEncoder(handle_unknown="ignore", min_frequency=5)` for text, in a `ColumnTransformer`, with
  `input_encoding=None`.
- *{encodings}*: that `input_encoding`, on the columns as they come.

Tables called `raw/` hold text and gaps; the others hold numbers, with categories one-hot in the
file{one_hot}. Estimators are at their defaults but for `random_state`, the number of the
fold{params}. At most {folds} folds of each table are used; where the file has one official split,
that.

- *log loss*: nats per row; probabilities are kept above 1.2e-7 for everybody. *RMSE* and
  *log density* are in the units of y.
- *ratio*: the mean score over the folds through that of *by hand*, so less than 1 is better, and
  the standard error of the difference of both, in the same unit.
- *won*, *lost*: the difference, paired by fold, is beyond two standard errors. These are widened
  because training parts overlap (Nadeau and Bengio 2003, Inference for the generalization error,
  Machine Learning 52); of one official split it is the error over the test rows.
- *seconds*: of one fit with its preparation, the median over the folds, one thread."""


# ---- tables --------------------------------------------------------------------------------------


def all_tables(folder: Path) -> list[str]:
    """Names of the tables in the folder; what has text and gaps is called ``raw/NAME``."""
    names = [n for n in CLASSIFICATION + REGRESSION if (folder / f"{n}.npz").exists()]
    raw = sorted((folder / RAW).glob("*.csv.gz"))
    return names + [f"{RAW}/{path.name.removesuffix('.csv.gz')}" for path in raw]


def chosen_tables(folder: Path, wanted: Sequence[str] | None) -> list[str]:
    """All tables, or those whose name, with or without ``raw/``, is wanted."""
    names = all_tables(folder)
    if wanted is None:
        return names
    unknown = set(wanted) - {short for name in names for short in (name, Path(name).name)}
    if unknown:
        raise SystemExit(f"--tables: no {', '.join(sorted(unknown))} among {', '.join(names)}")
    return [name for name in names if name in wanted or Path(name).name in wanted]


def task_of(name: str) -> str:
    numbers = {*REGRESSION, *(f"{RAW}/{table}" for table in RAW_REGRESSION)}
    return "regression" if name in numbers else "classification"


@functools.lru_cache(maxsize=2)
def read_table(folder: Path, name: str) -> Table:
    if name.startswith(f"{RAW}/"):
        return load_raw_table(folder, Path(name).name)
    return load_table(folder, name)


def shape_of(table: Table) -> list[str]:
    """Rows, columns, those that are not numbers, missing cells, and distinct values of a number."""
    X, is_numeric = np.asarray(table.X, object), numeric_columns(table)
    gaps = np.mean(X != X)
    distinct = [len(np.unique(x[x == x].astype(float))) for x in X[:, is_numeric].T]
    middle = f"{np.median(distinct):.0f}" if distinct else ""
    return [str(len(X)), str(X.shape[1]), str((~is_numeric).sum()), f"{gaps:.1%}", middle]


def numeric_columns(table: Table) -> np.ndarray:
    return np.ones(table.X.shape[1], bool) if table.is_numeric is None else table.is_numeric


# ---- one fit -------------------------------------------------------------------------------------


def by_hand(table: Table, one_hot_as_it_comes: bool) -> ColumnTransformer:
    """What a careful person puts in front of a network."""
    is_text = hasattr(table.X, "iloc")
    scaled = make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()
    )
    rest: Any = "passthrough" if one_hot_as_it_comes else scaled
    if is_text:
        rest = OneHotEncoder(handle_unknown="ignore", min_frequency=5, sparse_output=False)
    is_numeric = numeric_columns(table)
    columns = np.flatnonzero(is_numeric), np.flatnonzero(~is_numeric)
    return ColumnTransformer([("numbers", scaled, columns[0]), ("rest", rest, columns[1])])


def parts_of(table: Table, fold: int) -> tuple[Any, Any, np.ndarray, np.ndarray]:
    """Inputs and targets, of the training and of the test part."""
    rows = table.X.iloc if hasattr(table.X, "iloc") else table.X
    train, test = table.splits[fold]
    return rows[train], rows[test], table.y[train], table.y[test]


def fit_once(folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    """The job's line, with its scores, seconds and whether it converged."""
    table = read_table(folder, job["table"])
    X, X_test, y, y_test = parts_of(table, job["fold"])
    encoding = None if job["encoding"] == BY_HAND else job["encoding"]
    model = estimator(task_of(job["table"]), job["params"])
    model.set_params(input_encoding=encoding, random_state=job["fold"])
    with threads(1):
        start = time.perf_counter()
        if encoding is None:
            prepare = by_hand(table, job["one_hot_as_it_comes"])
            X, X_test = prepare.fit_transform(X), prepare.transform(X_test)
        prepared = time.perf_counter() - start
        model, seconds, converged = timed_fit(model, X, y)
        rows = score_rows(model, X_test, y_test)
    scores = {name: float(score) for name, score in summary(rows).items()}
    found = {"scores": scores, "seconds": round(prepared + seconds, 3), "converged": converged}
    if table.official:
        # Without folds, the error of a difference comes from its rows.
        found["losses"] = [round(float(loss), 5) for loss in rows["loss"]]
    return job | found


def estimator(task: str, params: dict[str, Any]) -> Any:
    """Ours, with those of the parameters that it has: some belong to one of the two alone."""
    model = DropoutMLPClassifier() if task == "classification" else DropoutMLPRegressor()
    known = model.get_params()
    return model.set_params(**{name: value for name, value in params.items() if name in known})


def warm_up() -> None:
    """What the first fit of a process does besides."""
    X = np.random.default_rng(0).standard_normal((50, 2))
    for model in (DropoutMLPClassifier(), DropoutMLPRegressor()):
        timed_fit(model.set_params(max_iter=2), X, (X[:, 0] > 0).astype(int))[0].predict(X)


# ---- all fits ------------------------------------------------------------------------------------


def jobs_of(options: Namespace) -> list[dict[str, Any]]:
    """Every fit, the first fold of all tables before the second."""
    shared = {"params": options.params, "one_hot_as_it_comes": options.one_hot_as_it_comes}
    return [
        {"table": name, "fold": fold, "encoding": encoding, **shared}
        for fold in range(options.folds)
        for name in options.tables
        if fold < len(read_table(options.data, name).splits)
        for encoding in (BY_HAND, *ENCODINGS)
    ]


def run(jobs: Sequence[dict[str, Any]], found: Fits, options: Namespace) -> int:
    """Do what is not found yet, in other processes. How many failed."""
    # Read when a process starts, before it imports anything.
    os.environ["OMP_NUM_THREADS"] = "1"
    start, failed = multiprocessing.get_context("spawn"), 0
    with ProcessPoolExecutor(options.jobs, start, warm_up) as pool:
        waiting = {
            pool.submit(fit_once, options.data, job): job for job in jobs if job not in found
        }
        for number, future in enumerate(as_completed(waiting), 1):
            job = waiting[future]
            where = f"{number}/{len(waiting)} {job['table']} fold {job['fold']} {job['encoding']}"
            if future.exception() is not None:
                failed += 1
                print(f"{where}: {future.exception()!r}", flush=True)
                continue
            line = future.result()
            found.add(line)
            print(f"{where}: {line['scores']} {line['seconds']} s", flush=True)
    return failed


# ---- what was found ------------------------------------------------------------------------------


class Comparison:
    """One table's fits with one encoding, beside those by hand.

    Parameters
    ----------
    table : Table
    score : str
        Name of the score.
    lines, reference : list of dict
        Of the encoding and by hand, in the order of the folds.
    """

    def __init__(self, table: Table, score: str, lines: list[dict], reference: list[dict]) -> None:
        ours, theirs = (
            np.array([line["scores"][score] for line in each]) for each in (lines, reference)
        )
        self.name, self.lines = table.name, lines
        self.mean, self.ratio = ours.mean(), ours.mean() / theirs.mean()
        self.difference = (ours - theirs).mean()
        self.error = self._error(table, ours - theirs, reference)
        self.scale = abs(theirs.mean())

    def _error(self, table: Table, differences: np.ndarray, reference: list[dict]) -> float:
        if table.official:
            losses = [np.array(each[0]["losses"]) for each in (self.lines, reference)]
            rows = losses[0] - losses[1]
            return float(rows.std(ddof=1) / np.sqrt(len(rows)))
        return widened_error(differences, *(len(part) for part in table.splits[0]))

    def beyond(self, sign: int) -> bool:
        """Whether it is larger (1) or smaller (-1) by more than two standard errors."""
        return sign * self.difference > 2 * self.error

    @property
    def seconds(self) -> float:
        return float(np.median([line["seconds"] for line in self.lines]))

    def as_ratio(self) -> str:
        word = " won" if self.beyond(-1) else " **lost**" if self.beyond(1) else ""
        return f"{self.ratio:.3f}{give_or_take(self.error / self.scale, 3)}{word}"

    def as_difference(self) -> str:
        return f"{self.difference:+.4f}{give_or_take(self.error, 4)}"


def give_or_take(error: float, digits: int) -> str:
    """A standard error, or nothing where one fold does not tell it."""
    return f" ± {error:.{digits}f}" if np.isfinite(error) else ""


def comparisons(
    found: Fits, jobs: Sequence[dict[str, Any]], options: Namespace, score_of: Callable
) -> Iterator[tuple[str, dict[str, Comparison]]]:
    """Of each table whose fits are all there: its name, and the comparison of each encoding."""
    for name in options.tables:
        its_jobs = [job for job in jobs if job["table"] == name]
        if not all(job in found for job in its_jobs):
            continue
        lines = {
            encoding: [found[job] for job in its_jobs if job["encoding"] == encoding]
            for encoding in (BY_HAND, *ENCODINGS)
        }
        table, score = read_table(options.data, name), score_of(task_of(name))
        yield (
            name,
            {
                encoding: Comparison(table, score, its_lines, lines[BY_HAND])
                for encoding, its_lines in lines.items()
            },
        )


def geometric_mean(ratios: Sequence[float]) -> str:
    return f"{np.exp(np.mean(np.log(ratios))):.3f}" if len(ratios) else ""


def summary_section(compared: dict[str, dict[str, Comparison]]) -> list[str]:
    """Geometric means, tables won and lost, and the worst."""
    rows = []
    for encoding in ENCODINGS:
        by_table = {name: each[encoding] for name, each in compared.items()}
        by_task = [
            [c.ratio for name, c in by_table.items() if task_of(name) == task] for task in SCORES
        ]
        worst = max(by_table, key=lambda name: by_table[name].ratio)
        won, lost = (sum(c.beyond(sign) for c in by_table.values()) for sign in (-1, 1))
        means = [geometric_mean(ratios) for ratios in (*by_task, [*by_task[0], *by_task[1]])]
        rows.append([encoding, *means, won, lost, f"{worst} {by_table[worst].ratio:.3f}"])
    header = ["encoding", *(f"{task}, {score}" for task, score in SCORES.items()), "all"]
    header += ["won", "lost", "worst table"]
    return [
        f"## Geometric means of the ratios, {len(compared)} tables",
        markdown_table(header, rows),
    ]


def task_section(
    task: str,
    compared: dict[str, dict[str, Comparison]],
    densities: dict[str, dict[str, Comparison]],
    folder: Path,
) -> list[str]:
    """The tables of one task: scores, differences of log density, seconds and shapes."""
    score, names = SCORES[task], [name for name in compared if task_of(name) == task]
    if not names:
        return []
    everybody = (BY_HAND, *ENCODINGS)
    ratios = [
        [n, f"{compared[n][BY_HAND].mean:.5g}", *(compared[n][e].as_ratio() for e in ENCODINGS)]
        for n in names
    ]
    parts = [f"## {task.capitalize()}", f"### {score}, and ratios to it"]
    parts.append(markdown_table(["table", *everybody], ratios))
    if task == "regression":
        rows = [
            [
                n,
                f"{densities[n][BY_HAND].mean:.4f}",
                *(densities[n][e].as_difference() for e in ENCODINGS),
            ]
            for n in names
        ]
        parts += [
            "### log density, and differences from it",
            markdown_table(["table", *everybody], rows),
        ]
    seconds = [[n, *(f"{compared[n][e].seconds:.2f}" for e in everybody)] for n in names]
    parts += ["### seconds", markdown_table(["table", *everybody], seconds)]
    shapes = [[n, *shape_of(read_table(folder, n))] for n in names]
    header = ["table", "rows", "columns", "not numbers", "missing", "median distinct numbers"]
    return [*parts, "### shapes", markdown_table(header, shapes)]


def report(found: Fits, jobs: Sequence[dict[str, Any]], options: Namespace) -> list[str]:
    """Everything that is known, in Markdown."""
    compared = dict(comparisons(found, jobs, options, SCORES.__getitem__))
    if not compared:
        return ["No table is finished."]
    regression = Namespace(**vars(options))
    regression.tables = [name for name in compared if task_of(name) == "regression"]
    densities = dict(comparisons(found, jobs, regression, lambda task: "log density"))
    parts = summary_section(compared)
    for task in SCORES:
        parts += task_section(task, compared, densities, options.data)
    return parts


# ---- command line --------------------------------------------------------------------------------


def parameter(word: str) -> tuple[str, Any]:
    """``early_stopping=True``: a name, and a Python literal or a word."""
    name, sign, value = word.partition("=")
    known = {*DropoutMLPClassifier().get_params(), *DropoutMLPRegressor().get_params()}
    if not sign or name not in known:
        raise argparse.ArgumentTypeError(f"{word!r} is no NAME=VALUE of a parameter")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def parsed() -> Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--out", "--results", dest="results", type=Path, help="file of the fits")
    parser.add_argument("--folds", type=int, default=3, help="at most so many of each table")
    parser.add_argument("--tables", nargs="+", help="names, with or without raw/ (default: all)")
    help_ = "NAME=VALUE of the estimators, such as early_stopping=True"
    parser.add_argument("--params", nargs="+", type=parameter, default=[], help=help_)
    help_ = "by hand, leave categories that the file has one-hot at 0 and 1"
    parser.add_argument("--one-hot-as-it-comes", action="store_true", help=help_)
    parser.add_argument("--jobs", type=int, default=1, help="processes, each with one thread")
    parser.add_argument("--page", action="store_true", help="write the page, not only print it")
    parser.add_argument("--quick", action="store_true", help="a small run that proves nothing")
    options = parser.parse_args()
    if options.quick:
        options.folds, options.tables = 2, ["pima", "yacht", "raw/titanic"]
    options.params = dict(sorted(options.params))
    options.tables = chosen_tables(options.data, options.tables)
    return options


def main() -> None:
    options = parsed()
    options.out = Path(__file__).with_suffix(".md") if options.page else Path(os.devnull)
    page = Page(__file__, "Encoded columns on real tables", options)
    words = ", ".join(f"`{name}={value!r}`" for name, value in options.params.items())
    scaled = "" if options.one_hot_as_it_comes else "; by hand they are standardised too"
    page.add(
        INTRO.format(
            encodings="*, *".join(ENCODINGS),
            params=f", and {words}" if words else "",
            folds=options.folds,
            one_hot=scaled,
        )
    )
    jobs, found = jobs_of(options), Fits(options.results, NAMES)
    failed = run(jobs, found, options)
    page.add(*report(found, jobs, options))
    page.write()
    if failed:
        raise SystemExit(f"{failed} fits failed")


if __name__ == "__main__":
    main()
