"""Referral on medical tables: by draws, by plain scores, and whether promises are kept."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from _common import Page, make_parser, markdown_table, threads
from _data import Table, preprocessed, timed_fit
from _referral import (
    PARTS,
    RADIOLOGISTS,
    RANDOM,
    TABLES,
    WITHOUT_DRAWS,
    Doubted,
    compared,
    load_birads,
    network,
    ten_folds,
)
from scipy.stats import beta
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from skdropout.decision import TunedReferralClassifierCV

RISKS = (0.05, 0.10)
REFERENCE = "total"
SHOWN = ("total", "epistemic", WITHOUT_DRAWS, "random forest", RANDOM, RADIOLOGISTS)

INTRO = """Classifiers at their defaults but for `random_state`; one thread. Inputs are
standardised, missing values of mammographic-mass become the training part's medians. 10 folds
(ann-thyroid, which comes with one split, in 10 stratified folds of all rows){shortened}.

- *total, epistemic, aleatoric, entropy*: one `DropoutMLPClassifier` with 100 draws, referring by
  its `predict_uncertainty`. *{plain}*: the same trained network with `n_draws=0`, referring
  by one minus its largest probability. *{random}*: the network's labels with 100 draws, a
  random number as doubt. With two classes *total* and *entropy* give the same order.
- The other models refer by one minus their largest probability. The *{radiologists}* (BI-RADS,
  mammographic-mass only) becomes a probability by the share of malignant cases among the training
  rows of the same score; it has few values, so whole groups are kept or referred together.
- *kept 50 %* and so on: accuracy among the surest rows, at the strictest threshold that keeps at
  least that share. *AURC*: area under the curve of error share against share kept; *excess*: less
  that of the best order of the same errors. Smaller is better.
- Means over the folds. *against total*: AURC less that of *total*, paired by fold, with its
  standard error, widened because training parts overlap (Nadeau and Bengio 2003, Inference for
  the generalization error, Machine Learning 52). Marked **better** or **worse** beyond two
  standard errors; the mark of one of many comparisons may be chance."""

PROMISES = """`TunedReferralClassifierCV(max_risk=..., confidence_level=0.95)` around the same
network, fitted to each training part and applied to the fold that it has not seen. *held out*:
30 % of the training part find the threshold (`cv="prefit"`), for which the guarantee is exact;
*5 folds*: out-of-fold predictions and a network fitted to the whole training part.

- *kept* and *errors among kept*: of all test rows of all folds together, with the 95 % interval of
  Clopper and Pearson, which takes the rows for independent.
- *promise*: kept if the pooled share is at most the promised one; within chance if only the
  interval's lower end is; broken if the whole interval is above.
- *none*: folds in which no threshold reached the risk, so that everything is referred. That keeps
  the promise too.
