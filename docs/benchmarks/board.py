"""A board of honest predictions: scores and seconds of many models on many tables.

Each fit is a line of the file that `--results` names, so a run that was stopped goes on where it
was. `--page` writes the page beside this script, and its picture.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import time
import warnings
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
from _board_models import BY_NAME, MOST_ROWS_OF_A_PROCESS, OURS, SEARCHED, Contestant, Normal
from _board_models import own_scores as scores_of_ours
from _common import threads
from _data import Table, class_rows
from _results import Fits
from inputs import parts_of, read_table, task_of

from skdropout.metrics import aurc_score, expected_calibration_error

NAMES = ("table", "model", "label", "fold")
# One table under two names: its rows as they come, and one-hot with an official split.
OFFICIAL_ADULT = "adult-official"
TABLES = (
    *("raw/horse-colic", "pima", "raw/titanic", "mammographic-mass", "raw/german-credit"),
    *("messidor-dr", "raw/bank", "ann-thyroid", "raw/telco-churn", "magic-gamma"),
    *(OFFICIAL_ADULT, "raw/adult"),
    *("yacht", "boston", "energy", "concrete", "wine-red", "raw/ames", "raw/abalone"),
    *("raw/california-housing", "raw/diamonds"),
)
# The defaults were chosen on the others.
FOLDS = (0, 1, 2, 3, 4, 5, 6, 9)
SPLITS = tuple(range(10))
# Seconds from which on there are fewer folds of a table, and how many.
FEWER = ((60.0, 1), (10.0, 3))


# ---- which fits ----------------------------------------------------------------------------------


def short(name: str) -> str:
    return Path(name).name


def table_of(folder: Path, name: str) -> Table:
    return read_table(folder, "adult" if name == OFFICIAL_ADULT else name)


def task(name: str) -> str:
    return "classification" if name == OFFICIAL_ADULT else task_of(name)


def folds_of(table: Table) -> tuple[int, ...]:
    """What the board scores of a table: its official split, or what no default was chosen on."""
    if table.official:
        return (0,)
    return SPLITS if len(table.splits) > 10 else FOLDS


def fewer(folds: tuple[int, ...], seconds: float) -> tuple[int, ...]:
    """The folds that a model gets whose first fit took so long."""
    return next((folds[:number] for limit, number in FEWER if seconds > limit), folds)


def expected_seconds(found: Fits, options: Namespace, name: str, model: str) -> float:
    """By the rows of the largest table with the same task that it was fitted to."""
    rows = len(table_of(options.data, name).splits[0][0])
    done = []
    for other in TABLES:
        job = job_of(options, other, model, 0)
        if other != name and task(other) == task(name) and job in found:
            line = found[job]
            if "seconds" in line:
                done.append((len(table_of(options.data, other).splits[0][0]), line["seconds"]))
    if not done:
        return 0.0
    others, seconds = max(done)
    return seconds * rows / others


def reason_not_to(found: Fits, options: Namespace, name: str, model: str) -> str | None:
    """Why a model is not fitted to a table, if it is not."""
    if BY_NAME[model].maker(task(name)) is None:
        return "it has no such model"
    rows = len(table_of(options.data, name).splits[0][0])
    if model == "Gaussian process" and rows > MOST_ROWS_OF_A_PROCESS:
        return f"{rows} rows do not fit"
    seconds = expected_seconds(found, options, name, model)
    if seconds > options.limit:
        return f"expected to take {seconds:.0f} s, more than {options.limit:.0f}"
    return None


def job_of(options: Namespace, name: str, model: str, fold: int) -> dict[str, Any]:
    label = options.label if model in {OURS, SEARCHED} else ""
    return {"table": short(name), "model": model, "label": label, "fold": fold}


# ---- one fit -------------------------------------------------------------------------------------


def fit_once(folder: Path, job: dict[str, Any], name: str) -> dict[str, Any]:
    """The job's line, with its scores and seconds, and the loss of each row of the first fold."""
    table, contestant = table_of(folder, name), BY_NAME[job["model"]]
    X, X_test, y, y_test = parts_of(table, job["fold"])
    if task(name) == "classification":
        # Numbers of the classes, for those who take no others.
        known = np.unique(table.y)
        y, y_test = np.searchsorted(known, y), np.searchsorted(known, y_test)
    else:
        y, y_test = y.astype(float), y_test.astype(float)
    with threads(1):
        found, losses = answers(contestant, table, task(name), job["fold"], (X, X_test, y, y_test))
    if job["fold"] == 0:
        # Where a model has one fold, errors of differences come from its rows.
        found["losses"] = [float(f"{loss:.5g}") for loss in losses]
    return job | found


def answers(
    contestant: Contestant, table: Table, what: str, seed: int, parts: tuple
) -> tuple[dict[str, Any], np.ndarray]:
    """Seconds and scores of a fit, and the losses of the rows."""
    X, X_test, y, y_test = parts
    prepare, model = contestant.inputs(table), contestant.maker(what)(seed)
    start = time.process_time()
    if prepare is not None:
        X = prepare.fit_transform(X)
    model = contestant.fit(model, X, y)
    fitted = time.process_time()
    if prepare is not None:
        X_test = prepare.transform(X_test)
    predict = model.predict_proba if what == "classification" else model.predict
    predicted = predict(X_test)
    seconds = {"seconds": fitted - start, "predict": time.process_time() - fitted}
    if what == "classification":
        scores, losses = class_scores(predicted, y_test)
    else:
        scores, losses = number_scores(contestant, model, (X, X_test, y, y_test), predicted)
    rounded = {key: round(value, 4) for key, value in seconds.items()}
    return {**rounded, "scores": {k: float(v) for k, v in scores.items()}}, losses


