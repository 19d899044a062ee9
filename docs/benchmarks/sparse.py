"""Sparse text and encoded tables: memory, seconds and scores.

Memory is measured in child processes. This parent imports neither torch nor scikit-learn before
they have run: on Linux the peak that a child reports starts at what its parent held.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from _common import Page, make_parser, markdown_table
from _results import Results

ENCODINGS = (None, "scale", "piecewise")
PREDICTED = {None: "1", "scale": "1.0", "piecewise": "1.7, with 256 units 2.2"}

INTRO = """One thread; `cv=None` trains one network. Peaks are the largest resident set of a process
of its own (`VmHWM`), less what it held when its data were there."""

WIDE = """## A million columns

{rows:,} rows, {columns:,} columns, {entries} entries a row, two classes;
`DropoutMLPClassifier(cv=None)` with 100 units otherwise at its defaults, {epochs} epochs, then
`predict_proba` of all rows with 100 draws. The matrix has {matrix:.0f} MB, the weights of the
first map {weights:.0f} MB; Adam has twice that, and early stopping keeps the best weights
besides. Predicted: 1.3 to 1.4 GB without early stopping, 5 seconds an epoch. The
default, five networks with early stopping, needs five times as much."""

TEXT = """## Short texts

{rows:,} texts of {words:.0f} words on average, made from a mixture of {topics} topics whose
words are as frequent as Zipf says, in {classes} classes; `TfidfVectorizer` finds {columns:,}
words. A quarter is held out. Networks: 100 units, at most {epochs} epochs for everybody. *ours,
default* has five networks, one for each fold. Seconds are of the processor and without
`TfidfVectorizer`. Predicted: an epoch takes a quarter of `MLPClassifier`'s."""

ENCODED = """## Epochs over an encoded table

Seconds of the processor for an epoch over 20 numeric columns, {repeats} in turns, and the
median of the ratios to plain columns. Predicted for "scale" {scale}, for "piecewise"
{piecewise}. *memory* is the peak of `fit` with one epoch and 100 units.

"piecewise" makes 360 columns of 20, of which 60 have an entry. Where its time goes, of a step
with 100 units and 200 rows: the two products with the first map take 0.2 ms instead of 0.02,
Adam of 36,000 weights instead of 2,000 some 0.02 ms more, and rows become dense in 0.04 ms
(0.18 before rows of nearly equal length were filled up). The whole step on plain columns takes
0.2 ms, so 1.5 is out of reach this way. Products of single entries would take as long: torch's
`embedding_bag` 0.1 ms for both, sorting the entries by columns for the gradient 0.1 ms more."""


def _status(key: str) -> int:
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def matrix(n_rows: int, n_columns: int, entries: int):
    """A random matrix, and classes that follow from it."""
    import numpy as np
    from scipy import sparse

    rng = np.random.default_rng(0)
    columns = rng.integers(0, n_columns, n_rows * entries, dtype=np.int32)
    starts = np.arange(0, n_rows * entries + 1, entries)
    X = sparse.csr_matrix((np.ones(len(columns)), columns, starts), shape=(n_rows, n_columns))
    X.sum_duplicates()
    total = X @ rng.standard_normal(n_columns)
    return X, (total > np.median(total)).astype(int)


def child(what: str, arguments: dict) -> None:
    """Fit, and perhaps predict, once. Prints seconds and peaks."""
    import warnings

    import numpy as np
    import torch

    from skdropout import DropoutMLPClassifier

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    epochs = arguments.pop("epochs")
    if what == "wide":
        X, y = matrix(*arguments.pop("shape"))
    else:
        X = np.random.default_rng(0).standard_normal((arguments.pop("rows"), 20))
        y = (X[:, 0] > 0).astype(int)
    # What is loaded with the first step is not the data's.
    options = {"cv": None, "random_state": 0} | arguments
    DropoutMLPClassifier(max_iter=1, **options).fit(X[:500, :20], y[:500])
    before = _status("VmRSS")
    start = time.process_time()
    model = DropoutMLPClassifier(max_iter=epochs, tol=0, n_iter_no_change=np.inf, **options)
    model.fit(X, y)
    done = {"fit": (time.process_time() - start) / epochs, "fit_peak": _status("VmHWM") - before}
    if what == "wide":
        start = time.process_time()
        model.predict_proba(X)
        done |= {"predict": time.process_time() - start}
    done |= {"peak": _status("VmHWM") - before}
    print(json.dumps(done))


