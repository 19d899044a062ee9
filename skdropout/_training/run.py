"""A training while it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from .epoch import Epochs
from .leaving import Moving, mask_of
from .optimizer import nothing_to_optimize, state_of, work_on
from .plan import Plan, common_plan
from .records import Recorder
from .rows import Rows, join_rows
from .steps import Batch, Steps
from .validation import member_scores
from .window import Window, start_columns


class TrainingRun:
    """What exists only while a stack is trained; it is dropped when training ends.

    A member may leave while the others train on: it keeps what it has learned then and costs
    nothing more.

    Parameters
    ----------
    moving : Moving
        All members.
    optimizer : Optimizer
    plans : sequence of Plan, one per member
    ratios : ndarray of shape (members,)
        The step of each member, in steps of the optimizer.
    rows : Rows
        To train on.
    recorder : Recorder
    window : int or None, default=None
        Columns that a batch has, about, if it is trained through a `Window`.

    Attributes
    ----------
    moving : Moving
        The members in training.
    living : ndarray of int
        Which of the whole stack's members they are.
    steps : Steps
        Theirs.
    on_step : callable or None
        Makes a step in the place of `step`.
    on_gradient : callable or None
        Called with inputs and targets of each batch once its gradients are there.
    """

    def __init__(
        self,
        moving: Moving,
        optimizer: torch.optim.Optimizer,
        plans: Sequence[Plan],
        ratios: np.ndarray,
        rows: Rows,
        recorder: Recorder,
        window: int | None = None,
    ) -> None:
        self.optimizer, self.plans, self.ratios = optimizer, plans, ratios
        self.recorder = recorder
        self.living = np.arange(len(plans))
        self.on_step: Callable[[Batch], Tensor] | None = None
        self.on_gradient: Callable[[Tensor, Tensor], None] | None = None
        self._whole: Moving | None = None
        # Rows that those in training are scored on, together.
        self._watched: Rows | None = None
        self._window_size = window
        self.window: Window | None = None
        if window is not None:
            start_columns(moving.stack, rows)
        self._lay_out(moving)
        architecture = moving.stack.architecture
        # A batch of one row has no batch statistics.
        smallest = 2 if architecture.normalization == "batch" else 1
        plan = common_plan(plans)
        widths, windowed = architecture.widths, window is not None
        self.epochs = Epochs(rows, plan, widths, smallest, moving.order, windowed)

    def _lay_out(self, moving: Moving) -> None:
        """Let the optimizer and everything that computes gradients work on some members."""
        self.moving = moving
        if self._window_size is not None:
            if moving.optimizer_state is None:
                moving = moving.with_state(state_of(self.optimizer))
            self.window = Window(moving, self._window_size)
            moving = self.window.moving
        self._make_steps(moving)

    def _make_steps(self, moving: Moving) -> None:
        plans = [self.plans[member] for member in self.living.tolist()]
        self.steps = Steps(moving, self.optimizer, plans)
        self.steps.set_ratios(self.ratios[self.living])

    # ---- epochs --------------------------------------------------------------------------

    def train_epoch(self) -> list[float]:
        """Train for one epoch and record it. Returns the losses of the members in training."""
        terms = self.epochs.train(self.steps, self.on_step or self.step, self.moving.stack)
        losses = self.recorder.training(terms, self.moving.stack, self.living)
        self.moving.stack.n_epochs += 1
        return losses

    def step(self, batch: Batch) -> Tensor:
        """One step of the optimizer. Returns the raw outputs that it was made from."""
        if self.window is None:
            return self.steps.step(batch, self.on_gradient)
        window, n_rows = self.window, batch.y.shape[1]
        x, n_columns = window.look(batch.x, n_rows)
        if n_columns > window.size:
            rows = self.steps.n_rows
            self._make_steps(window.grow(n_columns, state_of(self.optimizer)))
            self.steps.begin_epoch(rows)
            x = nn.functional.pad(x, (0, window.size - x.shape[2]))
        window.load(state_of(self.optimizer))
        raw = self.steps.step(batch._replace(**self.steps.ready(x, batch.counting)))
        window.store(state_of(self.optimizer))
        return raw

    def validate(self, validation: Sequence[Rows], n_draws: int) -> None:
        """Record the log predictive density of the members' validation rows."""
        self.recorder.validation(self.validation_scores(validation, n_draws).tolist(), self.living)

    @torch.no_grad()
    def validation_scores(self, validation: Sequence[Rows], n_draws: int) -> Tensor:
        """Log predictive density of validation rows, in nats per row: ``(members,)``.

        The draws are the first of those that predict, the same after every epoch: what moves
        is the network, not the noise.

        Parameters
        ----------
        validation : sequence of Rows, one per member of the whole stack
        n_draws : int
            0 is the weight-scaling rule.
        """
        stack = self.moving.stack
        plain = stack.draw(n_draws) if n_draws else stack.plain()
        if self._watched is None:
            rows = join_rows([validation[member] for member in self.living.tolist()])
            self._watched = rows.to(self.steps.flat.detached.device)
        return member_scores(plain, self.moving.likelihood, self._watched)

    # ---- sizes of steps ------------------------------------------------------------------

    def reset_steps(self) -> None:
        """Give all members the step sizes of their plans."""
        (group,) = self.optimizer.param_groups
        group["lr"] = common_plan(self.plans).learning_rate_init
        self.ratios = planned_ratios(self.plans)
        self.steps.set_ratios(self.ratios[self.living])

    def slow_down(self, factors: np.ndarray) -> None:
        """Multiply the step sizes of the members in training: ``(members in training,)``."""
        if (factors == factors[0]).all():
            (group,) = self.optimizer.param_groups
            group["lr"] *= float(factors[0])
        else:
            self.ratios[self.living] *= factors
            self.steps.set_ratios(self.ratios[self.living])

    def step_sizes(self) -> np.ndarray:
        """Of the members in training."""
        (group,) = self.optimizer.param_groups
        return group["lr"] * self.ratios[self.living]

    # ---- members that leave --------------------------------------------------------------

    def leave(self, leaving: np.ndarray) -> None:
        """Let members leave the stack between two epochs.

        Parameters
        ----------
        leaving : ndarray of bool of shape (members in training,)
            Not all of them.
        """
        if self._whole is None:
            self._whole = self._moving_now()
        else:
            self._hand_in(self._whole, leaving)
        kept = torch.from_numpy(~leaving)
        few = self._moving_now().select(kept)
        self.living = self.living[~leaving]
        self._watched = None
        self.epochs.take_over(few.order, self.epochs.blocks.rows.select(kept))
        self._lay_out(few)

    def finish(self) -> Moving:
        """End the training. Returns the whole stack, whose parameters have memory of their own."""
        if self._whole is not None:
            self._hand_in(self._whole, np.ones(len(self.living), dtype=bool))
            self.living = np.arange(len(self.plans))
            self._lay_out(self._whole)
        if self.window is not None:
            nothing = nothing_to_optimize(self.steps.flat.detached.device)
            work_on(self.optimizer, nothing, self.window.keep(state_of(self.optimizer)))
        self.steps.flat.give_back(self.steps.stack)
        return self.moving

    def _moving_now(self) -> Moving:
        state = state_of(self.optimizer)
        return self.moving.with_state(state if self.window is None else self.window.keep(state))

    def _hand_in(self, whole: Moving, leaving: np.ndarray) -> None:
        """Copy what members have learned to where the whole stack is."""
        own = mask_of(self.living[leaving], len(self.plans))
        whole.take(self._moving_now(), torch.from_numpy(leaving), own)


def planned_ratios(plans: Sequence[Plan]) -> np.ndarray:
    """Each member's step in steps of the optimizer, by the plans: ``(members,)``."""
    sizes = np.array([plan.learning_rate_init for plan in plans])
    return sizes / common_plan(plans).learning_rate_init
