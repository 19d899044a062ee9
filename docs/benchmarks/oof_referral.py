"""Thresholds from out-of-fold answers of one fitted model, against a refit for each fold."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from _common import EARLIER_RUNS, Page, make_parser, markdown_table, threads
from _data import preprocessed
from _referral import TABLES, ten_folds
from _results import Lines
from scipy.stats import beta

from skdropout import DropoutMLPClassifier
from skdropout.decision import TunedReferralClassifierCV

RISKS = (0.05, 0.10)
WAYS: dict[str, Any] = {"cv='oof'": "oof", "cv=5": 5}

INTRO = """`TunedReferralClassifierCV(max_risk=..., confidence_level=0.95)` around
`DropoutMLPClassifier` at its defaults but for `random_state`, fitted to each training part and
applied to the fold that it has not seen; one thread. Inputs are standardised, missing values of
mammographic-mass become the training part's medians. 10 folds (ann-thyroid, which comes with one
split, in 10 stratified folds of all rows){shortened}.

- *cv='oof'*: the threshold is found on what each of the model's five networks says about the rows
  that it was not trained on. *cv=5*: five more models (of five networks each) are fitted, each
  without a fifth of the rows, and judge these. The model that predicts in the end is the same.
- *kept* and *errors among kept*: of all test rows of all folds together, with the 95 % interval of
  Clopper and Pearson, which takes the rows for independent.
- *promise*: kept if the pooled share is at most the promised one; within chance if only the
  interval's lower end is; broken if the whole interval is above.
- *none*: folds in which no threshold reached the risk, so that everything is referred.
- *seen*: share kept of the rows that found the threshold, and errors among these where some were
  kept; means over the folds.
- *seconds* of a whole fit, the model's own included: mean over the folds, which take turns."""


def tuned(folder: Path, table_name: str, way: str, split: int) -> dict[str, Any]:
    """For each risk what is kept, and how much of it is wrong, on the fold that was not seen."""
    table = ten_folds(folder, table_name)
    train, test = table.splits[split]
    X, X_test = preprocessed(table, train, test)
    y, y_test = table.y[train], table.y[test]
    with warnings.catch_warnings(), threads(1):
        # That nothing reaches the risk, or only one class does, is counted instead.
        warnings.simplefilter("ignore")
        found: dict[str, Any] = {}
        for risk in RISKS:
            network = DropoutMLPClassifier(store_oof=WAYS[way] == "oof", random_state=split)
            careful = TunedReferralClassifierCV(network, max_risk=risk, cv=WAYS[way])
            start = time.perf_counter()
            careful.fit(X, y)
            seconds = time.perf_counter() - start
            kept = ~careful.refer(X_test)
            wrong = kept & (careful.estimator_.predict(X_test) != y_test)
            seen = float(careful.selective_coverage_), float(careful.selective_risk_)
            found[str(risk)] = [int(kept.sum()), int(wrong.sum()), len(test), *seen, seconds]
    return found


def promise_line(name: str, way: str, risk: float, outcomes: list[list[float]]) -> list[str]:
    kept, wrong, rows = np.sum([outcome[:3] for outcome in outcomes], axis=0)
    none = sum(outcome[0] == 0 for outcome in outcomes)
    seen_kept = np.mean([outcome[3] for outcome in outcomes])
    seen_risks = [outcome[4] for outcome in outcomes if outcome[3]]
    seen = f"{seen_kept:.1%}" + (f", {np.mean(seen_risks):.1%}" if seen_risks else "")
    seconds = np.mean([outcome[5] for outcome in outcomes])
    line = [name, f"`{way}`", f"{risk:.0%}", seen]
    line += [f"{kept / rows:.1%}", f"{none} of {len(outcomes)}"]
    if kept == 0:
        return [*line, "", "", f"{seconds:.1f}"]
    low = beta.ppf(0.025, wrong, kept - wrong + 1) if wrong else 0.0
    high = beta.ppf(0.975, wrong + 1, kept - wrong) if wrong < kept else 1.0
    word = "kept" if wrong / kept <= risk else ("within chance" if low <= risk else "**broken**")
    errors = f"{wrong / kept:.1%} ({low:.1%} to {high:.1%})"
    return [*line, errors, word, f"{seconds:.1f}"]


def main() -> None:
    parser = make_parser(__file__, __doc__, data=True)
    parser.add_argument("--results", type=Path, help="JSON lines that a stopped run goes on from")
    parser.add_argument("--tables", nargs="+", default=TABLES, choices=TABLES)
    parser.add_argument("--folds", type=int, default=10, help="at most so many folds")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    options = parser.parse_args()
    names = options.tables[:1] if options.quick else options.tables
    n_folds = 1 if options.quick else options.folds
    page = Page(__file__, "Thresholds without another fit", options)
    shortened = f", of which {n_folds} here" if n_folds < 10 else ""
    page.add(INTRO.format(shortened=shortened))
    lines = Lines(options.results)
    if lines.found:
        page.add(EARLIER_RUNS)
    keys = {
        (name, way): [(name, way, split) for split in range(n_folds)]
        for name in names
        for way in WAYS
    }
    turns = [(name, way, split) for name in names for split in range(n_folds) for way in WAYS]
    lines.complete(turns, lambda *key: tuned(options.data, *key), options.jobs)
    rows = [
        promise_line(name, way, risk, [lines.found[key][str(risk)] for key in keys[name, way]])
        for name in names
        for risk in RISKS
        for way in WAYS
    ]
    header = ["table", "threshold from", "promised", "seen", "kept", "none"]
    page.add(markdown_table([*header, "errors among kept", "promise", "seconds"], rows))
    page.write()


if __name__ == "__main__":
    main()
