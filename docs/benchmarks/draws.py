"""A hundred draws of a fitted network, against a hundred passes of it in train mode."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

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
from torch import nn

from skdropout import DropoutMLPClassifier
from skdropout._inference.draws import evaluate

N_DRAWS = 100
ESTIMATOR, ENGINE = "`predict_proba`", "draws alone"

INTRO = """{draws} functions of one fitted classifier with 20 inputs and Bernoulli dropout on the
hidden units. The rival is the same network as `torch.nn.Sequential` with `nn.Dropout` and copied
weights, in train mode under `torch.no_grad`, called {draws} times on all rows at once. Rival and
ours run in turns, {repeats} times each after one to warm up; times are medians in milliseconds, a
speed-up is the rival's time through ours in the same round: the median of the rounds, their range
in brackets.

- *`predict_proba`*: the estimator from the array to the mean probabilities, all checks included.
  The rival: passes, probabilities and their mean.
- *draws alone*: drawing {draws} plain networks and their raw outputs, without the estimator.
  The rival: passes, raw outputs in one tensor.
- *float64 / float32*: our time for float64 input through our time for float32 input. Input's
  dtype is that of the computation; the rival's times are for float32.

Two classes are one raw output; with ten the last matrix product has ten columns for each draw.
Before the clock starts, the mean probabilities of both are compared: the largest difference must
lie within sampling error."""


BUSY_ROUNDS = "One round after one to warm up: the rival takes minutes."


@dataclass(frozen=True)
class Case:
    """A network, its rows, and the speed-up to reach."""

    hidden: tuple[int, ...]
    rate: float
    n_rows: int
    n_classes: int
    target: float | None

    def __str__(self) -> str:
        return f"{self.hidden}, rate {self.rate}, {self.n_rows:,} rows, {self.n_classes} classes"


CASES = [
    Case((100,), 0.5, 1_000, 2, 100),
    Case((100,), 0.5, 1_000, 10, None),
    Case((100, 100), 0.5, 10_000, 2, 20),
    Case((256, 256, 256), 0.2, 10_000, 2, 6),
]


def fitted(case: Case) -> DropoutMLPClassifier:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2_000, 20), dtype=np.float32)
    score = X[:, 0] * X[:, 1] + X[:, 2]
    y = np.digitize(score, np.quantile(score, np.linspace(0, 1, case.n_classes + 1)[1:-1]))
    model = DropoutMLPClassifier(
        case.hidden,
        dropout_rate=case.rate,
        n_draws=N_DRAWS,
        max_iter=5,
        random_state=0,
        **ONE_NETWORK,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y)


def as_sequential(model: DropoutMLPClassifier, rate: float) -> nn.Sequential:
    """The same network the usual way, in train mode."""
    layers: list[nn.Module] = []
    linears = list(model.net_.module_.linears)
    for depth, linear in enumerate(linears):
        copy = nn.Linear(*linear.weight.shape[1:])
        with torch.no_grad():
            copy.weight.copy_(linear.weight[0].T)
            copy.bias.copy_(linear.bias[0].reshape(-1))
        layers.append(copy)
        if depth < len(linears) - 1:
            layers += [nn.ReLU(), nn.Dropout(rate)]
    return nn.Sequential(*layers).train()


def passes(network: nn.Sequential, x: torch.Tensor, n_passes: int = N_DRAWS) -> torch.Tensor:
    with torch.no_grad():
        return torch.stack([network(x) for _ in range(n_passes)])


def probabilities(raw: torch.Tensor) -> torch.Tensor:
    return raw.sigmoid() if raw.shape[-1] == 1 else raw.softmax(-1)


def draw_and_evaluate(model: DropoutMLPClassifier, x: torch.Tensor) -> list:
    with torch.inference_mode():
        return list(evaluate(model.net_.module_.draw(N_DRAWS), x))


def check_agreement(model: DropoutMLPClassifier, network: nn.Sequential, X: np.ndarray) -> None:
    """Both must estimate the same mean: five standard errors of 2,000 draws in a row."""
    n_draws, X = 2_000, X[:50]
    raw = passes(network, torch.from_numpy(X), n_draws)
    expected = probabilities(raw)[..., -1].numpy()
    model.set_params(n_draws=n_draws)
    ours = model.predict_proba(X)[:, -1]
    model.set_params(n_draws=N_DRAWS)
    error = np.abs(ours - expected.mean(0)) / (expected.std(0) * np.sqrt(2 / n_draws))
    if error.max() > 5:
        raise AssertionError(f"means differ by {error.max():.1f} standard errors")


def contestants(model: DropoutMLPClassifier, network: nn.Sequential, X: np.ndarray) -> dict:
    x, X64 = torch.from_numpy(X), X.astype(np.float64)
    x64 = torch.from_numpy(X64)
    pairs: dict[tuple[str, str], Callable[[], object]] = {
        (ESTIMATOR, "ours"): lambda: model.predict_proba(X),
        (ESTIMATOR, "ours64"): lambda: model.predict_proba(X64),
        (ESTIMATOR, "rival"): lambda: probabilities(passes(network, x)).mean(0).numpy(),
        (ENGINE, "ours"): lambda: draw_and_evaluate(model, x),
        (ENGINE, "ours64"): lambda: draw_and_evaluate(model, x64),
        (ENGINE, "rival"): lambda: passes(network, x),
    }
    return pairs


def case_rows(case: Case, repeats: int) -> list[list[str]]:
    model = fitted(case)
    network = as_sequential(model, case.rate)
    X = np.random.default_rng(1).standard_normal((case.n_rows, 20), dtype=np.float32)
    check_agreement(model, network, X)
    seconds = alternate(contestants(model, network, X), repeats)
    rows = []
    for part in (ESTIMATOR, ENGINE):
        ours, rival = seconds[part, "ours"], seconds[part, "rival"]
        speedup, low, high = median_ratio(rival, ours)
        double = median_ratio(seconds[part, "ours64"], ours)[0]
        reached = "" if case.target is None else "yes" if speedup >= case.target else "**no**"
        rows.append(
            [
                str(case),
                part,
                f"{np.median(ours) * 1e3:.1f}",
                f"{np.median(rival) * 1e3:.0f}",
                f"{speedup:.1f} ({low:.1f}-{high:.1f})",
                "" if case.target is None else f"{case.target:g}",
                reached,
                f"{double:.2f}",
            ]
        )
    return rows


def main() -> None:
    parser = make_parser(__file__, __doc__, threads=True, busy=True)
    parser.add_argument("--repeats", type=int, default=7)
    options = parse(parser)
    repeats = 2 if options.quick else options.repeats
    cases = CASES
    if options.quick:
        cases = [Case(c.hidden, c.rate, c.n_rows // 10, c.n_classes, c.target) for c in CASES]
    page = Page(__file__, "Prediction: 100 draws", options)
    page.add(INTRO.format(draws=N_DRAWS, repeats=repeats))
    header = ["network", "what", "ours, ms", "rival, ms", "speed-up", "target", "reached"]
    for n_threads in options.threads:
        with threads(n_threads):
            lines = [row for case in cases for row in case_rows(case, repeats)]
        page.add(f"## Threads: {n_threads}", markdown_table([*header, "float64 / float32"], lines))
    if options.busy:
        with threads(n_cores()), busy_core():
            lines = [row for case in cases for row in case_rows(case, 1)]
        table = markdown_table([*header, "float64 / float32"], lines)
        page.add("## A busy core", BUSY.format(cores=n_cores()), BUSY_ROUNDS, table)
    page.write()


if __name__ == "__main__":
    main()
