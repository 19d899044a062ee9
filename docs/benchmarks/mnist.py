"""MNIST, fully connected: test error, log loss, calibration and time of each noise family.

    python docs/benchmarks/mnist.py --data DIR [--method bernoulli-2x800 ...] [--device cuda]

DIR holds `mnist.npz` with `X_train`, `y_train`, `X_test`, `y_test`. The settings were chosen
beforehand; nothing is selected on the test part. Each method writes a line when it is done, and
with ``--verbose`` one per epoch. ``--rows`` and ``--epochs`` make a run that proves nothing.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from skdropout import DropoutMLPClassifier
from skdropout.families import BayesByBackprop, Concrete, Variational
from skdropout.metrics import expected_calibration_error

ADAM = {"learning_rate_init": 1e-3, "batch_size": 200, "alpha": 0.0}
# Hidden layers, family, epochs, and what else differs. Published errors stand beside them.
METHODS = {
    "none-2x800": ((800, 800), None, 100, {}),
    "bernoulli-2x800": ((800, 800), "bernoulli", 200, {"dropout_rate": 0.5}),
    "bernoulli-3x1024": ((1024,) * 3, "bernoulli", 200, {"dropout_rate": 0.5}),
    "gaussian-2x800": ((800, 800), "gaussian", 200, {"dropout_rate": 0.5}),
    "gaussian-3x1024": ((1024,) * 3, "gaussian", 200, {"dropout_rate": 0.5}),
    "concrete-2x800": ((800, 800), Concrete(), 200, {"dropout_rate": 0.1}),
    "variational-3x250": ((250,) * 3, Variational(kl_weight=0.1, noise_speed=1.0), 100, {}),
    "bayes-2x400": (
        (400, 400),
        BayesByBackprop(prior_std=1.0),
        250,
        {"learning_rate_init": 1e-4},
    ),
    "bayes-mixture-2x400": (
        (400, 400),
        BayesByBackprop(prior_std=1.0, prior_std2=0.0025, prior_mix=0.25),
        250,
        {"learning_rate_init": 1e-4},
    ),
    "sparse-300-100": ((300, 100), Variational(kl_warmup=50, noise_speed=1.0), 200, {}),
}
PUBLISHED = {
    "none-2x800": "1.84",
    "bernoulli-2x800": "1.33",
    "bernoulli-3x1024": "1.25",
    "variational-3x250": "1.28",
    "bayes-2x400": "1.36",
    "bayes-mixture-2x400": "1.36",
    "sparse-300-100": "1.92",
}
HEADER = (
    "| method | epochs | test error % | published % | log loss | ECE % | fit s | s per epoch | "
    "predict s | weights off % |"
)


def load(folder: Path, n_rows: int | None) -> tuple[np.ndarray, ...]:
    with np.load(folder / "mnist.npz", allow_pickle=False) as file:
        X_train, y_train = file["X_train"][:n_rows], file["y_train"][:n_rows]
        X_test, y_test = file["X_test"][:n_rows], file["y_test"][:n_rows]
    return tuple(
        X.reshape(len(X), -1).astype(np.float32) / 255 if X.ndim > 1 else X.astype(int)
        for X in (X_train, y_train, X_test, y_test)
    )


def make(method: str, options: argparse.Namespace) -> DropoutMLPClassifier:
    hidden, family, epochs, others = METHODS[method]
    inputs = 0.2 if method.split("-")[0] in {"bernoulli", "gaussian"} else 0.0
    inputs = 0.05 if method.startswith("concrete") else inputs
    return DropoutMLPClassifier(
        hidden,
        dropout=family,
        input_dropout_rate=inputs,
        max_iter=options.epochs or epochs,
        n_iter_no_change=np.inf,
        device=options.device,
        random_state=options.seed,
        verbose=options.verbose,
        **{**ADAM, **others},
    )


def scores(model: DropoutMLPClassifier, X: np.ndarray, y: np.ndarray) -> tuple[float, ...]:
    """Test error and calibration error in percent, and log loss."""
    proba = model.predict_proba(X)
    right = model.classes_[proba.argmax(1)] == y
    ece = expected_calibration_error(right, proba.max(1))
    return 100 * (1 - right.mean()), 100 * ece, -model.log_prob(X, y).mean()


def run(method: str, rows: tuple[np.ndarray, ...], options: argparse.Namespace) -> None:
    X_train, y_train, X_test, y_test = rows
    model = make(method, options)
    start = time.perf_counter()
    model.fit(X_train, y_train)
    fitted = time.perf_counter()
    error, ece, loss = scores(model, X_test, y_test)
    # Two calls that draw: the probabilities and the log density.
    predicted = (time.perf_counter() - fitted) / 2
    seconds = fitted - start
    print(
        f"| {method} | {model.n_iter_} | {error:.2f} | {PUBLISHED.get(method, '')} | {loss:.4f} | "
        f"{ece:.2f} | {seconds:.0f} | {seconds / model.n_iter_:.2f} | {predicted:.1f} | "
        f"{100 * model.sparsity_:.1f} |",
        flush=True,
    )
    if model.sparsity_:
        report_sparsity(model, X_test, y_test)
    if model.net_.module_.linears[0].learned_rates() is not None or method.startswith("concrete"):
        print(f"  learned rates: {np.round(model.dropout_rates_, 3).tolist()}", flush=True)
    print("  " + ", ".join(f"{k} {v[-1]:.4f}" for k, v in model.loss_terms_.items()), flush=True)


def report_sparsity(model: DropoutMLPClassifier, X: np.ndarray, y: np.ndarray) -> None:
    start = time.perf_counter()
    error, _, _ = scores(model, X, y)
    dense = time.perf_counter()
    small = model.sparsify()
    small_error, _, _ = scores(small, X, y)
    sparse = time.perf_counter()
    widths = small.net_.module_.architecture.widths
    shares = ", ".join(f"{100 * share:.1f}" for share in model.sparsity_per_layer_)
    print(
        f"  off per layer: {shares} %; {1 / (1 - model.sparsity_):.0f} times fewer weights; "
        f"sparsify() leaves {'-'.join(map(str, widths))}, predicts "
        f"{(dense - start) / (sparse - dense):.1f} times faster; error {error:.2f} and "
        f"{small_error:.2f} %",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of mnist.npz")
    parser.add_argument("--method", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rows", type=int, help="only the first rows of both parts")
    parser.add_argument("--epochs", type=int, help="instead of each method's own number")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", action="store_true", help="a line per epoch")
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    rows = load(options.data, options.rows)
    print(
        f"torch {torch.__version__}, {options.device}, {torch.get_num_threads()} threads; "
        f"{len(rows[0])} training rows, {len(rows[2])} test rows, seed {options.seed}"
    )
    print(f"\n{HEADER}\n{'|'.join(['', *['---'] * (HEADER.count('|') - 1), ''])}")
    for method in options.method:
        run(method, rows, options)


if __name__ == "__main__":
    main()
