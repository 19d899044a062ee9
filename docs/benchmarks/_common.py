"""What the benchmark scripts share: alternating timings, medians, Markdown, the machine.

torch is imported late: `growth.py` measures memory in child processes, and on Linux a child's
peak starts at what its parent held.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

# Of the estimators: one network on all rows, until the training loss gains no more. For pages that
# are about a single network.
ONE_NETWORK = {"cv": None, "early_stopping": False, "calibrate": False}
EARLIER_RUNS = "Some results are from earlier runs: the minutes above are of the last run."

PACKAGES = ("skdropout", "torch", "scikit-learn", "skorch", "numpy")


def make_parser(
    script: str,
    description: str,
    *,
    data: bool = False,
    threads: bool = False,
    busy: bool = False,
) -> argparse.ArgumentParser:
    """Options that several scripts have."""
    parser = argparse.ArgumentParser(description=description)
    page = Path(script).with_suffix(".md")
    parser.add_argument("--out", type=Path, default=page, help="page to write")
    parser.add_argument("--quick", action="store_true", help="a small run that proves nothing")
    if data:
        parser.add_argument("--data", type=Path, required=True, help="folder of the .npz tables")
    if threads:
        help_ = "thread counts to measure at (default: 1 and one per core)"
        parser.add_argument("--threads", type=int, nargs="+", help=help_)
    if busy:
        help_ = "measure too while another process keeps one core busy"
        parser.add_argument("--busy", action="store_true", help=help_)
    return parser


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the command line and fill in the thread counts."""
    options = parser.parse_args()
    if "threads" in options and options.threads is None:
        options.threads = [1] if options.quick else sorted({1, n_cores()})
    return options


# ---- timing ------------------------------------------------------------------------------


def alternate(
    contestants: dict[str, Callable[[], object]],
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, np.ndarray]:
    """Seconds of each contestant, ``(repeats,)``, measured in turns.

    With `time.process_time` as the clock they are those of the processor, which other programs
    disturb less.

    Every contestant runs once before the clock starts. Each round then runs all of them, and
    the next round begins with the next one, so that a slow minute of the machine hits all.
    """
    names = list(contestants)
    for run in contestants.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(repeats):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            start = clock()
            contestants[name]()
            seconds[name].append(clock() - start)
    return {name: np.array(values) for name, values in seconds.items()}


def median_ratio(numerator: np.ndarray, denominator: np.ndarray) -> tuple[float, float, float]:
    """Median, smallest and largest of the ratios of the rounds."""
    ratios = numerator / denominator
    return float(np.median(ratios)), float(ratios.min()), float(ratios.max())


@contextmanager
def threads(n_threads: int) -> Iterator[None]:
    """Let torch and the BLAS of NumPy and scikit-learn use so many threads."""
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        with threadpool_limits(n_threads):
            yield
    finally:
        torch.set_num_threads(before)


BUSY = """Another process keeps one of the {cores} cores busy all the while. Everyone has {cores}
threads, the default."""

# It ends by itself if this process is killed.
_BUSY_LOOP = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"


@contextmanager
def busy_core() -> Iterator[None]:
    """Keep one core busy with another process."""
    process = subprocess.Popen([sys.executable, "-c", _BUSY_LOOP])
    try:
        time.sleep(0.5)
        assert process.poll() is None, "it runs until it is stopped"
        yield
    finally:
        process.kill()
        process.wait()


def n_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# ---- pages -------------------------------------------------------------------------------


def machine() -> str:
    """The machine in public terms."""
    model = platform.processor() or platform.machine()
    gigabytes = ""
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), model)
        total = int(Path("/proc/meminfo").read_text().split("MemTotal:")[1].split()[0])
        gigabytes = f", {total / 2**20:.0f} GiB of memory"
    return f"{model}, {n_cores()} cores{gigabytes}, {platform.system()}"


def versions() -> str:
    """Python and the packages that were measured."""
    found = [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES]
    return ", ".join([f"Python {platform.python_version()}", *found])


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table; the first column is aligned left, the others right."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def given_options() -> str:
    """The command line's options, without the paths of this machine."""
    words, options = iter(sys.argv[1:]), ""
    for word in words:
        if word in {"--out", "--results"}:
            next(words, None)
        elif word == "--data":
            next(words, None)
            options += " --data DIR"
        else:
            options += f" {word}"
    return options


class Page:
    """A page of results under construction. The clock and the load are read when it begins.

    Parameters
    ----------
    script : str
        `__file__` of the script.
    title : str
    options : argparse.Namespace
        As from `make_parser`.
    """

    def __init__(self, script: str, title: str, options: argparse.Namespace) -> None:
        self.script, self.title, self.options = Path(script).name, title, options
        self.start = time.perf_counter()
        self.load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
        self.parts: list[str] = []

    def add(self, *parts: str) -> None:
        self.parts.extend(parts)

    def write(self) -> None:
        """Write the page to ``--out`` and print it."""
        minutes = (time.perf_counter() - self.start) / 60
        made = "\n".join(
            [
                f"- Made by `python docs/benchmarks/{self.script}{given_options()}` on "
                f"{datetime.date.today():%Y-%m-%d} in {minutes:.1f} minutes.",
                f"- Machine: {machine()}; load average {self.load:.1f} at the start.",
                f"- {versions()}.",
            ]
        )
        quick = ["**A quick run: the figures mean nothing.**"] if self.options.quick else []
        text = "\n\n".join([f"# {self.title}", *quick, made, *self.parts]) + "\n"
        self.options.out.write_text(text)
        print(text)
