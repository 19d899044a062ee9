"""Rates that concrete dropout learns, over growing parts of one table."""

from __future__ import annotations

import warnings

import numpy as np
from _common import ONE_NETWORK, Page, make_parser, markdown_table, threads
from _data import load_table
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from skdropout import DropoutMLPClassifier
from skdropout.families import Concrete

TABLE = "magic-gamma"
SIZES = (250, 1_000, 4_000, 16_000)
SEEDS = (0, 1, 2)
BATCH, STEPS, START = 50, 8_000, 0.1

INTRO = """With more rows a network needs less noise, so learned rates should fall (Gal, Hron and
Kendall 2017). Here are those of {table}: the first fold is the test part, the rows before each
number in one random order train, so that each part holds the smaller ones. Two hidden layers of
100 units, `Concrete(noise_speed=10)`, `alpha=0`, all rates start at {start}; {steps:,} Adam steps
on batches of {batch} rows whatever the number of rows, so that rates have moved equally often.
Inputs are standardised on the rows that train. Means over the seeds {seeds}, in brackets the
smallest and the largest."""


def learned(X: np.ndarray, y: np.ndarray, seed: int, steps: int) -> DropoutMLPClassifier:
    model = DropoutMLPClassifier(
        (100, 100),
        dropout=Concrete(noise_speed=10.0),
        dropout_rate=START,
        input_dropout_rate=START,
        alpha=0.0,
        batch_size=BATCH,
        max_iter=max(1, steps * BATCH // len(X)),
        n_iter_no_change=np.inf,
        random_state=seed,
        **ONE_NETWORK,
    )
    with warnings.catch_warnings():
        # Without stopping it never converges, and a rate near zero is what is asked for here.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", message=".*a learned dropout rate collapsed")
        return model.fit(X, y)


def with_range(values: list[float]) -> str:
    return f"{np.mean(values):.4f} ({min(values):.4f}-{max(values):.4f})"


def main() -> None:
    options = make_parser(__file__, __doc__, data=True).parse_args()
    sizes, seeds, steps = (100, 200) if options.quick else SIZES, SEEDS, STEPS
    if options.quick:
        seeds, steps = (0,), 20
    page = Page(__file__, "Concrete dropout: learned rates and the number of rows", options)
    table = load_table(options.data, TABLE)
    train, test = table.splits[0]
    train = np.random.default_rng(0).permutation(train)
    lines = []
    with threads(1):
        for size in sizes:
            X, y = table.X[train[:size]], table.y[train[:size]]
            scaler = StandardScaler().fit(X)
            models = [learned(scaler.transform(X), y, seed, steps) for seed in seeds]
            rates = np.transpose([model.dropout_rates_ for model in models])
            losses = [
                log_loss(table.y[test], model.predict_proba(scaler.transform(table.X[test])))
                for model in models
            ]
            lines.append([f"{size:,}", *map(with_range, rates.tolist()), f"{np.mean(losses):.4f}"])
    header = ["rows", "inputs", "first hidden layer", "second hidden layer", "test log loss"]
    intro = INTRO.format(table=TABLE, start=START, steps=steps, batch=BATCH, seeds=seeds)
    page.add(intro, markdown_table(header, lines))
    page.write()


if __name__ == "__main__":
    main()
