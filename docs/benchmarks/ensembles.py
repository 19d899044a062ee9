"""Five networks trained as one stack against one: time, and what it gains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _common import Page, make_parser, markdown_table, threads
from _data import CLASSIFICATION, REGRESSION, Table, load_table, preprocessed, timed_fit
from sklearn.base import is_classifier

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor

MEMBERS = 5
# Tables of which one split says enough, and how many rows train there.
LARGE = {"adult": 8_000, "magic-gamma": 8_000}
MOST_TIMES = 2.5

INTRO = """`n_members={members}` against `n_members=1`, both with `cv=None`, everything else at the
defaults but for `random_state`; one thread. Inputs are standardised, with medians for missing
values, by the training part. The members are trained as one stack; a member that has converged
leaves it. The first member of the ensemble starts as the single network does.

- *gain*: log predictive density of the test rows, ensemble less single network, in nats per row:
  for classes it is minus the difference of the log losses, for regression it is in the units of y.
  The mean over {splits} splits, with its standard error, widened because training parts overlap
  (Nadeau and Bengio 2003). Above zero the ensemble is better.
- *times*: fit time of the ensemble through that of the single network, the median over the splits.
  At most {most} is asked for on tables of up to 2,000 rows.
- *between*: share of the epistemic variance that is disagreement between members; the rest is
  between the draws of a member.

Of adult and magic-gamma 8,000 rows train."""


def fitted(model: Any, table: Table, split: int) -> tuple[Any, float, float, np.ndarray]:
    """The model, its seconds, its log density on the test part, and the test rows."""
    train, test = table.splits[split % len(table.splits)]
    if most := LARGE.get(table.name):
        train = np.random.default_rng(split).permutation(train)[:most]
    X, X_test = preprocessed(table, train, test)
    model, seconds, _ = timed_fit(model, X, table.y[train])
    return model, seconds, float(model.log_prob(X_test, table.y[test]).mean()), X_test


def disagreement(ensemble: Any, X: np.ndarray) -> np.ndarray:
    """The part of the epistemic variance that is between members."""
    variance = ensemble.predict_members(X).var(0)
    return variance.sum(-1) / 2 if is_classifier(ensemble) else variance


def standard_error(values: np.ndarray, table: Table) -> float:
    """Of the mean over splits whose training parts overlap."""
    train, test = table.splits[0]
    if len(values) < 2:
        return float("nan")
    overlap = 0.0 if table.official else len(test) / len(train)
    return float(np.sqrt((1 / len(values) + overlap) * values.var(ddof=1)))


def compare(table: Table, make: Callable[..., Any], n_splits: int) -> list[str]:
    gains, times, between = [], [], []
    for split in range(n_splits):
        _, one, density, _ = fitted(make(cv=None, random_state=split), table, split)
        ensemble, five, better, X_test = fitted(
            make(cv=None, random_state=split, n_members=MEMBERS), table, split
        )
        gains.append(better - density)
        times.append(five / one)
        epistemic = ensemble.predict_uncertainty(X_test).epistemic
        between.append(disagreement(ensemble, X_test).mean() / epistemic.mean())
    gain, error = np.mean(gains), standard_error(np.array(gains), table)
    n_rows = len(table.splits[0][0])
    ratio = float(np.median(times))
    return [
        table.name,
        f"{LARGE.get(table.name, n_rows):,}",
        f"{gain:+.4f} ± {error:.4f}",
        "better" if gain > 0 else "**worse**",
        f"{ratio:.2f}",
        "" if n_rows > 2_000 else "yes" if ratio <= MOST_TIMES else "**no**",
        f"{np.mean(between):.2f}",
    ]


def section(names: tuple[str, ...], make: Callable, folder: Path, n_splits: int) -> list[str]:
    lines = [compare(load_table(folder, name), make, n_splits) for name in names]
    header = ["table", "training rows", "gain", "ensemble is", "times", "at most 2.5", "between"]
    better = sum(line[3] == "better" for line in lines)
    return [f"Better on {better} of {len(lines)} tables.", markdown_table(header, lines)]


def main() -> None:
    parser = make_parser(__file__, __doc__, data=True)
    parser.add_argument("--splits", type=int, default=3)
    options = parser.parse_args()
    n_splits, classes, numbers = options.splits, CLASSIFICATION, REGRESSION
    if options.quick:
        n_splits, classes, numbers = 1, ("pima",), ("yacht",)
    page = Page(__file__, "Deep ensembles: five networks as one stack", options)
    page.add(INTRO.format(members=MEMBERS, splits=n_splits, most=MOST_TIMES))
    with threads(1):
        parts = section(numbers, DropoutMLPRegressor, options.data, n_splits)
        page.add("## Regression", *parts)
        parts = section(classes, DropoutMLPClassifier, options.data, n_splits)
        page.add("## Classification", *parts)
    page.write()


if __name__ == "__main__":
    main()
