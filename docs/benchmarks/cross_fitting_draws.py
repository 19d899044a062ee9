"""A hundred draws of the default model, five networks, against a hundred draws of one network."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from _common import Page, alternate, make_parser, markdown_table, median_ratio, parse, threads

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor

TARGET = 1.2
N_INPUTS = 20

INTRO = """Predictions of a model as it is fitted by default, with five networks, through those of
one network of the same size (`cv=None`): the ratio of their times, {repeats} rounds in turns after
one to warm up; the median of the rounds, their range in brackets. 20 inputs in float32; the
classifier by `predict_proba`, the regressor by `predict`, all checks included.
Of one thread the times are those of the processor.

- *100 draws*, the default: 20 of each of the five networks, or 100 of the one. At most {target} is
  asked.
- *no draws* (`n_draws=0`) and *moments* (`inference="moments"`): every network is asked once, so
  five times as much is computed."""


@dataclass(frozen=True)
class Case:
    """A network and the rows that it predicts."""

    kind: type
    hidden: tuple[int, ...]
    n_rows: int
    n_classes: int = 2

    def __str__(self) -> str:
        what = "numbers" if self.kind is DropoutMLPRegressor else f"{self.n_classes} classes"
        return f"{self.hidden}, {what}, {self.n_rows:,} rows"


CASES = [
    Case(DropoutMLPClassifier, (100,), 10),
    Case(DropoutMLPClassifier, (100,), 1_000),
    Case(DropoutMLPClassifier, (100,), 10_000),
    Case(DropoutMLPClassifier, (100,), 1_000, 10),
    Case(DropoutMLPClassifier, (100, 100), 10_000),
    Case(DropoutMLPClassifier, (256, 256, 256), 10_000),
    Case(DropoutMLPRegressor, (64, 64), 10),
    Case(DropoutMLPRegressor, (64, 64), 1_000),
    Case(DropoutMLPRegressor, (64, 64), 10_000),
]
WAYS: dict[str, dict[str, Any]] = {
    "100 draws": {},
    "no draws": {"n_draws": 0},
    "moments": {"inference": "moments"},
}


def fitted(case: Case, cv: int | None) -> Any:
    """A model that is trained for a few epochs: what it says does not matter here."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2_000, N_INPUTS), dtype=np.float32)
    y = X[:, 0] * X[:, 1] + X[:, 2]
    if case.kind is DropoutMLPClassifier:
        cuts = np.quantile(y, np.linspace(0, 1, case.n_classes + 1)[1:-1])
        y = np.digitize(y, cuts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return case.kind(case.hidden, cv=cv, max_iter=5, random_state=0).fit(X, y)


def prediction(model: Any, X: np.ndarray) -> Callable[[], object]:
    if isinstance(model, DropoutMLPRegressor):
        return lambda: model.predict(X)
    return lambda: model.predict_proba(X)


def case_row(case: Case, repeats: int, clock: Callable[[], float]) -> list[str]:
    X = np.random.default_rng(1).standard_normal((case.n_rows, N_INPUTS), dtype=np.float32)
    five, one = fitted(case, 5), fitted(case, None)
    cells = []
    for name, way in WAYS.items():
        for model in (five, one):
            model.set_params(**{"n_draws": 100, "inference": "draws", **way})
        pair = {"five": prediction(five, X), "one": prediction(one, X)}
        seconds = alternate(pair, repeats, clock)
        ratio, low, high = median_ratio(seconds["five"], seconds["one"])
        cells.append(f"{ratio:.2f} ({low:.2f}-{high:.2f})")
        if name == "100 draws":
            times = [f"{np.median(seconds[who]) * 1e3:.1f}" for who in ("five", "one")]
            cells = [*times, *cells, "yes" if ratio <= TARGET else "**no**"]
    return [str(case), *cells]


def main() -> None:
    parser = make_parser(__file__, __doc__, threads=True)
    parser.add_argument("--repeats", type=int, default=15)
    options = parse(parser)
    repeats = 2 if options.quick else options.repeats
    cases = CASES[:2] if options.quick else CASES
    page = Page(__file__, "Prediction: five cross-fitted networks against one", options)
    page.add(INTRO.format(repeats=repeats, target=TARGET))
    ratios = ["100 draws, ratio", f"at most {TARGET}", "no draws, ratio", "moments, ratio"]
    header = ["network", "five, 100 draws, ms", "one, ms", *ratios]
    for n_threads in options.threads:
        with threads(n_threads):
            # Of one thread the processor's time, which other programs disturb less.
            clock = time.process_time if n_threads == 1 else time.perf_counter
            rows = [case_row(case, repeats, clock) for case in cases]
        page.add(f"## Threads: {n_threads}", markdown_table(header, rows))
    page.write()


if __name__ == "__main__":
    main()
