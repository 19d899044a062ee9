"""Jobs into stacks of bounded size, and their training by joblib."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import Any

from joblib import effective_n_jobs
from sklearn.utils.parallel import Parallel, delayed

from ..stacking import Job, TrainedStack, positions_by_stack
from ._progress import Progress

# What a stack may move in one step: weights with their gradients and moments, activations and
# noise. Measured: from about 6 MB on a member of a larger stack costs no less time.
_STACK_BYTES = 2**24


def member_bytes(job: Job) -> int:
    """Bytes that a step of one member moves."""
    widths = job.architecture.widths
    n_weights = sum((a + 1) * b for a, b in itertools.pairwise(widths))
    return 4 * (5 * n_weights + 4 * job.plan.batch_size * sum(widths))


def cut(jobs: Sequence[Job], n_jobs: int) -> list[list[int]]:
    """Positions of the jobs of each stack.

    Parameters
    ----------
    jobs : sequence of Job
    n_jobs : int
        Processes: each gets a part of what could be one stack.
    """
    groups, stacks = positions_by_stack(jobs), []
    for positions in groups:
        first = jobs[positions[0]]
        n_members = sum(len(jobs[position].members) for position in positions)
        fewest = -(-n_members * member_bytes(first) // _STACK_BYTES)
        n_stacks = min(len(positions), max(fewest, -(-n_jobs // len(groups))))
        size = -(-len(positions) // n_stacks)
        stacks += [positions[k : k + size] for k in range(0, len(positions), size)]
    return stacks


class Timed:
    """A trained stack and the share of its seconds that each job has."""

    def __init__(self, jobs: list[Job], progress: Progress | None) -> None:
        start = time.perf_counter()
        self.stack = TrainedStack(jobs, [("progress", progress)] if progress else [])
        seconds = time.perf_counter() - start
        epochs = self.stack.net.n_epochs_
        each = [int(epochs[members].sum()) for members in self.stack.slices]
        self.seconds = [seconds * n / max(1, sum(each)) for n in each]


def train_all(
    jobs: Sequence[Job], n_jobs: int | None, pre_dispatch: Any, verbose: int
) -> list[tuple[TrainedStack, int, float]]:
    """Train jobs as stacks: for each job its stack, its number there, and its seconds."""
    n_processes = effective_n_jobs(n_jobs)
    stacks = cut(jobs, n_processes)
    bars: list[Progress | None] = [None] * len(stacks)
    if verbose:
        sizes = [len(positions) for positions in stacks]
        bars = [Progress(k, sizes, n_processes > 1) for k in range(len(stacks))]
    parts = [[jobs[position] for position in positions] for positions in stacks]
    trained = Parallel(n_jobs=n_jobs, pre_dispatch=pre_dispatch)(
        delayed(Timed)(part, bar) for part, bar in zip(parts, bars, strict=True)
    )
    results: list[Any] = [None] * len(jobs)
    for positions, timed in zip(stacks, trained, strict=True):
        for number, position in enumerate(positions):
            results[position] = timed.stack, number, timed.seconds[number]
    return results