- The guarantee is about the population: a fold is small and its share of errors scatters around
  that of the population. So look at the pooled share, not at single folds."""


def fold_results(table: Table, folder: Path, n_folds: int) -> list[dict[str, Doubted]]:
    birads = load_birads(folder, table.name)
    return [
        compared(table, train, test, seed, birads)
        for seed, (train, test) in enumerate(table.splits[:n_folds])
    ]


def comparison(table: Table, folds: list[dict[str, Doubted]]) -> str:
    """One line a method: mean scores, and the difference of the AURC by fold."""
    scores = {name: [fold[name].scores() for fold in folds] for name in folds[0]}
    columns = list(scores[REFERENCE][0])
    lines = []
    for name, by_fold in scores.items():
        means = [
            f"{np.mean([fold[column] for fold in by_fold]):.{5 if 'AURC' in column else 4}f}"
            for column in columns
        ]
        lines.append([name, *means, difference(table, by_fold, scores[REFERENCE], name)])
    return markdown_table(["refer by", *columns, "AURC against total"], lines)


def difference(table: Table, by_fold: list[dict], reference: list[dict], name: str) -> str:
    if name == REFERENCE:
        return ""
    pairs = [a["AURC"] - b["AURC"] for a, b in zip(by_fold, reference, strict=True)]
    train, test = table.splits[0]
    error = np.sqrt((1 / len(pairs) + len(test) / len(train)) * np.var(pairs, ddof=1))
    mean = np.mean(pairs)
    word = "" if abs(mean) <= 2 * error else (" **better**" if mean < 0 else " **worse**")
    return f"{mean:+.5f} ± {error:.5f}{word}"


def findings(table: Table, folds: list[dict[str, Doubted]]) -> str:
    """Where draws help and where they do not, in words made from the numbers."""
    aurc = {name: np.array([fold[name].scores()["AURC"] for fold in folds]) for name in folds[0]}
    best = min(aurc, key=lambda name: aurc[name].mean())
    part = min(PARTS, key=lambda name: aurc[name].mean())
    wins = int((aurc[part] < aurc[WITHOUT_DRAWS]).sum())
    plain, drawn = aurc[WITHOUT_DRAWS].mean(), aurc[part].mean()
    return (
        f"{table.name}: least AURC by *{best}* ({aurc[best].mean():.4f}). Of the network's own, "
        f"*{part}* is least with {drawn:.4f}, against {plain:.4f} without draws; it is lower in "
        f"{wins} of {len(folds)} folds. At random: {aurc[RANDOM].mean():.4f}."
    )


# ---- promises ------------------------------------------------------------------------------


def promised(table: Table, n_folds: int) -> list[list[str]]:
    """Lines of promised and observed risk."""
    lines = []
    for how in ("held out", "5 folds"):
        outcomes: dict[float, list[tuple[int, int, int]]] = {risk: [] for risk in RISKS}
        for seed, (train, test) in enumerate(table.splits[:n_folds]):
            X, X_test = preprocessed(table, train, test)
            for risk, careful in tuned(how, X, table.y[train], seed).items():
                kept = ~careful.refer(X_test)
                wrong = careful.estimator_.predict(X_test) != table.y[test]
                outcomes[risk].append((kept.sum(), (wrong & kept).sum(), len(test)))
        lines += [promise_line(table.name, how, risk, found) for risk, found in outcomes.items()]
    return lines


def tuned(how: str, X: np.ndarray, y: np.ndarray, seed: int) -> dict:
    """A tuned classifier for each risk."""
    if how == "held out":
        X_fit, X_cal, y_fit, y_cal = train_test_split(
            X, y, test_size=0.3, stratify=y, random_state=seed
        )
        model, cv = timed_fit(network(seed), X_fit, y_fit)[0], "prefit"
    else:
        X_cal, y_cal, model, cv = X, y, network(seed), 5
    found = {}
    for risk in RISKS:
        careful = TunedReferralClassifierCV(model, max_risk=risk, cv=cv)
        with warnings.catch_warnings():
            # That nothing reaches the risk, or only one class does, is counted instead.
            warnings.simplefilter("ignore", UserWarning)
            warnings.simplefilter("ignore", ConvergenceWarning)
            found[risk] = careful.fit(X_cal, y_cal)
    return found


def promise_line(name: str, how: str, risk: float, outcomes: list) -> list[str]:
    kept, wrong, rows = np.sum(outcomes, axis=0)
    none = sum(outcome[0] == 0 for outcome in outcomes)
    line = [name, how, f"{risk:.0%}", f"{kept / rows:.1%}", f"{none} of {len(outcomes)}"]
    if kept == 0:
        return [*line, "", ""]
    low = beta.ppf(0.025, wrong, kept - wrong + 1) if wrong else 0.0
    high = beta.ppf(0.975, wrong + 1, kept - wrong) if wrong < kept else 1.0
    word = "kept" if wrong / kept <= risk else ("within chance" if low <= risk else "**broken**")
    return [*line, f"{wrong / kept:.1%} ({low:.1%} to {high:.1%})", word]


# ---- the picture ---------------------------------------------------------------------------


def draw(results: dict[str, list[dict[str, Doubted]]], path: Path) -> None:
    """Risk-coverage curves of all folds together, one panel a table."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from skdropout.displays import RiskCoverageDisplay

    figure = Figure(figsize=(11, 2 * 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    for ax, (name, folds) in zip(figure.subplots(2, 2).flat, results.items(), strict=False):
        for method in (method for method in SHOWN if method in folds[0]):
            parts = zip(*(fold[method] for fold in folds), strict=True)
            rows = Doubted(*(np.concatenate(part) for part in parts))
            RiskCoverageDisplay.from_predictions(
                rows.y, rows.predicted, rows.doubt, name=method, ax=ax
            )
        ax.set_title(name)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = make_parser(__file__, __doc__, data=True)
    parser.add_argument("--folds", type=int, default=10, help="at most so many folds")
    options = parser.parse_args()
    names = TABLES[:2] if options.quick else TABLES
    n_folds = 2 if options.quick else options.folds
    page = Page(__file__, "Referral on medical tables", options)
    shortened = f", of which {n_folds} here" if n_folds < 10 else ""
    page.add(
        INTRO.format(
            shortened=shortened, plain=WITHOUT_DRAWS, random=RANDOM, radiologists=RADIOLOGISTS
        )
    )
    results, promises = {}, []
    with threads(1):
        for name in names:
            table = ten_folds(options.data, name)
            results[name] = fold_results(table, options.data, n_folds)
            page.add(f"## {name}", findings(table, results[name]))
            page.add(comparison(table, results[name]))
            promises += promised(table, n_folds)
            print(name, "done", flush=True)
    picture = options.out.with_suffix(".png")
    draw(results, picture)
    page.add("## Curves", f"All folds together.\n\n![risk against coverage]({picture.name})")
    header = ["table", "threshold from", "promised", "kept", "none", "errors among kept", "promise"]
    page.add("## Promised and observed", PROMISES, markdown_table(header, promises))
    page.write()


if __name__ == "__main__":
    main()
