"""Time of a training epoch with each noise family, against the same network with Bernoulli.

    python docs/benchmarks/families.py [--quick] [--device cuda]

Synthetic rows; what is in them does not change the time. Rounds of all families alternate, and
the median of each family's ratio to the Bernoulli epoch of its own round is reported, so that a
machine that is busy for a while slows both sides.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import torch

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
    "variational": "variational",
    "bayes_by_backprop": "bayes_by_backprop",
    "bayes_by_backprop, mixture": BayesByBackprop(prior_std2=0.05),
}


def epoch_seconds(model: DropoutMLPClassifier, X: np.ndarray, y: np.ndarray) -> float:
    start = time.perf_counter()
    model.partial_fit(X, y)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="3 rounds instead of 15")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {arguments.device}")
    for title, network in NETWORKS.items():
        seconds = measure(network, 3 if arguments.quick else 15, arguments.device)
        print(f"\n| {title} | ms per epoch (median) | ratio to Bernoulli |\n|---|---|---|")
        for name, values in seconds.items():
            ratio = np.median(np.divide(values, seconds["bernoulli"]))
            print(f"| {name} | {1e3 * np.median(values):.1f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
