"""Training and prediction on a GPU against the CPU of the same machine, over growing stacks."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from _common import ONE_NETWORK, Page, alternate, make_parser, markdown_table, median_ratio

from skdropout import DropoutMLPClassifier

N_CLASSES = 10
N_DRAWS = 100
DEVICES = ("cpu", "cuda")

INTRO = """`DropoutMLPClassifier` with ten classes. The GPU is a {gpu}; the CPU has torch's own
number of threads ({threads}). Times are medians of {repeats} rounds in which the two take turns;
*CPU / GPU* is the median of the rounds' ratios, with the range in brackets: above 1 the GPU is
faster.

*Multiply-adds* are those of the forward pass of one batch through the whole stack, which is what
`device="auto"` decides by. An epoch is {steps} steps; its time is that of a fit of three epochs
less that of one, through two. *predict* is `predict_proba` of {rows:,} rows: {draws} draws, and
moments."""


class Size(NamedTuple):
    """One row of the page."""

    n_features: int
    hidden: tuple[int, ...]
    batch: int
    n_members: int

    @property
    def multiply_adds(self) -> int:
        widths = (self.n_features, *self.hidden, N_CLASSES)
        weights = sum(a * b for a, b in itertools.pairwise(widths))
        return weights * self.batch * self.n_members

    @property
    def title(self) -> str:
        hidden = " x ".join(map(str, self.hidden))
        return f"{self.n_features}-{hidden}, batch {self.batch}, {self.n_members} members"


SIZES = [
    Size(30, (100,), 200, 1),
    Size(30, (100, 100), 200, 1),
    Size(30, (100,), 200, 5),
    Size(30, (256, 256), 200, 1),
    Size(30, (100,), 200, 50),
    Size(30, (256, 256), 200, 5),
    Size(784, (400, 400), 200, 1),
    Size(784, (400, 400), 200, 5),
    Size(784, (1024, 1024, 1024), 200, 1),
    Size(784, (1024, 1024, 1024), 1000, 1),
]


def measure(size: Size, n_steps: int, n_rows: int, repeats: int) -> list[str]:
    """The figures of one row: epochs, draws and moments, on both devices."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((size.batch * n_steps, size.n_features), dtype=np.float32)
    y = np.arange(len(X)) % N_CLASSES
    new = rng.standard_normal((n_rows, size.n_features), dtype=np.float32)

    def model(device: str, epochs: int) -> DropoutMLPClassifier:
        return DropoutMLPClassifier(
            size.hidden,
            batch_size=size.batch,
            n_members=size.n_members,
            n_draws=N_DRAWS,
            max_iter=epochs,
            n_iter_no_change=epochs,
            device=device,
            random_state=0,
            **ONE_NETWORK,
        )

    def fitting(device: str, epochs: int) -> Callable[[], object]:
        return lambda: model(device, epochs).fit(X, y)

    fits = alternate({f"{d} {e}": fitting(d, e) for d in DEVICES for e in (1, 3)}, repeats)
    epochs = {d: (fits[f"{d} 3"] - fits[f"{d} 1"]) / 2 for d in DEVICES}
    cells = [size.title, f"{size.multiply_adds:.1e}", *_cells(epochs)]
    fitted = {d: model(d, 1).fit(X, y) for d in DEVICES}
    for inference in ("draws", "moments"):
        for each in fitted.values():
            each.set_params(inference=inference)
        runs = {d: lambda each=each: each.predict_proba(new) for d, each in fitted.items()}
        cells += _cells(alternate(runs, repeats))
    return cells


def _cells(seconds: dict[str, np.ndarray]) -> list[str]:
    ratio, low, high = median_ratio(*(seconds[device] for device in DEVICES))
    times = [f"{np.median(seconds[device]) * 1e3:.1f}" for device in DEVICES]
    return [*times, f"{ratio:.2f} ({low:.2f}-{high:.2f})"]


def main() -> None:
    parser = make_parser(__file__, __doc__)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("this benchmark needs a GPU that torch finds")
    warnings.simplefilter("ignore")
    repeats = 2 if options.quick else options.repeats
    n_steps, n_rows = (5, 200) if options.quick else (20, 2000)
    page = Page(__file__, "A GPU against a CPU", options)
    page.add(
        INTRO.format(
            gpu=torch.cuda.get_device_name(),
            threads=torch.get_num_threads(),
            repeats=repeats,
            steps=n_steps,
            rows=n_rows,
            draws=N_DRAWS,
        )
    )
    header = ["network", "multiply-adds"]
    for what in ("epoch", "draws", "moments"):
        header += [f"{what}: CPU, ms", "GPU, ms", "CPU / GPU"]
    sizes = SIZES[:2] if options.quick else SIZES
    page.add(markdown_table(header, [measure(size, n_steps, n_rows, repeats) for size in sizes]))
    page.write()


if __name__ == "__main__":
    main()
