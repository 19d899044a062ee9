"""Seconds per epoch of training with dropout, against three other ways to train."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

import numpy as np
import torch
from _common import (
    BUSY,
    ONE_NETWORK,
    Page,
    alternate,
    busy_core,
    make_parser,
    markdown_table,
    median_ratio,
    n_cores,
    parse,
    threads,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from skorch import NeuralNetClassifier
from torch import nn

from skdropout import DropoutMLPClassifier

RATE = 0.1
CASES = [((100,), 32), ((100,), 200), ((256, 256), 32), ((256, 256), 200)]
OURS = "skdropout"
# What to reach: at most so many times the other's time. None: shown for information.
TARGETS = {
    "MLPClassifier, no dropout": 1.0,
    "plain PyTorch loop": 0.75,
    "plain loop, fused Adam": None,
    "stock skorch": 0.3,
}
# Against whom on a busy machine, where the others take minutes.
BUSY_RIVALS = ("MLPClassifier, no dropout",)

INTRO = """{rows:,} x 20 rows, float32, two classes, Adam; {epochs} epochs a fit, {repeats} fits
each in turns after one to warm up. Times are medians in milliseconds per epoch, setting up
included. A ratio is our time through the other's in the same round: the median of the rounds,
their range in brackets. Below 1 we are faster. Dropout at rate {rate} on the hidden units
everywhere but in `MLPClassifier`, which has none.

The plain loop holds the tensors in memory, shuffles with `torch.randperm`, uses `nn.Dropout` and
`torch.optim.Adam` as it comes; a second one asks for `fused=True`. Stock skorch is
`NeuralNetClassifier` with its default callbacks and `DataLoader`, `verbose=0`,
`train_split=None`. `MLPClassifier` adds its L2 penalty, and so do we; the others have none."""


def make_rows(n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, 20), dtype=np.float32)
    score = X[:, 0] * X[:, 1] + np.sin(2 * X[:, 2]) + rng.standard_normal(n_rows)
    return X, (score > 0).astype(np.int64)


def make_network(n_in: int, hidden: tuple[int, ...], n_out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(n_in, width), nn.ReLU(), nn.Dropout(RATE)]
        n_in = width
    return nn.Sequential(*layers, nn.Linear(n_in, n_out))


def fit_estimator(
    estimator: type, X: np.ndarray, y: np.ndarray, hidden: tuple[int, ...], batch: int, epochs: int
) -> None:
    """Fit `MLPClassifier` or ours, for exactly `epochs` epochs."""
    model = estimator(
        hidden_layer_sizes=hidden,
        batch_size=batch,
        max_iter=epochs,
        n_iter_no_change=np.inf,
        random_state=0,
        **(ONE_NETWORK if estimator is DropoutMLPClassifier else {}),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    assert model.n_iter_ == epochs


def fit_plain_loop(
    X: np.ndarray, y: np.ndarray, hidden: tuple[int, ...], batch: int, epochs: int, fused: bool
) -> None:
    torch.manual_seed(0)
    inputs, target = torch.from_numpy(X), torch.from_numpy(y).float()
    network = make_network(X.shape[1], hidden, 1).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=fused)
    loss_function = nn.BCEWithLogitsLoss()
    for _ in range(epochs):
        for index in torch.randperm(len(inputs)).split(batch):
            optimizer.zero_grad()
            loss = loss_function(network(inputs[index]).squeeze(1), target[index])
            loss.backward()
            optimizer.step()


def fit_stock_skorch(
    X: np.ndarray, y: np.ndarray, hidden: tuple[int, ...], batch: int, epochs: int
) -> None:
    torch.manual_seed(0)
    net = NeuralNetClassifier(
        make_network(X.shape[1], hidden, 2),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=1e-3,
        batch_size=batch,
        max_epochs=epochs,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )
    net.fit(X, y)


def contestants(
    X: np.ndarray, y: np.ndarray, hidden: tuple[int, ...], batch: int, epochs: int
) -> dict[str, Callable[[], None]]:
    ours = functools.partial(DropoutMLPClassifier, dropout_rate=RATE)
    common = (X, y, hidden, batch, epochs)
    baseline, plain, fused, skorch = TARGETS
    return {
        OURS: functools.partial(fit_estimator, ours, *common),
        baseline: functools.partial(fit_estimator, MLPClassifier, *common),
        plain: functools.partial(fit_plain_loop, *common, fused=False),
        fused: functools.partial(fit_plain_loop, *common, fused=True),
        skorch: functools.partial(fit_stock_skorch, *common),
    }


def case_rows(
    hidden: tuple[int, ...], batch: int, seconds: dict[str, np.ndarray], epochs: int
) -> list[list[str]]:
    """Lines of the table for one network and batch size."""
    label = f"{hidden}, batch {batch}"
    rows = [[label, OURS, f"{np.median(seconds[OURS]) / epochs * 1e3:.1f}", "", "", ""]]
    for name, target in TARGETS.items():
        if name not in seconds:
            continue
        ratio, low, high = median_ratio(seconds[OURS], seconds[name])
        reached = "" if target is None else "yes" if ratio <= target else "**no**"
        rows.append(
            [
                label,
                name,
                f"{np.median(seconds[name]) / epochs * 1e3:.1f}",
                f"{ratio:.2f} ({low:.2f}-{high:.2f})",
                "" if target is None else f"{target:.2f}",
                reached,
            ]
        )
    return rows


def main() -> None:
    parser = make_parser(__file__, __doc__, threads=True, busy=True)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--epochs", type=int, default=10)
    options = parse(parser)
    n_rows, epochs, repeats = 10_000, options.epochs, options.repeats
    if options.quick:
        n_rows, epochs, repeats = 1_000, 2, 2
    page = Page(__file__, "Training: seconds per epoch", options)
    page.add(INTRO.format(rows=n_rows, epochs=epochs, repeats=repeats, rate=RATE))
    X, y = make_rows(n_rows)
    header = ["network", "trained by", "ms per epoch", "ours / this", "target", "reached"]
    for n_threads in options.threads:
        lines: list[list[str]] = []
        with threads(n_threads):
            for hidden, batch in CASES:
                seconds = alternate(contestants(X, y, hidden, batch, epochs), repeats)
                lines += case_rows(hidden, batch, seconds, epochs)
        page.add(f"## Threads: {n_threads}", markdown_table(header, lines))
    if options.busy:
        lines = []
        with threads(n_cores()), busy_core():
            for hidden, batch in CASES:
                both = contestants(X, y, hidden, batch, epochs)
                both = {name: both[name] for name in (OURS, *BUSY_RIVALS)}
                lines += case_rows(hidden, batch, alternate(both, repeats), epochs)
        page.add("## A busy core", BUSY.format(cores=n_cores()), markdown_table(header, lines))
    page.write()


if __name__ == "__main__":
    main()
