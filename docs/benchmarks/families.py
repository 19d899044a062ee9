"""Time of a training epoch with each noise family, against the same network with Bernoulli.

    python docs/benchmarks/families.py [--quick] [--rounds 15] [--device cuda]

Synthetic rows; what is in them does not change the time. Rounds of all families alternate, and
the median of each family's ratio to the Bernoulli epoch of its own round is reported, so that a
machine that is busy for a while slows both sides.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from _common import Page, make_parser, markdown_table, median_ratio, parse

from skdropout import DropoutMLPClassifier
from skdropout.families import BayesByBackprop

NETWORKS = {
    "100 inputs, 100 units, batch 200": (10_000, 100, (100,), 200),
    "784 inputs, 2x400 units, batch 200": (6_000, 784, (400, 400), 200),
}
FAMILIES = {
    "none": None,
    "bernoulli": "bernoulli",
    "gaussian": "gaussian",
    "concrete": "concrete",
    "variational_gaussian": "variational_gaussian",
    "variational": "variational",
    "bayes_by_backprop": "bayes_by_backprop",
    "bayes_by_backprop, mixture": BayesByBackprop(prior_std2=0.05),
}


def epoch_seconds(model: DropoutMLPClassifier, X: np.ndarray, y: np.ndarray) -> float:
    """Seconds of one more epoch, without what a call costs whatever its epochs."""
    model.partial_fit(X, y)
    return model.net_.history[-1]["dur"]


def measure(network: tuple, rounds: int, device: str) -> dict[str, list[float]]:
    n_rows, n_features, hidden, batch = network
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, n_features), dtype=np.float32)
    y = rng.integers(0, 10, n_rows)
    models = {
        name: DropoutMLPClassifier(
            hidden,
            dropout=family,
            dropout_rate=0.2,
            batch_size=batch,
            device=device,
            random_state=0,
        ).partial_fit(X, y)
        for name, family in FAMILIES.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(rounds):
        for name, model in models.items():
            seconds[name].append(epoch_seconds(model, X, y))
    return seconds


def main() -> None:
    parser = make_parser(__file__, __doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=15)
    options = parse(parser)
    warnings.simplefilter("ignore")
    page = Page(__file__, "A training epoch of each noise family", options)
    page.add(
        f"Device: {options.device}, torch threads: {torch.get_num_threads()}, rounds: "
        f"{3 if options.quick else options.rounds}. Ratios are medians "
        "over rounds of the ratio to the Bernoulli epoch of the same round. The last three make "
        "twice the matrix products of the others. With a load average "
        "above one at the start, only the ratios mean something."
    )
    for title, network in NETWORKS.items():
        seconds = measure(network, 3 if options.quick else options.rounds, options.device)
        rows = [
            (name, f"{1e3 * np.median(times):.1f}", f"{ratio(times, seconds['bernoulli']):.2f}")
            for name, times in seconds.items()
        ]
        page.add(markdown_table([title, "ms per epoch", "ratio to Bernoulli"], rows))
    page.write()


def ratio(times: list[float], reference: list[float]) -> float:
    return median_ratio(np.array(times), np.array(reference))[0]


if __name__ == "__main__":
    main()
