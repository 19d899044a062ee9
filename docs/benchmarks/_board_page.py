"""The page of `board.py` and its picture."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from _board_models import BY_LOG_LOSS, BY_NAME, CANDIDATES, CATBOOST, OURS, SEARCHED
from _board_results import SCORES, Board, Score
from _common import Page, markdown_table

PICTURE = "board.png"
# The share of a picture's height from which on a model is drawn at the edge.
HIGHEST = {"classification": 1.6, "regression": 2.0}
PACKAGES = ("catboost", "lightgbm", "ngboost", "pytabkit")
NOT_COUNTED = "adult-official"

INTRO = """Scores of predictions and seconds of one thread, for many models at their defaults on
tables as people have them. Lines are kept where ours loses.

**Which rows.** Of the tables with ten folds the folds 0-6 and 9, of the UCI tables the splits 0-9:
this package's defaults were chosen on others (folds 7 and 8, splits 13 to 19, and the training
parts of official splits). Three choices had scored rows in sight: that levels stay whole without
knots was also looked at on fold 3 of titanic, german-credit and horse-colic, that the scale of
inputs is learned on fold 3 of the six tables of less than 2,000 rows, and that levels stay whole
beside what lies below a number was tried, on training rows, after `{official}` had a log loss of
.294 without it. A model whose first fit takes more than ten seconds gets three folds at most, and
one if it takes more than a minute; the slowest peers got one fold of most tables, numbers in
brackets say so. Two models are compared on the folds that both have. `adult` is scored twice: as it
comes, and one-hot with its official split (`{official}`, not counted in means and ranks).

**What models get.** Ours, and nothing else, takes the tables as they come. HistGradientBoosting,
LightGBM and CatBoost get text as categories; for CatBoost missing text is a category of its own.
RealMLP and TabM the same, with missing numbers as the training part's medians, because pytabkit
refuses gaps. Linear models, `MLPClassifier` and `MLPRegressor` (*MLP*), random forest, NGBoost and
Gaussian processes get medians for gaps, standardised numbers and one-hot text.

**Defaults.** All models are at their defaults, but: logistic regression has `max_iter=1000`; ridge
regression chooses its penalty of 13 from 0.001 to 1,000; Gaussian processes have the kernel
`ConstantKernel() * RBF()`, for numbers `+ WhiteKernel()` and `normalize_y=True`, and at most 1,500
training rows; NGBoost is told the number of classes; CatBoost, LightGBM, RealMLP and TabM use one
thread. RealMLP's default trains classes with label smoothing and stops by the error, because it was
made for accuracy; *{by_log_loss}* is `val_metric_name="cross_entropy", use_ls=False`.{searched}

**Distributions of numbers.** Ours states its own; so do NGBoost and Gaussian processes. All others
get a normal distribution around their prediction, with the same standard deviation in all rows: the
root mean square residual of a fifth of the training rows, by a second fit to the other four fifths
(of RealMLP and TabM the fifth that they hold out to stop by, and no second fit). Seconds are those
of the first fit.

**Errors.** Differences are paired by fold; their standard errors are widened because training parts
overlap (Nadeau and Bengio 2003, Inference for the generalization error, Machine Learning 52). Where
two models share one fold only, log loss and RMSE have the standard error over its test rows, and
other scores none. *Won* and *lost*: beyond two standard errors. Of many comparisons a few are so by
chance.

