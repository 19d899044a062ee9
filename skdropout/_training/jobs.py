"""Training of many networks as one stack: what a fit and a search have in common."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from skorch.callbacks import Callback

from .._likelihoods.base import Likelihood
from .._networks.architecture import Architecture, Member
from .._networks.stack import Stack
from .._support.members import join_members
from .._support.threads import threads_for
from .net import DropoutNet, NonFiniteLossError
from .plan import Plan
from .rows import Rows, join_rows


@dataclass(frozen=True)
class Job:
    """A network, or an ensemble of several, to be trained: everything that it depends on.

    Attributes
    ----------
    architecture : Architecture
    members : tuple of Member
    likelihood : Likelihood
        Of the members.
    plan : Plan
    rows : Rows
    validation : tuple of Rows, one for each network, or None
    n_validation_draws : int
    max_iter : int
        Most epochs.
    callbacks : tuple of (str, Callback)
        Of skorch, not yet used.
    device : str
    verbose : int
        Whether callbacks of skorch print.
    """

    architecture: Architecture
    members: tuple[Member, ...]
    likelihood: Likelihood
    plan: Plan
    rows: Rows = field(repr=False)
    validation: tuple[Rows, ...] | None = field(repr=False)
    n_validation_draws: int
    max_iter: int
    callbacks: tuple[tuple[str, Callback], ...]
    device: str
    verbose: int = 0

    def net(self, stack: Stack | None = None, likelihood: Likelihood | None = None) -> DropoutNet:
        """The net of this job alone, untrained, or one that goes on with a stack."""
        stack = Stack(self.architecture, self.members) if stack is None else stack
        return _net([self], stack, self.likelihood if likelihood is None else likelihood)

    def stack_key(self) -> tuple:
        """Jobs with equal keys can be trained as one stack.

        Each member then gets the batches and the random numbers that it would get alone. The
        first entry says which maps have noise.
        """
        return (
            # A map without noise reads no random numbers, alone.
            tuple(rate > 0 for rate in self.members[0].rates),
            self.architecture,
            self.members[0].family.stack_key(),
            _settings(self.likelihood),
            self.plan.of_stack(),
            self._row_key(),
            type(self.rows.x),
            None if self.validation is None else type(self.validation[0].x),
            self.n_validation_draws,
            self.max_iter,
            tuple((name, _settings(callback)) for name, callback in self.callbacks),
            self.device,
        )

    @property
    def silent(self) -> bool:
        """Whether there is no noise, and noise at a rate of zero is exactly none."""
        member = self.members[0]
        return type(member.family).layer.is_exact_at_zero() and not any(member.rates)

    def _row_key(self) -> tuple[str, int]:
        """What jobs must agree in about their rows: the batches of an epoch.

        Only the last batch may be smaller for some; a row there that only fills up counts nothing.
        It would count in the statistics of batch normalization, and where rows set the step.
        """
        n_rows, names = len(self.rows), {name for name, _ in self.callbacks}
        if self.architecture.normalization == "batch" or "inverse_scaling" in names:
            return "rows", n_rows
        return "batches", -(-n_rows // self.plan.batch_size)


def _settings(thing: Any) -> tuple:
    """The class of an object and what simple values it holds."""
    values = vars(thing).items()
    simple = (int, float, str, bool, type(None))
    return type(thing), tuple((key, value) for key, value in values if isinstance(value, simple))


def _net(jobs: Sequence[Job], stack: Stack, likelihood: Likelihood) -> DropoutNet:
    first = jobs[0]
    validation = [rows for job in jobs for rows in job.validation or ()]
    return DropoutNet(
        stack,
        likelihood,
        plans=[job.plan for job in jobs for _ in job.members],
        lengths=[len(job.rows) for job in jobs for _ in job.members],
        validation=validation or None,
        n_validation_draws=first.n_validation_draws,
        callbacks=list(first.callbacks),
        max_epochs=first.max_iter,
        batch_size=first.plan.batch_size,
        device=first.device,
        verbose=first.verbose,
    )


def train_net(net: DropoutNet, rows: Rows, epochs: int, share: float = 1.0) -> None:
    """Train a net, new or not, for at most so many epochs, or for a share of one.

    Raises
    ------
    NonFiniteLossError
        If the losses of all members became NaN or infinite.
    """
    # These contexts end here and are the thread's own: the caller's modes neither reach the
    # training nor are changed by it.
    with torch.inference_mode(False), torch.enable_grad(), threads_for(_multiply_adds(net)):
        if not net.initialized_:
            net.initialize()
        watched = net.validation or ()
        net.criterion_.gaps = any(part.has_gaps for part in (rows, *watched))
        device = torch.device(net.device)
        if net.validation is not None:
            moved = {id(part): part.to(device) for part in net.validation}
            net.validation = [moved[id(part)] for part in net.validation]
        try:
            if share < 1:
                net.train_share(rows.to(device), share)
            else:
                net.partial_fit(rows.to(device), None, epochs=epochs)
        finally:
            net.validation = None


def train_passes(net: DropoutNet, rows: Rows, passes: int, share: float) -> None:
    """Train a net for single epochs, each a training of its own, and a share of one more.

    Raises
    ------
    NonFiniteLossError
        As `train_net`.
    """
    for part in (*itertools.repeat(1.0, passes), share):
        if part:
            train_net(net, rows, 1, part)
            if net.interrupted or net.failures_:
                return


def _multiply_adds(net: DropoutNet) -> int:
    """Of the forward pass of one batch through the whole stack."""
    widths, n_members = net.module.architecture.widths, len(net.module.members)
    n_weights = n_members * sum(a * b for a, b in itertools.pairwise(widths))
    return n_weights * net.plan.batch_size


class TrainedStack:
    """Jobs that were trained as one stack.

    Parameters
    ----------
    jobs : sequence of Job
        That can be trained so (`positions_by_stack`).
    callbacks : sequence of (str, Callback), default=()
        More callbacks for the stack, which come before those of the jobs.

    Raises
    ------
    KeyboardInterrupt
        If the user ends the training: nobody asked for half-trained networks of a search.
    """

    @threads_for()
    def __init__(self, jobs: Sequence[Job], callbacks: Sequence[tuple[str, Callback]] = ()) -> None:
        members = [member for job in jobs for member in job.members]
        stack = Stack(jobs[0].architecture, members)
        self.net = _net(jobs, stack, join_members([job.likelihood for job in jobs]))
        self.net.callbacks = [*callbacks, *self.net.callbacks]
        stops = torch.tensor([len(job.members) for job in jobs]).cumsum(0).tolist()
        self.slices = [slice(a, b) for a, b in zip([0, *stops], stops, strict=False)]
        rows = join_rows([job.rows for job in jobs for _ in job.members])
        self.error: NonFiniteLossError | None = None
        try:
            train_net(self.net, rows, jobs[0].max_iter)
        except NonFiniteLossError as error:
            self.error = error
        else:
            if self.net.interrupted:
                raise KeyboardInterrupt
            extra = dict(callbacks)
            for kept in (self.net.callbacks, self.net.callbacks_):
                kept[:] = [entry for entry in kept if entry[0] not in extra]
            # Each job's will start anew; this one's state is twice as large as the networks.
            self.net.initialize_optimizer()

    def __len__(self) -> int:
        return len(self.slices)

    def __getitem__(self, job: int) -> DropoutNet:
        """The trained net of one job, as if it had been trained alone.

        Its optimizer starts anew.

        Members whose loss became NaN or infinite are left out.

        Raises
        ------
        NonFiniteLossError
            If there are no others.
        """
        if self.error is not None:
            raise self.error
        members = range(len(self.net.plans))[self.slices[job]]
        return self.net.select(self.net.survivors(members))


def positions_by_stack(jobs: Sequence[Job]) -> list[list[int]]:
    """Positions of the jobs that can be trained as one stack, for each such stack.

    They have equal keys. A network without noise reads no random numbers for it, so it may stand
    in a stack with noise; there its factors are ones.
    """
    groups: dict[tuple, list[int]] = {}
    for position, job in enumerate(jobs):
        groups.setdefault(job.stack_key(), []).append(position)
    for key in [key for key, positions in groups.items() if jobs[positions[0]].silent]:
        host = next((other for other in groups if other != key and other[1:] == key[1:]), None)
        if host is not None:
            groups[host] += groups.pop(key)
    return list(groups.values())


def take_net(trained: TrainedStack, number: int) -> DropoutNet | NonFiniteLossError:
    """The net of one job of a stack, or why there is none."""
    try:
        return trained[number]
    except NonFiniteLossError as error:
        return error
