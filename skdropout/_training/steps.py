"""Steps of a stack: the gradients of a batch, the penalty, the optimizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..families import BlockNoise, NoiseStreams
from .backprop import Backprop
from .leaving import Moving
from .optimizer import clear_what_died_away, take_step, work_on
from .penalty import ElasticNet
from .plan import Plan
from .scaling import InputScaling

# Steps between two looks for what has died away: a moment of Adam shrinks by so little meanwhile
# that it does not become denormal.
_CLEAR_EVERY = 100


class Batch(NamedTuple):
    """What one step is made on.

    Attributes
    ----------
    x : Tensor of shape (members or 1, rows, n_features)
        Before `Window.look` compressed rows, one member after the other.
    y : Tensor of shape (members or 1, rows, ...)
    weight : Tensor of shape (members or 1, rows) or None
    noise : tuple of Tensor or None
        Made for the batch, if the noise of many batches is made at once.
    counting : Tensor of int64 of shape (members,) or None
        Rows that each member has, where that differs.
    """

    x: Any
    y: Tensor
    weight: Tensor | None
    noise: Any
    counting: Tensor | None


class Steps:
    """Steps of the members in training, as long as they stay the same.

    Parameters
    ----------
    moving : Moving
        Its stack's parameters become views of one vector.
    optimizer : Optimizer
    plans : sequence of Plan, one per member
    """

    def __init__(
        self, moving: Moving, optimizer: torch.optim.Optimizer, plans: Sequence[Plan]
    ) -> None:
        self.moving, self.optimizer = moving, optimizer
        self.stack, self.likelihood = moving.stack, moving.likelihood
        self.flat, self.noise = moving.flat, moving.noise
        work_on(optimizer, self.flat.values, moving.optimizer_state)
        self.backprop = Backprop(self.stack) if Backprop.supports(self.stack) else None
        alphas, l1_ratios = [plan.alpha for plan in plans], [plan.l1_ratio for plan in plans]
        self.penalty = ElasticNet(alphas, l1_ratios, self.flat)
        self.scaling = InputScaling.of(self.stack)
        self.by_ratio: Tensor | None = None
        self.n_rows: int | list[int] = 0
        self._n_steps = 0

    def set_ratios(self, ratios: np.ndarray) -> None:
        """Each member's step in steps of the optimizer: ``(members,)``."""
        self.by_ratio = None
        if (ratios != 1).any():
            self.by_ratio = self.flat.by_member(self.flat.detached.new_tensor(ratios))

    def begin_epoch(self, n_rows: int | list[int]) -> None:
        """Take note of what stays the same for an epoch.

        Parameters
        ----------
        n_rows : int, or one for each member
            Rows of the epoch; their weights have mean one.
        """
        self.n_rows = n_rows
        factors = self.stack.kl_factors(n_rows)
        self.kl_factors = torch.tensor(
            factors, dtype=torch.float32, device=self.flat.detached.device
        )
        scale = self.likelihood.gradient_scale()
        self.gradient_scale = None if scale is None else self.flat.by_member(scale)

    @torch.no_grad()
    def kl(self) -> Tensor:
        """The KL term of the objective: ``(members,)``."""
        return self.stack.kl() * self.kl_factors

    def ready(self, x: Tensor, counting: Tensor | None) -> dict[str, Any]:
        """Inputs of a batch that is a block of its own, with their noise: fields of `Batch`.

        Parameters
        ----------
        x : Tensor of shape (members or 1, rows, n_features)
        counting : Tensor or None
            As in `Batch`.
        """
        if self.backprop is None:
            return {"x": x.expand(len(self.stack.members), -1, -1)}
        n_rows, noise = x.shape[1], self.noise
        source = noise if counting is None else BlockNoise(noise, n_rows, counting)
        ((x, made),) = self.backprop.batches(x, n_rows, source)
        return {"x": x, "noise": made}

    def step(
        self, batch: Batch, on_gradient: Callable[[Tensor, Tensor], None] | None = None
    ) -> Tensor:
        """One step of the optimizer. Returns the raw outputs that it was made from.

        Parameters
        ----------
        batch : Batch
        on_gradient : callable, optional
            Called with inputs and targets of the batch once its gradients are there.
        """
        raw = self._gradients(batch)
        n_rows = batch.y.shape[1]
        self.penalty.add_gradient(n_rows if batch.counting is None else batch.counting)
        if self.gradient_scale is not None:
            self.flat.gradient.mul_(self.gradient_scale)
        if self.scaling is not None:
            self.scaling.set_gradient()
        if on_gradient is not None:
            on_gradient(batch.x, batch.y)
        if self.scaling is None:
            self._take_step()
        else:
            self.scaling.around(self._take_step)
        self._n_steps += 1
        if self._n_steps % _CLEAR_EVERY == 0:
            clear_what_died_away(self.optimizer, self.flat)
        return raw

    def _take_step(self) -> None:
        """The optimizer's step, or of each member its share of it."""
        if self.by_ratio is None:
            take_step(self.optimizer, self.flat)
        else:
            values = self.flat.detached
            before = values.clone()
            take_step(self.optimizer, self.flat)
            # A step is proportional to its size, in Adam and in gradient descent.
            torch.lerp(before, values, self.by_ratio, out=values)

    def _gradients(self, batch: Batch) -> Tensor:
        """Set the gradients of likelihood and KL, and return the raw outputs."""
        if self.backprop is None:
            return self._gradients_by_autograd(batch)
        with torch.no_grad():
            raw, tape = self.backprop.forward(batch.x, batch.noise)
            gradient = self.likelihood.gradient(raw, batch.y).mul_(1 / batch.y.shape[1])
            if batch.weight is not None:
                gradient.mul_(batch.weight.unsqueeze(-1))
            self.backprop.backward(tape, gradient)
            self.backprop.add_kl_gradient(self.kl_factors, self.noise)
        return raw

    def _gradients_by_autograd(self, batch: Batch) -> Tensor:
        self.flat.gradient.zero_()
        source: NoiseStreams = self.noise
        if batch.counting is not None:
            source = BlockNoise(self.noise, batch.x.shape[1], batch.counting)
        raw = self.stack(batch.x, source)
        losses = self.likelihood.objective(raw, batch.y)
        # Members share no parameters: the gradient of their sum is each one's own.
        (losses if batch.weight is None else losses * batch.weight).mean(1).sum().backward()
        for linear in self.stack.linears:
            linear.add_kl_gradient(self.kl_factors, self.noise)
        return raw.detach()