class _Stated:
    """Probabilities that were stated, as `class_rows` asks for them."""

    def __init__(self, proba: np.ndarray) -> None:
        self.proba, self.classes_ = proba, np.arange(proba.shape[1])

    def predict_proba(self, X: Any) -> np.ndarray:
        return self.proba


def class_scores(proba: np.ndarray, y: np.ndarray) -> tuple[dict[str, float], np.ndarray]:
    rows = class_rows(_Stated(np.asarray(proba, float)), None, y)
    area = aurc_score(np.ones(len(y)), rows["right"], 1 - rows["top"])
    scores = {
        "log loss": rows["loss"].mean(),
        "calibration error": expected_calibration_error(rows["right"], rows["top"]),
        "AURC": area,
        "accuracy": rows["right"].mean(),
    }
    return scores, rows["loss"]


def number_scores(
    contestant: Contestant, model: Any, parts: tuple, mean: np.ndarray
) -> tuple[dict[str, float], np.ndarray]:
    X, X_test, y, y_test = parts
    mean = np.asarray(mean, float).ravel()
    squares = (mean - y_test) ** 2
    scores = {"RMSE": np.sqrt(squares.mean())}
    if contestant.name in {OURS, SEARCHED}:
        ours = getattr(model, "best_estimator_", model)
        return scores | scores_of_ours(ours, X_test, y_test), squares
    if contestant.states is not None:
        normal = Normal(*contestant.states(model, X_test))
    else:
        normal = Normal(mean, contestant.spread(model, X, y))
    return scores | normal.scores(y_test), squares


# ---- all fits ------------------------------------------------------------------------------------


def run(found: Fits, options: Namespace) -> None:
    """Do what is not found yet, model by model."""
    for model in options.models:
        for name in options.tables:
            reason = reason_not_to(found, options, name, model)
            if reason is not None:
                print(f"{name} {model}: not run, {reason}", flush=True)
                continue
            for fold in folds_of(table_of(options.data, name))[: options.folds]:
                first = found.found.get(found.key(job_of(options, name, model, 0)), {})
                allowed = fewer(folds_of(table_of(options.data, name)), first.get("seconds", 0.0))
                if fold in allowed and (options.again or "failed" not in first):
                    fit_and_keep(found, options, name, job_of(options, name, model, fold))


def fit_and_keep(found: Fits, options: Namespace, name: str, job: dict[str, Any]) -> None:
    if job in found and not options.again:
        return
    start = time.perf_counter()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            line = fit_once(options.data, job, name)
    except Exception as error:
        line = job | {"failed": f"{type(error).__name__}: {error}"}
    found.add(line)
    shown = {key: value for key, value in line.items() if key != "losses"}
    print(f"{time.perf_counter() - start:.1f} s", shown, flush=True)


# ---- command line --------------------------------------------------------------------------------


def parsed() -> Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the tables")
    help_ = "file of the fits, one a line"
    parser.add_argument("--results", type=Path, required=True, help=help_)
    parser.add_argument("--label", default="now", help="which fits of ours")
    parser.add_argument("--models", nargs="+", default=list(BY_NAME), choices=list(BY_NAME))
    parser.add_argument("--tables", nargs="+", help="names without raw/ (default: all)")
    parser.add_argument("--folds", type=int, default=10, help="at most so many of each table")
    help_ = "seconds of a fit from which on it is not tried"
    parser.add_argument("--limit", type=float, default=360.0, help=help_)
    parser.add_argument("--again", action="store_true", help="repeat what is finished")
    parser.add_argument("--page", action="store_true", help="write the page and its picture")
    parser.add_argument("--no-fits", action="store_true", help="of what is finished only")
    parser.add_argument("--quick", action="store_true", help="a small run that proves nothing")
    options = parser.parse_args()
    if options.quick:
        options.tables, options.folds = ["pima", "yacht", "titanic"], 2
    wanted = options.tables or [short(name) for name in TABLES]
    if unknown := set(wanted) - {short(name) for name in TABLES}:
        raise SystemExit(f"--tables: no {', '.join(sorted(unknown))}")
    options.tables = [name for name in TABLES if short(name) in wanted]
    return options


def main() -> None:
    options = parsed()
    logging.disable(logging.WARNING)
    found = Fits(options.results, NAMES)
    if not options.no_fits:
        run(found, options)
    if options.page:
        page_of(found, options)


def page_of(found: Fits, options: Namespace) -> None:
    from _board_page import write_page
    from _board_results import SCORES, Board

    tables = {short(name): table_of(options.data, name) for name in options.tables}
    names = {what: [short(n) for n in options.tables if task(n) == what] for what in SCORES}
    full = {short(name): name for name in TABLES}

    def reason_of(name: str, model: str) -> str:
        return reason_not_to(found, options, full[name], model) or "time was up"

    board = Board(found.found.values(), options.label, tables)
    write_page(__file__, board, names, options, reason_of)


if __name__ == "__main__":
    main()
