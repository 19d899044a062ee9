"""Jobs into stacks of bounded size, and their training by joblib."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils.parallel import Parallel, delayed

from .._training.jobs import Job, TrainedStack, positions_by_stack
from ._progress import Progress

# What a stack may move in one step: weights with their gradients and moments, activations and
# noise. Measured: from about 6 MB on a member of a larger stack costs no less time.
_STACK_BYTES = 2**24
# A step of any stack takes besides as long as it takes to move so much.
_STEP_BYTES = 2**21


def step_bytes(job: Job) -> int:
    """Bytes that a step of a job moves."""
    widths = job.architecture.widths
    n_weights = sum((a + 1) * b for a, b in itertools.pairwise(widths))
    return 4 * len(job.members) * (5 * n_weights + 4 * job.plan.batch_size * sum(widths))


def cut(jobs: Sequence[Job], n_jobs: int, stack_bytes: int = _STACK_BYTES) -> list[list[int]]:
    """Positions of the jobs of each stack, the most expensive stack first.

    Parameters
    ----------
    jobs : sequence of Job
    n_jobs : int
        Processes. What all of them have to do is cut into equal shares, also where a group that
        could be one stack lies in two of them.
    stack_bytes : int, optional
        What a step of one stack may move.
    """
    groups = positions_by_stack(jobs)
    share = sum(_cost(jobs, positions) for positions in groups) / n_jobs
    stacks: list[list[int]] = []
    past = 0.0
    for positions in groups:
        sizes = np.array([step_bytes(jobs[position]) for position in positions])
        costs = sizes * (_cost(jobs, positions) / sizes.sum())
        process = (past + costs.cumsum() - costs / 2) // share
        past += costs.sum()
        for part in np.split(np.arange(len(costs)), np.flatnonzero(np.diff(process)) + 1):
            n_stacks = min(len(part), -(-int(sizes[part].sum()) // stack_bytes))
            for few in np.array_split(part, n_stacks):
                stacks.append([positions[number] for number in few])
    return sorted(stacks, key=lambda positions: -_cost(jobs, positions))


def _cost(jobs: Sequence[Job], positions: list[int]) -> float:
    """What the training of a stack costs at most, in bytes moved."""
    together = [jobs[position] for position in positions]
    n_steps = max(job.max_iter * -(-len(job.rows) // job.plan.batch_size) for job in together)
    return float(n_steps * (_STEP_BYTES + sum(step_bytes(job) for job in together)))


class Timed:
    """A trained stack and the share of its seconds that each job has.

    Attributes
    ----------
    stack : TrainedStack or None
        None if its training failed. Whose fault that is, the fits of its jobs will say.
    """

    def __init__(self, jobs: list[Job], progress: Progress | None) -> None:
        start = time.perf_counter()
        self.stack: TrainedStack | None = None
        self.seconds = [0.0] * len(jobs)
        try:
            self.stack = TrainedStack(jobs, [("progress", progress)] if progress else [])
        except Exception:
            return
        seconds = time.perf_counter() - start
        epochs = self.stack.net.n_epochs_
        each = [int(epochs[members].sum()) for members in self.stack.slices]
        self.seconds = [seconds * n / max(1, sum(each)) for n in each]


def train_all(
    jobs: Sequence[Job], n_jobs: int | None, pre_dispatch: Any, verbose: int
) -> list[tuple[TrainedStack | None, int, float]]:
    """Train jobs as stacks: for each job its stack, its number there, and its seconds.

    None stands for a stack whose training failed.
    """
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