*log loss*: nats per row, probabilities are kept above 1.2e-7. *calibration error*: of the top
probability, in 15 bins. *AURC*: area under the risk-coverage curve of the top probability. *log
density*: nats per row, in the units of y. *coverage* and *interval score*: of 90 % intervals.
*seconds*: of the processor, with the preparation, the median over the folds; of ours and of
CatBoost with nothing beside them on the machine, of the others while one other program ran, which
makes them about a fifth longer. Ranks are among the models that have the table; 1 is best."""

SEARCH = """ *{searched}* is `BatchedRandomizedSearchCV` over `search_space(model)` with
{candidates} candidates and `cv=3`, by log loss or log density, and the refit of the best one, on
three folds at most, where one takes less than six minutes. It is not ranked."""


# ---- pieces --------------------------------------------------------------------------------------


class View:
    """A board, cut down to the tables and models of one task.

    Parameters
    ----------
    board : Board
    task : str
    names : sequence of str
        Tables of the task.
    """

    def __init__(self, board: Board, task: str, names: Sequence[str]) -> None:
        self.board, self.task = board, task
        self.names = [name for name in names if board.has(name, OURS)]
        self.counted = [name for name in self.names if name != NOT_COUNTED]
        self.models = [
            model for model in BY_NAME if any(board.has(name, model) for name in self.names)
        ]
        self.peers = [model for model in self.models if model != OURS]
        self.ranked = [model for model in self.models if model != SEARCHED]
        self.scores = SCORES[task]

    def shared(self, peer: str) -> list[str]:
        return [name for name in self.counted if self.board.has(name, peer)]


def won_and_lost(view: View, peer: str, score: Score) -> tuple[list[str], list[str]]:
    """Tables on which ours is better and worse, beyond two standard errors."""
    verdicts = {
        name: pair.verdict(score.loss)
        for name, pair in view.board.pairs(view.names, OURS, peer, score.name)
    }
    return tuple([n for n, verdict in verdicts.items() if verdict == sign] for sign in (1, -1))


def against_each(view: View) -> list[str]:
    """Ours through each peer: ratios, tables won and lost, seconds."""
    main, *others = view.scores
    ratios = [score for score in view.scores if score.ratio]
    rows = []
    for peer in view.peers:
        names = view.shared(peer)
        cells = [f"{view.board.ratio(names, OURS, peer, score.name):.3f}" for score in ratios]
        won, lost = won_and_lost(view, peer, main)
        time = f"{view.board.times(names, OURS, peer):.2f}"
        rows.append([peer, len(names), *cells, len(won), ", ".join(lost) or "none", time])
    header = ["ours through", "tables", *(score.name for score in ratios)]
    header += ["won", f"lost ({main.name})", "seconds to fit"]
    counts = []
    for peer in view.peers:
        pairs = (won_and_lost(view, peer, score) for score in others)
        counts.append([peer, *(f"{len(won)} / {len(lost)}" for won, lost in pairs)])
    also = ["won / lost", *(score.name for score in others)]
    return [markdown_table(header, rows), markdown_table(also, counts)]


def headline(view: View) -> str:
    """In a sentence or two: ours against CatBoost, and who ranks best."""
    main = view.scores[0]
    sentences = []
    if names := view.shared(CATBOOST):
        won, lost = won_and_lost(view, CATBOOST, main)
        ratio = view.board.ratio(names, OURS, CATBOOST, main.name)
        time = view.board.times(names, OURS, CATBOOST)
        sentences.append(
            f"{main.name} is {ratio:.3f} times {CATBOOST}'s in the geometric mean of {len(names)} "
            f"tables, better on {listed(won)} and worse on {listed(lost)}; to fit takes {time:.2f} "
            f"times its seconds."
        )
    best = []
    for score in view.scores:
        ranks = view.board.ranks(view.counted, view.ranked, score, OURS)
        means = {model: np.mean(each) for model, each in ranks.items() if each}
        first = min(means, key=means.__getitem__)
        best.append(f"{score.name} {first} {means[first]:.2f} (ours {means[OURS]:.2f})")
    return " ".join([*sentences, f"Best mean ranks: {'; '.join(best)}."])


def listed(names: Sequence[str]) -> str:
    return f"{len(names)} ({', '.join(names)})" if names else "none"


def mean_ranks(view: View) -> str:
    rows = []
    for model in view.ranked:
        rows.append([model, len([n for n in view.counted if view.board.has(n, model)])])
    for score in view.scores:
        ranks = view.board.ranks(view.counted, view.ranked, score, OURS)
        best = min(np.mean(each) for each in ranks.values() if each)
        for row, model in zip(rows, view.ranked, strict=True):
            mean = np.mean(ranks[model]) if ranks[model] else np.nan
            row.append(f"**{mean:.2f}**" if mean == best else f"{mean:.2f}")
    return markdown_table(["mean rank", "tables", *(score.name for score in view.scores)], rows)


def score_table(view: View, name: str, digits: int) -> str:
    """Means over the folds of each model; their number in brackets where ours has more."""
    rows = []
    for table in view.names:
        cells = [table, len(view.board.tables[table].X)]
        most = view.board.n_folds(table, OURS)
        for model in view.models:
            if not view.board.has(table, model):
                cells.append("")
                continue
            value, folds = view.board.mean(table, model, name), view.board.n_folds(table, model)
            shown = f"{value:.{digits}f}" if abs(value) < 1000 else f"{value:.0f}"
            cells.append(shown if folds >= most else f"{shown} ({folds})")
        rows.append(cells)
    return markdown_table(["table", "rows", *view.models], rows)


def difference_table(view: View, score: Score) -> str:
    """Ours less each peer, on the folds that both have."""
    rows = []
    for table in view.names:
        cells = [table]
        for peer in view.peers:
            pair = view.board.pair(table, OURS, peer, score.name)
            cells.append("" if pair is None else difference(pair, score))
        rows.append(cells)
    return markdown_table(["table", *view.peers], rows)


def difference(pair: Any, score: Score) -> str:
    digits = score.digits if abs(pair.first) < 1000 else 0
    error = f" ± {pair.error:.{digits}f}" if np.isfinite(pair.error) else ""
    word = {1: " won", 0: "", -1: " **lost**"}[pair.verdict(score.loss)]
    return f"{pair.difference:+.{digits}f}{error}{word}"


def seconds_table(view: View, what: str) -> str:
    rows = [
        [
            table,
            *(
                f"{view.board.seconds(table, model, what):.3g}"
                if view.board.has(table, model)
                else ""
                for model in view.models
            ),
        ]
        for table in view.names
    ]
    return markdown_table(["table", *view.models], rows)


def coverage_sentence(view: View) -> str:
    """How often each model's 90 % intervals are right, over the tables."""
    rows = []
    for model in view.models:
        shares = {
            name: view.board.mean(name, model, "coverage")
            for name in view.names
            if view.board.has(name, model)
        }
        outside = [
            f"{name} {share:.3f}" for name, share in shares.items() if not 0.87 <= share <= 0.93
        ]
        mean_off = np.mean([abs(share - 0.9) for share in shares.values()])
        rows.append([model, len(shares), f"{mean_off:.3f}", ", ".join(outside) or "none"])
    header = ["coverage of 90 % intervals", "tables", "mean distance from 0.9"]
    return markdown_table([*header, "outside 0.87 to 0.93"], rows)


