"""Time per row and peak memory of fit and predict, from a thousand to a million rows.

Each figure comes from child processes. This parent imports neither torch nor scikit-learn: on
Linux the peak that a child reports starts at what its parent held.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

from _common import ONE_NETWORK, Page, make_parser, markdown_table

N_FEATURES = 20
EPOCHS = 2
WARM_UP_ROWS = 1_000
STAGES = ("fit", "predict")
BASELINES = ("data", "small")

INTRO = """`DropoutMLPClassifier` with its defaults (one hidden layer of 100, batch 200,
100 draws) on two classes and {columns} columns, one thread. *fit* is {epochs} epochs, *predict*
is `predict_proba` of all rows by a model fitted to {warm:,} of them. Every stage and size has a
process of its own; times are medians of {repeats} runs after one on {warm:,} rows to warm up.

Peak memory is the largest resident set that the process reports (`resource.getrusage`), less that
of a process that imports the package and makes the data and does nothing else. *x input* divides
it by the bytes of X. A part of it does not grow with the rows: code of torch that is loaded with
the first step, and buffers. It is measured by a process that makes the data, but fits and predicts
only {warm:,} rows; *growing* is the multiple without it. *last / previous* is the time per row of
the largest size through that of the size before it: 1 is linear."""


def child(stage: str, n_rows: int, dtype: str, repeats: int) -> None:
    """Run one stage and print its times and its peak resident set in bytes."""
    import warnings

    import numpy as np
    import torch

    from skdropout import DropoutMLPClassifier

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, N_FEATURES), dtype=np.dtype(dtype).type)
    y = X[:, 0] > 0

    def fit(rows: int) -> DropoutMLPClassifier:
        options = {"max_iter": EPOCHS, "n_iter_no_change": np.inf, "random_state": 0}
        model = DropoutMLPClassifier(**options, **ONE_NETWORK)
        return model.fit(X[:rows], y[:rows])

    seconds = []
    if stage != "data":
        model = fit(WARM_UP_ROWS)
        model.predict_proba(X[:WARM_UP_ROWS])
    for _ in range(repeats if stage in STAGES else 0):
        start = time.perf_counter()
        if stage == "fit":
            fit(n_rows)
        else:
            model.predict_proba(X)
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024
    print(json.dumps({"seconds": seconds, "peak": peak * unit, "input": X.nbytes}))


def run_child(stage: str, n_rows: int, dtype: str, repeats: int) -> dict:
    arguments = [sys.executable, __file__, "--child", stage, str(n_rows), dtype, str(repeats)]
    done = subprocess.run(arguments, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def median(values: list[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else sum(ordered[middle - 1 : middle + 1]) / 2


def measure(n_rows: int, dtype: str, repeats: int) -> dict[str, float]:
    """Seconds, and peak bytes above both baselines, of both stages at one size."""
    children = (*BASELINES, *STAGES)
    results = {stage: run_child(stage, n_rows, dtype, repeats) for stage in children}
    base, small = (results[stage] for stage in BASELINES)
    measured: dict[str, float] = {"input": base["input"]}
    for stage in STAGES:
        measured[stage] = median(results[stage]["seconds"])
        measured[f"{stage} peak"] = max(0, results[stage]["peak"] - base["peak"])
        measured[f"{stage} growing"] = max(0, results[stage]["peak"] - small["peak"])
    return measured


def table(sizes: list[int], measured: list[dict[str, float]]) -> str:
    header = ["rows", "X, MB"]
    for stage in STAGES:
        header += [f"{stage}, s", "us per row", "peak, MB", "x input", "growing"]
    rows = []
    for n_rows, values in zip(sizes, measured, strict=True):
        row = [f"{n_rows:,}", f"{values['input'] / 1e6:.2f}"]
        for stage in STAGES:
            seconds, peak = values[stage], values[f"{stage} peak"]
            row += [f"{seconds:.3f}", f"{seconds / n_rows * 1e6:.2f}"]
            growing = values[f"{stage} growing"]
            row += [f"{bytes_ / values['input']:.2f}" for bytes_ in (peak, growing)]
            row.insert(-2, f"{peak / 1e6:.0f}")
        rows.append(row)
    return markdown_table(header, rows)


def linearity(sizes: list[int], measured: list[dict[str, float]]) -> str:
    growth = sizes[-1] / sizes[-2]
    ratios = [measured[-1][stage] / measured[-2][stage] / growth for stage in STAGES]
    return (
        f"Time per row, last / previous ({sizes[-1]:,} against {sizes[-2]:,} rows): "
        f"fit {ratios[0]:.2f}, predict {ratios[1]:.2f}."
    )


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        stage, n_rows, dtype, repeats = sys.argv[2:]
        child(stage, int(n_rows), dtype, int(repeats))
        return
    parser = make_parser(__file__, __doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    sizes = [1_000, 10_000] if options.quick else [1_000, 10_000, 100_000, 300_000, 1_000_000]
    repeats = 1 if options.quick else options.repeats
    page = Page(__file__, "Growth with the number of rows", options)
    page.add(INTRO.format(columns=N_FEATURES, epochs=EPOCHS, warm=WARM_UP_ROWS, repeats=repeats))
    for dtype in ("float32", "float64"):
        measured = [measure(n_rows, dtype, repeats) for n_rows in sizes]
        page.add(f"## {dtype} input", table(sizes, measured), linearity(sizes, measured))
    page.write()


if __name__ == "__main__":
    main()