def run_child(results: Results, what: str, **arguments: object) -> dict:
    command = [sys.executable, __file__, "--child", what, json.dumps(arguments)]

    def run() -> dict:
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return json.loads(done.stdout.splitlines()[-1])

    return results.get(" ".join(command[3:]), run)


def wide(quick: bool, results: Results) -> list[str]:
    shape = (1_000, 50_000, 50) if quick else (20_000, 1_000_000, 100)
    epochs = 2 if quick else 3
    lines = []
    for early_stopping in (False, True):
        stopping = {"early_stopping": early_stopping}
        done = run_child(results, "wide", shape=shape, epochs=epochs, **stopping)
        gigabytes = (f"{done[key] / 1e9:.2f}" for key in ("fit_peak", "peak"))
        lines.append([early_stopping, f"{done['fit']:.1f}", f"{done['predict']:.1f}", *gigabytes])
    header = ["`early_stopping`", "s per epoch", "s to predict", "GB to fit", "GB with prediction"]
    text = WIDE.format(
        rows=shape[0],
        columns=shape[1],
        entries=shape[2],
        epochs=epochs,
        matrix=12 * shape[0] * shape[2] / 1e6,
        weights=400 * shape[1] / 1e6,
    )
    return [text, markdown_table(header, lines)]


def texts(n_texts: int, n_topics: int = 40, n_classes: int = 5, n_words: int = 20_000):
    """Texts and their classes: the topics of a text depend on its class."""
    import numpy as np

    rng = np.random.default_rng(0)
    zipf = 1 / np.arange(1, n_words + 1)
    words = np.array([f"word{k}" for k in range(n_words)])
    shares = []
    for _ in range(n_topics):
        # A topic has its own frequent words, and all common ones.
        own = zipf * rng.gamma(0.3, size=n_words)
        shares.append(own.cumsum() / own.sum())
    topics = rng.dirichlet(np.full(n_topics, 0.2), n_classes)
    y = rng.integers(0, n_classes, n_texts)
    made = []
    for label in y:
        mixture = rng.dirichlet(8 * topics[label] + 0.02)
        chosen = rng.choice(n_topics, rng.poisson(25) + 3, p=mixture)
        numbers = [np.searchsorted(shares[topic], rng.random()) for topic in chosen]
        made.append(" ".join(words[np.minimum(numbers, n_words - 1)]))
    return np.array(made), y


def text(quick: bool, results: Results) -> list[str]:
    import warnings

    import numpy as np
    from _common import threads
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score, log_loss
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import Pipeline, make_pipeline

    from skdropout import DropoutMLPClassifier

    warnings.simplefilter("ignore")
    documents, y = texts(500 if quick else 20_000)
    train, test, y_train, y_test = train_test_split(documents, y, random_state=0, stratify=y)
    epochs = 2 if quick else 10
    options = {"early_stopping": True, "max_iter": epochs, "random_state": 0}
    models = {
        "ours, `cv=None`": DropoutMLPClassifier(cv=None, **options),
        "ours, default": DropoutMLPClassifier(**options),
        "`MLPClassifier`": MLPClassifier(**options),
        "`LogisticRegression`": LogisticRegression(max_iter=1000),
    }
    lines = []
    # What is loaded with the first step is nobody's.
    DropoutMLPClassifier(max_iter=1).fit(np.eye(40), np.arange(40) % 2)
    for name, model in models.items():
        pipe = make_pipeline(TfidfVectorizer(), model)
        encoded = pipe[:-1].fit_transform(train)

        def measure(pipe: Pipeline = pipe, encoded: object = encoded) -> dict:
            with threads(1):
                start = time.process_time()
                pipe[-1].fit(encoded, y_train)
                fit = time.process_time() - start
                start = time.process_time()
                proba = pipe.predict_proba(test)
                predict = time.process_time() - start
            n_epochs = int(np.max(pipe[-1].n_iter_)) if hasattr(pipe[-1], "loss_") else 0
            scores = log_loss(y_test, proba), accuracy_score(y_test, proba.argmax(1))
            return {"scores": scores, "fit": fit, "predict": predict, "epochs": n_epochs}

        done = results.get(name, measure)
        line = [name, *(f"{score:.4f}" for score in done["scores"]), f"{done['fit']:.1f}"]
        n_epochs = done["epochs"]
        line += [n_epochs, f"{done['fit'] / n_epochs:.2f}"] if n_epochs else ["", ""]
        lines.append([*line, f"{done['predict']:.2f}"])
    header = ["", "log loss", "accuracy", "s to fit", "epochs", "s per epoch", "s to predict"]
    intro = TEXT.format(
        rows=len(documents),
        words=np.mean([document.count(" ") + 1 for document in documents]),
        topics=40,
        classes=len(set(y)),
        columns=encoded.shape[1],
        epochs=epochs,
    )
    return [intro, markdown_table(header, lines)]