# ---- sections ------------------------------------------------------------------------------------


def task_parts(view: View) -> list[str]:
    """Everything of one task."""
    title = "Classes" if view.task == "classification" else "Numbers"
    parts = [f"## {title}", f"{len(view.counted)} tables. Ours: {headline(view)}"]
    parts += ["### Ours against each peer", *against_each(view)]
    parts += ["### Mean ranks", mean_ranks(view)]
    for score in view.scores:
        parts.append(f"### {score.name[0].upper()}{score.name[1:]}")
        parts.append(score_table(view, score.name, score.digits))
        parts += ["Ours less theirs:", difference_table(view, score)]
    if view.task == "regression":
        parts += ["### Coverage of 90 % intervals", coverage_sentence(view)]
        parts.append(score_table(view, "coverage", 3))
    for heading, what in (("fit", "seconds"), ("predict", "predict")):
        parts += [f"### Seconds to {heading}", seconds_table(view, what)]
    return parts


def not_run(view: View, reason_of: Any) -> list[list[str]]:
    """Table, model and why, of what has no fit."""
    rows = []
    for model in view.models:
        for name in view.names:
            if not view.board.has(name, model):
                failed = view.board.failed.get((name, model))
                rows.append([name, model, failed or reason_of(name, model)])
    return rows


def draw(views: Sequence[View], path: Path) -> None:
    """Log loss and RMSE over seconds to fit, both through CatBoost's, one point a model."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    for ax, view in zip(figure.subplots(1, 2), views, strict=True):
        panel(ax, view)
    figure.savefig(path, dpi=110)


def points(view: View, score: str) -> Iterator[tuple[str, float, float]]:
    """Each model, its seconds and its score, through CatBoost's."""
    for model in view.models:
        names = [name for name in view.shared(model) if view.board.has(name, CATBOOST)]
        if names:
            x = view.board.times(names, model, CATBOOST)
            yield model, x, view.board.ratio(names, model, CATBOOST, score)


def panel(ax: Any, view: View) -> None:
    score, highest = view.scores[0].name, HIGHEST[view.task]
    for number, (model, x, y) in enumerate(sorted(points(view, score), key=lambda each: each[2])):
        ours, off = model in {OURS, SEARCHED}, y > highest
        place = x, min(y, highest)
        ax.plot(*place, "^" if off else "o", color="C3" if ours else "C0", ms=7)
        ax.annotate(
            f"{model} ({y:.2f})" if off else model,
            place,
            # Above and below in turns, as neighbours would hide each other's names.
            (5, -11 if number % 2 else 4),
            textcoords="offset points",
            fontsize=9,
            fontweight="bold" if ours else "normal",
        )
    ax.axhline(1, lw=0.8, color="gray")
    ax.axvline(1, lw=0.8, color="gray")
    ax.set_xscale("log")
    ax.margins(x=0.2)
    ax.set_xlabel("seconds to fit on one thread, CatBoost's = 1")
    ax.set_ylabel(f"{score}, CatBoost's = 1 (lower is better)")
    ax.set_title(
        f"{'classes' if view.task == 'classification' else 'numbers'}, {len(view.counted)} tables"
    )


def write_page(
    script: str, board: Board, tables: dict[str, list[str]], options: Namespace, reason_of: Any
) -> None:
    """The page beside the script, and its picture with the others of the documentation."""
    options.out = Path(script).with_suffix(".md")
    page = Page(script, "A board of honest predictions", options)
    views = [View(board, task, names) for task, names in tables.items()]
    has_search = any(SEARCHED in view.models for view in views)
    searched = SEARCH.format(searched=SEARCHED, candidates=CANDIDATES) if has_search else ""
    page.add(INTRO.format(official=NOT_COUNTED, searched=searched, by_log_loss=BY_LOG_LOSS))
    page.add("Peers: " + ", ".join(f"{name} {version(name)}" for name in PACKAGES) + ".")
    picture = Path(script).parents[1] / "images" / PICTURE
    draw(views, picture)
    page.add(
        f"![Two panels, classes and numbers: each model's error over its seconds to fit, both "
        f"through CatBoost's.](../images/{PICTURE})",
        "*Geometric means over the tables and folds that a model shares with CatBoost. Triangles "
        "lie higher than the picture.*",
    )
    for view in views:
        page.add(*task_parts(view))
    rows = [row for view in views for row in not_run(view, reason_of)]
    if rows:
        page.add("## What was not run", markdown_table(["table", "model", "why"], rows))
    page.write()
