"""What `distance_awareness` gives where training rows end, and what it costs where they are."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _common import EARLIER_RUNS, Page, make_parser, markdown_table, threads
from _data import REGRESSION, load_table
from _gaps import fit_gaps
from _results import Results
from _tried import TRIED, VERDICT
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, load_wine
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.neighbors import NearestNeighbors
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from skdropout.metrics import expected_calibration_error

AWARENESS = (0.0, 0.5, 1.0)
TABLES = ("pima", "messidor-dr", "mammographic-mass", "ann-thyroid")

INTRO = """`distance_awareness` adds functions of a Gaussian process, of mean zero, to the draws
([how](../uncertainty.md#where-training-rows-end)). Everything else is by default; 0 is the default
of this parameter too. One thread, one seed."""

GAPS = """The middle third of one input is left out of training, for the 3 inputs with the most
distinct values in turn, as on [the page of the five tables](uci.md#gaps), with calibration. A fifth
of the gap's rows is held out from everything. *ratio*: the squared mean epistemic standard
deviation of these rows according to networks that have seen no row of the gap, through that of
networks that have seen the gap's other rows; the geometric mean over 15 inputs, and the median.
*above 1*: on how many inputs. Then the share of rows inside the gap that 90 % intervals hold, and
of the held-out rows outside, means over the inputs of a table."""

SINE = """`sin(2 x)` with noise of standard deviation 0.1, 133 to 147 rows between -3 and -1 and
between 1 and 3. Epistemic standard deviation through its mean between 1.2 and 2.8 on both sides: in
the middle (below 0.2) and beyond the ends (from 4.5 to 5). Means over 5 draws of the data.
*GaussianProcessRegressor* has a learned length scale and noise."""

ELSEWHERE = """One class of a table with three or more is left out of training, or one of four
clusters (k-means) of the two tables with two classes. Area under the ROC curve between its rows
and the test fifth of the others. *epistemic* and *total* are those of the variance, *mutual
information* is the epistemic part of the entropy; *nearest row* is the distance to the nearest
training row, all columns standardised; *MLPClassifier* is one less its largest probability."""

LOST = """Gains over `distance_awareness=0` on rows that are like the training rows, paired by
split or fold, with the standard error of the mean. Log density, log loss: in nats; higher is
better in all but the last column of each table, which says how the coverage of 90 % intervals, or
the expected calibration error, has moved."""


def gaps(results: Results, options: argparse.Namespace) -> list[str]:
    lines = []
    for by in AWARENESS:
        found, cells = [], []
        for table in options.tables:
            given = {"distance_awareness": by}
            fit = partial(fit_gaps, options.data, table, options.gaps, given)
            scores = results.get(f"gap/{table}/{by}", lambda fit=fit: {"scores": fit()})["scores"]
            found += [(s["std_new"] / s["std_known"]) ** 2 for s in scores]
            inside, outside = (
                np.mean([s[f"coverage_{place}"] for s in scores]) for place in ("gap", "outside")
            )
            cells.append(f"{inside:.2f}, {outside:.2f}")
        ratio = f"{np.exp(np.mean(np.log(found))):.1f}, {np.median(found):.1f}"
        above = f"{sum(np.array(found) > 1)} of {len(found)}"
        lines.append([f"{by:g}", ratio, above, *cells])
    header = ["distance_awareness", "ratio: mean, median", "above 1", *options.tables]
    return ["## Gaps", GAPS, markdown_table(header, lines)]


def sine_with_a_gap(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(-3, 3, 200)
    x = x[np.abs(x) > 1]
    return x[:, None], np.sin(2 * x) + 0.1 * rng.standard_normal(len(x))


def process() -> GaussianProcessRegressor:
    kernel = ConstantKernel() * RBF() + WhiteKernel(0.1)
    return GaussianProcessRegressor(kernel, normalize_y=True, n_restarts_optimizer=2)


def growth_of_sine(by: float | None, seed: int) -> dict[str, float]:
    """Of one fit; None is a Gaussian process of scikit-learn."""
    X, y = sine_with_a_gap(seed)
    grid = np.linspace(-5, 5, 201)[:, None]
    if by is None:
        model = process().fit(X, y)
        std = np.sqrt(model.predict(grid, return_std=True)[1] ** 2 - noise_of(model))
    else:
        model = quietly(DropoutMLPRegressor(random_state=seed, distance_awareness=by), X, y)
        std = np.sqrt(model.predict_uncertainty(grid).epistemic)
    away = np.abs(grid[:, 0])
    known = std[(away > 1.2) & (away < 2.8)].mean()
    return {"middle": std[away < 0.2].mean() / known, "ends": std[away > 4.5].mean() / known}


def noise_of(model: GaussianProcessRegressor) -> float:
    return model.kernel_.k2.noise_level * model._y_train_std**2


def sine(results: Results, options: argparse.Namespace) -> list[str]:
    lines = []
    for by in (*AWARENESS, None):
        fits = [
            results.get(f"sine/{by}/{seed}", partial(growth_of_sine, by, seed))
            for seed in range(options.seeds)
        ]
        name = "*GaussianProcessRegressor*" if by is None else f"{by:g}"
        cells = [f"{np.mean([fit[place] for fit in fits]):.1f}" for place in ("middle", "ends")]
        lines.append([name, *cells])
    header = ["distance_awareness", "middle of the gap", "beyond the ends"]
    return ["## A sine with a gap", SINE, markdown_table(header, lines)]


def left_out(data: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Tables, their classes, and which part a row is in that may be left out."""
    for name, load in (("wine", load_wine), ("digits", load_digits)):
        X, y = load(return_X_y=True)
        yield name, X, y, y
    table = load_table(data, "ann-thyroid")
    yield table.name, table.X, table.y, table.y
    for name in ("pima", "messidor-dr"):
        table = load_table(data, name)
        means = KMeans(4, n_init=5, random_state=0)
        yield name, table.X, table.y, means.fit_predict(StandardScaler().fit_transform(table.X))


def separation(X: np.ndarray, y: np.ndarray, part: np.ndarray, without: int) -> dict[str, float]:
    """Areas under the curve between rows of the part that was left out and others."""
    rng = np.random.default_rng(without)
    order = rng.permutation(np.flatnonzero(part != without))
    test, train = np.split(order, [len(order) // 5])
    away = rng.permutation(np.flatnonzero(part == without))[:1000]
    scaler = StandardScaler().fit(X[train])
    known = scaler.transform(X[train])
    asked = scaler.transform(X[np.concatenate([test, away])])
    truth = np.repeat([0, 1], [len(test), len(away)])
    scores = {"nearest row": NearestNeighbors(n_neighbors=1).fit(known).kneighbors(asked)[0][:, 0]}
    network = quietly(MLPClassifier(random_state=0), known, y[train])
    scores["MLPClassifier"] = 1 - network.predict_proba(asked).max(1)
    ensemble = {"cv": None, "early_stopping": False, "n_members": 5, "dropout": None}
    settings = {f"{by:g}": {"distance_awareness": by} for by in AWARENESS}
    for name, given in {**settings, "five members": ensemble}.items():
        model = quietly(DropoutMLPClassifier(random_state=0, **given), known, y[train])
        variance = model.predict_uncertainty(asked)
        scores[f"{name}, epistemic"], scores[f"{name}, total"] = variance[2], variance[1]
        entropy = model.predict_uncertainty(asked, measure="entropy")
        scores[f"{name}, mutual information"] = entropy.epistemic
    return {name: float(roc_auc_score(truth, values)) for name, values in scores.items()}


def elsewhere(results: Results, options: argparse.Namespace) -> list[str]:
    found: dict[str, list[dict]] = {}
    for name, X, y, part in left_out(options.data):
        for without in np.unique(part)[: options.parts]:
            compute = partial(separation, X, y, part, without)
            found.setdefault(name, []).append(results.get(f"else/{name}/{without}", compute))
    lines = []
    for score in found["wine"][0]:
        cells = [np.mean([fit[score] for fit in fits]) for fits in found.values()]
        lines.append([score, *(f"{cell:.2f}" for cell in cells), f"{np.mean(cells):.3f}"])
    header = ["", *(f"{name} ({len(fits)})" for name, fits in found.items()), "mean"]
    return ["## Rows from elsewhere", ELSEWHERE, markdown_table(header, lines)]


def regression_scores(data: Path, name: str, split: int, by: float) -> dict[str, float]:
    X, y, X_test, y_test = split_of(data, name, split)
    model = DropoutMLPRegressor(random_state=split, distance_awareness=by)
    model = quietly(model, X, y.astype(float))
    low, high = model.predict_interval(X_test).T
    return {
        "log density": float(model.log_prob(X_test, y_test).mean()),
        "CRPS": -float(model.crps(X_test, y_test).mean()),
        "RMSE": -float(np.sqrt(np.mean((model.predict(X_test) - y_test) ** 2))),
        "coverage": float(np.mean((low <= y_test) & (y_test <= high))),
    }


def class_scores(data: Path, name: str, split: int, by: float) -> dict[str, float]:
    X, y, X_test, y_test = split_of(data, name, split)
    model = quietly(DropoutMLPClassifier(random_state=split, distance_awareness=by), X, y)
    proba = model.predict_proba(X_test)
    return {
        "log loss": -float(log_loss(y_test, proba, labels=model.classes_)),
        "accuracy": float(model.score(X_test, y_test)),
        "calibration error": float(expected_calibration_error(y_test, proba)),
    }


def split_of(data: Path, name: str, split: int) -> tuple[np.ndarray, ...]:
    table = load_table(data, name)
    train, test = table.splits[split]
    scaler = StandardScaler().fit(table.X[train])
    X, X_test = scaler.transform(table.X[train]), scaler.transform(table.X[test])
    return X, table.y[train], X_test, table.y[test]


def lost(
    results: Results,
    options: argparse.Namespace,
    tables: tuple[str, ...],
    score: Callable[..., dict[str, float]],
) -> str:
    lines, header = [], []
    for name in tables:
        n_splits = min(options.splits, len(load_table(options.data, name).splits))
        found = {
            by: [
                results.get(
                    f"lost/{name}/{by}/{split}", partial(score, options.data, name, split, by)
                )
                for split in range(n_splits)
            ]
            for by in AWARENESS
        }
        header = ["", "distance_awareness", *found[0.0][0]]
        for by in AWARENESS[1:]:
            cells = [gain(found[by], found[0.0], key) for key in header[2:]]
            lines.append([f"{name} ({n_splits})", f"{by:g}", *cells])
    return markdown_table(header, lines)


def gain(ours: list[dict], base: list[dict], key: str) -> str:
    gains = np.array([a[key] - b[key] for a, b in zip(ours, base, strict=True)])
    error = f" ± {gains.std(ddof=1) / np.sqrt(len(gains)):.4f}" if len(gains) > 1 else ""
    return f"{gains.mean():+.4f}{error}"


def quietly(model: Any, X: np.ndarray, y: np.ndarray) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(X, y)


def main() -> None:
    parser = make_parser(__file__, __doc__, data=True)
    parser.add_argument("--splits", type=int, default=20, help="splits and folds")
    parser.add_argument("--gaps", type=int, default=3, help="inputs with a gap")
    parser.add_argument("--parts", type=int, default=4, help="classes or clusters left out, each")
    parser.add_argument("--seeds", type=int, default=5, help="draws of the sine")
    parser.add_argument("--results", type=Path, help="file to keep scores in between runs")
    options = parser.parse_args()
    options.tables, classes = list(REGRESSION), TABLES
    if options.quick:
        options.splits = options.gaps = options.parts = options.seeds = 1
        options.tables, classes = ["yacht"], ("pima",)
    page = Page(__file__, "Less sure where training rows end", options)
    page.add(INTRO)
    if options.results and options.results.exists():
        page.add(EARLIER_RUNS)
    results = Results(options.results)
    with threads(1):
        page.add(*gaps(results, options), *sine(results, options), *elsewhere(results, options))
        page.add("## What it costs where there are rows", LOST)
        page.add(lost(results, options, tuple(options.tables), regression_scores))
        page.add(lost(results, options, classes, class_scores))
    page.add(VERDICT, "## What was tried and not built", TRIED)
    page.write()


if __name__ == "__main__":
    main()