def epoch_seconds(n_rows: int, units: int, repeats: int) -> dict:
    """Seconds of an epoch, by encoding, in turns."""
    import numpy as np
    from _common import alternate, threads

    from skdropout import DropoutMLPClassifier

    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, 20))
    y = (X[:, 0] * X[:, 1] + np.abs(X[:, 2]) > 0.8).astype(int)

    def epoch(encoding: str | None):
        # An estimator trains for one more epoch with each call, on rows that are encoded again.
        model = DropoutMLPClassifier(
            (units,), input_encoding=encoding, cv=None, early_stopping=False, random_state=0
        )
        from skdropout._estimators.described import describe
        from skdropout._estimators.fitting import prepare
        from skdropout._training.jobs import train_net

        job = prepare(model, describe(model, X, y)).job
        net = job.net()
        return lambda: train_net(net, job.rows, 1)

    with threads(1):
        contestants = {str(encoding): epoch(encoding) for encoding in ENCODINGS}
        return alternate(contestants, repeats, time.process_time)


def encoded(quick: bool, results: Results, memory: dict) -> list[str]:
    import numpy as np

    lines = []
    for n_rows, repeats in ((2_000, 2),) if quick else ((10_000, 15), (1_000_000, 3)):
        for units in (100, 256):

            def measure(n_rows: int = n_rows, units: int = units, repeats: int = repeats) -> dict:
                seconds = epoch_seconds(n_rows, units, repeats)
                return {name: values.tolist() for name, values in seconds.items()}

            seconds = results.get(f"epochs {n_rows} {units}", measure)
            for encoding in ENCODINGS:
                own = np.array(seconds[str(encoding)])
                ratio = np.median(own / np.array(seconds["None"]))
                peak = memory.get((n_rows, encoding), "") if units == 100 else ""
                line = [f"{n_rows:,}", units, encoding or "plain", f"{np.median(own):.3f}"]
                lines.append([*line, f"{ratio:.2f}", peak])
    header = ["rows", "units", "encoding", "s per epoch", "ratio", "memory, MB"]
    intro = ENCODED.format(
        repeats="2" if quick else "15 (of 10^6 rows 3)",
        scale=PREDICTED["scale"],
        piecewise=PREDICTED["piecewise"],
    )
    return [intro, markdown_table(header, lines)]


def main() -> None:
    if "--child" in sys.argv:
        child(sys.argv[2], json.loads(sys.argv[3]))
        return
    parser = make_parser(__file__, __doc__)
    parser.add_argument("--results", type=Path, help="file that keeps results between runs")
    options = parser.parse_args()
    results = Results(options.results)
    page = Page(__file__, "Sparse matrices and encoded tables", options)
    page.add(INTRO, *wide(options.quick, results))
    memory = {}
    for n_rows in (2_000,) if options.quick else (10_000, 1_000_000):
        for encoding in ENCODINGS:
            arguments = {"rows": n_rows, "input_encoding": encoding, "early_stopping": False}
            done = run_child(results, "table", epochs=1, **arguments)
            memory[n_rows, encoding] = f"{done['fit_peak'] / 1e6:.0f}"
    page.add(*text(options.quick, results), *encoded(options.quick, results, memory))
    page.write()


if __name__ == "__main__":
    main()
