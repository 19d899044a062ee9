"""Time of a training step with the reverse pass written out, and with autograd.

    python docs/benchmarks/reverse.py [--quick] [--rounds 30]

Synthetic rows of 30 columns; what is in them does not change the time. The two take turns, an
epoch each, and the fastest epoch of either counts, so that a busy machine slows neither.
"""

from __future__ import annotations

import warnings
from unittest.mock import patch

import numpy as np
import torch
from _common import Page, make_parser, markdown_table, parse

from skdropout import DropoutMLPClassifier
from skdropout._training.backprop import Backprop
from skdropout.families import (
    BayesByBackprop,
    Bernoulli,
    Family,
    Gaussian,
    Variational,
    VariationalGaussian,
)

NETWORKS = {"50 units, batch 32": ((50,), 32), "2x100, 200": ((100, 100), 200)}
NETWORKS |= {"2x256, 200": ((256, 256), 200)}
MEMBERS = 1, 10
FAMILIES = {
    "bernoulli": Bernoulli(),
    "gaussian": Gaussian(),
    "variational_gaussian": VariationalGaussian(),
    "variational": Variational(kl_warmup=0),
    "variational, bounded": Variational(kl_warmup=0, max_log_alpha=1.0),
    "bayes_by_backprop": BayesByBackprop(),
    "bayes_by_backprop, mixture": BayesByBackprop(prior_std2=0.05),
}


def step_microseconds(
    family: Family, hidden: tuple, batch: int, members: int, rounds: int
) -> list[float]:
    """Of the fastest epoch: written out, with autograd."""
    steps = max(3, 3200 // batch // members)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((steps * batch, 30), dtype=np.float32)
    y = rng.integers(0, 2, len(X))
    options = {"batch_size": batch, "n_members": members, "random_state": 0}
    models = [
        DropoutMLPClassifier(
            hidden, dropout=family, dropout_rate=0.2, input_dropout_rate=0.1, **options
        )
        for _ in range(2)
    ]
    seconds = np.empty((rounds + 1, 2))
    for times in seconds:
        for number, model in enumerate(models):
            quick = Backprop.supports if number == 0 else lambda stack: False
            with patch.object(Backprop, "supports", staticmethod(quick)):
                times[number] = model.partial_fit(X, y).net_.history[-1]["dur"]
    return (1e6 * seconds[1:].min(0) / steps).tolist()


def main() -> None:
    parser = make_parser(__file__, __doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    options = parse(parser)
    warnings.simplefilter("ignore")
    page = Page(__file__, "A training step, written out and with autograd", options)
    page.add(
        f"torch threads: {torch.get_num_threads()}. Microseconds of a step with the reverse pass "
        "written out, and how many times as long autograd takes; one network and a stack of ten, "
        "30 columns, two classes, batches of 32 or 200 rows."
    )
    rounds = 3 if options.quick else options.rounds
    rows = []
    for name, family in FAMILIES.items():
        row = [name]
        for hidden, batch in NETWORKS.values():
            for members in MEMBERS:
                ours, autograd = step_microseconds(family, hidden, batch, members, rounds)
                row.append(f"{ours:.0f} ({autograd / ours:.2f})")
        rows.append(row)
    titles = [f"{name}, {members}" for name in NETWORKS for members in MEMBERS]
    page.add(markdown_table(["networks", *titles], rows))
    page.write()


if __name__ == "__main__":
    main()
