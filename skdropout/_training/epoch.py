"""An epoch of a stack: batches of rows in memory, gradients, one flat optimizer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, PassthroughScoring
from torch import Tensor
from torch.optim.adam import adam

from ..families import BlockNoise, NoiseSource, NoiseStreams
from .backprop import Backprop
from .parameters import FlatParameters
from .penalty import ElasticNet
from .rows import Blocks, part_sizes

# Measured: from this size on the work per block no longer shows in the time of a step. A larger
# stack takes a block in parts of this size.
_BLOCK_BYTES = 2**21


@dataclass(frozen=True)
class Plan:
    """How a member is trained. The names are those of the estimators' parameters.

    The members of a stack may differ in `learning_rate_init`, `alpha` and `l1_ratio`.
    """

    solver: str
    learning_rate_init: float
    momentum: float
    nesterovs_momentum: bool
    beta_1: float
    beta_2: float
    epsilon: float
    alpha: float
    l1_ratio: float
    batch_size: int
    shuffle: bool

    def of_stack(self) -> Plan:
        """What the plans of all members of a stack agree in; the rest is zero."""
        return replace(self, learning_rate_init=0.0, alpha=0.0, l1_ratio=0.0)


class SteppingNet(NeuralNet):
    """skorch's net with an epoch of its own.

    It differs from the stock class in five ways, each for speed: batches are slices of tensors
    in memory; the usual stack has its gradient written out (`Backprop`); the parameters are
    views of one flat tensor, so that the optimizer and the weight penalty are one operation
    each; losses stay tensors until the epoch is over; and callbacks are notified per batch only
    if one of them listens.

    Attributes
    ----------
    module_ : Stack
        Of the members in training.
    criterion_ : Likelihood
        Theirs.
    living_ : ndarray of int
        Which members of the whole stack they are.
    plans : sequence of Plan
        One for each member of the whole stack.
    order_, noise_ : NoiseSource
        Random numbers for the order of the rows, and for the noise.
    step_ratios_ : ndarray of shape (members,)
        The step of each member of the whole stack, in steps of the optimizer.
    listeners_per_batch_ : bool
        Whether a callback listens to batches.
    model_ : estimator
        Which predicts with this net, while it is trained by one.
    counting_ : Tensor of int64 of shape (members,) or None
        Rows of the present batch that each member has, where that differs.
    """

    module_: Any
    criterion_: Any
    device: str
    plans: Sequence[Plan]
    living_: np.ndarray
    order_: NoiseSource
    noise_: NoiseSource
    step_ratios_: np.ndarray
    listeners_per_batch_: bool
    counting_: Tensor | None
    model_: Any

    @property
    def plan(self) -> Plan:
        """The plan of the members, with the largest step size."""
        first = self.plans[0]
        return replace(first, learning_rate_init=max(p.learning_rate_init for p in self.plans))

    def initialize_optimizer(self, triggered_directly: None = None) -> SteppingNet:
        plan, values = self.plan, nothing_to_optimize(self.device)
        if plan.solver == "adam":
            self.optimizer_: torch.optim.Optimizer = torch.optim.Adam(
                [values],
                lr=plan.learning_rate_init,
                betas=(plan.beta_1, plan.beta_2),
                eps=plan.epsilon,
                fused=True,
            )
        else:
            self.optimizer_ = torch.optim.SGD(
                [values],
                lr=plan.learning_rate_init,
                momentum=plan.momentum,
                nesterov=plan.nesterovs_momentum and plan.momentum > 0,
                fused=True,
            )
        return self

    # ---- where parameters and steps are ------------------------------------------------------

    def _lay_out(self, flat: FlatParameters, optimizer_state: dict | None) -> None:
        """Let the optimizer and everything that computes gradients work on these parameters."""
        self._optimize(flat.values, optimizer_state)
        self.flat_, stack = flat, self.module_
        self.backprop_ = Backprop(stack) if Backprop.supports(stack) else None
        plans = [self.plans[member] for member in self.living_.tolist()]
        alphas, l1_ratios = [plan.alpha for plan in plans], [plan.l1_ratio for plan in plans]
        self.elastic_net_ = ElasticNet(alphas, l1_ratios, flat)
        self._lay_out_steps()

    def _optimize(self, values: torch.nn.Parameter, state: dict | None = None) -> None:
        """Let the optimizer work on other values, with its state, if that is not another one."""
        (group,) = self.optimizer_.param_groups
        (before,) = group["params"]
        had = self.optimizer_.state.pop(before, None)
        if state := had if state is None else state:
            self.optimizer_.state[values] = state
        group["params"] = [values]

    def _lay_out_steps(self) -> None:
        ratios = self.step_ratios_[self.living_]
        self.by_ratio_ = None
        if (ratios != 1).any():
            values = self.flat_.values.detach()
            self.by_ratio_ = self.flat_.by_member(values.new_tensor(ratios))

    def reset_steps(self) -> None:
        """Give all members the step sizes of their plans."""
        (group,) = self.optimizer_.param_groups
        group["lr"] = self.plan.learning_rate_init
        self.step_ratios_ = self.planned_step_ratios()
        self._lay_out_steps()

    def planned_step_ratios(self) -> np.ndarray:
        """Each member's step in steps of the optimizer, by the plans: ``(members,)``."""
        sizes = np.array([plan.learning_rate_init for plan in self.plans])
        return sizes / self.plan.learning_rate_init

    def slow_down(self, factors: np.ndarray) -> None:
        """Multiply the step sizes of the members in training: ``(members in training,)``."""
        if (factors == factors[0]).all():
            (group,) = self.optimizer_.param_groups
            group["lr"] *= float(factors[0])
        else:
            self.step_ratios_[self.living_] *= factors
            self._lay_out_steps()

    def step_sizes(self) -> np.ndarray:
        """Of the members in training."""
        (group,) = self.optimizer_.param_groups
        return group["lr"] * self.step_ratios_[self.living_]

    # ---- the epoch ---------------------------------------------------------------------------

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        # The size of a block, noise included, does not depend on the number of members, so
        # neither do the random numbers of each.
        if not training:
            return dataset
        plan = self.plan
        self.batch_size_ = plan.batch_size
        self.batch_bytes_ = 4 * plan.batch_size * sum(self.module_.architecture.widths)
        block_size = plan.batch_size * max(1, _BLOCK_BYTES // self.batch_bytes_)
        # A batch of one row has no batch statistics.
        self.smallest_batch_ = 2 if self.module_.architecture.normalization == "batch" else 1
        order = self.order_ if plan.shuffle else None
        self.blocks_ = Blocks(dataset, block_size, order, self.smallest_batch_)
        return self.blocks_

    def _train_epoch(self, blocks: Blocks) -> dict[str, Tensor]:
        """Terms of the objective after one epoch, in nats per row: each ``(members,)``."""
        if not all(values.requires_grad for values in self.module_.parameters()):
            raise ValueError(
                f"{type(self.model_).__name__}: a callback has frozen parameters "
                "(requires_grad=False), but the optimizer moves all of them as one vector"
            )
        total = torch.zeros(len(self.module_.members), device=self.device, dtype=torch.float32)
        n_rows: int | Tensor = 0
        rows = blocks.rows
        lengths = len(rows) if rows.lengths is None else rows.lengths.tolist()
        # Weights have mean one: their sum is the number of rows.
        self.kl_factors_ = total.new_tensor(self.module_.kl_factors(lengths))
        scale = self.criterion_.gradient_scale()
        self.gradient_scale_ = None if scale is None else self.flat_.by_member(scale)
        for index in blocks:
            y, weight = blocks.take(rows.y, index), blocks.weight(index)
            # What the steps return is looked at a block at a time: it spares each step that.
            steps = self._train_block(rows.x, index, y, weight)
            raw = torch.cat([step["y_pred"] for step in steps], 1)
            with torch.no_grad():
                losses = self.criterion_.loss(raw, y)
                total += (losses if weight is None else losses * weight).sum(1)
                self.criterion_.observe(raw, y, weight)
            counting = blocks.counting(index.shape[1])
            n_rows = n_rows + (index.shape[1] if counting is None else counting)
        self.criterion_.epoch_end()
        penalty = self.elastic_net_.value(self.module_)
        return {
            "likelihood": total / n_rows,
            "kl": self._kl(),
            "penalty": penalty / min(self.batch_size_, len(rows)),
        }

    @torch.no_grad()
    def _kl(self) -> Tensor:
        return self.module_.kl() * self.kl_factors_

    def _train_block(
        self, x: Tensor, index: Tensor, y: Tensor, weight: Tensor | None
    ) -> Iterator[dict]:
        sizes = part_sizes(index.shape[1], self.batch_size_, self.smallest_batch_)
        ys = y.split(sizes, 1)
        weights = repeat(None, len(ys)) if weight is None else weight.split(sizes, 1)
        xs = self._batches(x, index, sizes)
        counting, last = self.blocks_.counting(index.shape[1]), len(ys) - 1
        batches = zip(xs, ys, weights, strict=True)
        for number, ((x_batch, noise), y_batch, weight_batch) in enumerate(batches):
            # Only in the last batch of an epoch do some members have fewer rows than others.
            self.counting_ = None
            if counting is not None and number == last:
                self.counting_ = counting - number * self.batch_size_
                weight_batch = weight_batch * (y_batch.shape[1] / self.counting_).unsqueeze(1)
            batch = x_batch, y_batch, weight_batch, noise
            yield (
                self._notified_step(batch) if self.listeners_per_batch_ else self.train_step(batch)
            )

    def _batches(self, x: Tensor, index: Tensor, sizes: list[int]) -> Iterable[tuple]:
        """Batches of a block with their noise, if the noise is made for many at once.

        Only where that is not so may a last batch be larger than the others.
        """
        size, n_members = self.batch_size_, len(self.module_.members)
        if self.backprop_ is None:
            parts = self.blocks_.take(x, index).expand(n_members, -1, -1).split(sizes, 1)
            return zip(parts, repeat(None, len(parts)), strict=True)
        part = size * max(1, _BLOCK_BYTES // (self.batch_bytes_ * n_members))
        counting = self.blocks_.counting(index.shape[1])
        # What little is left over is not worth a part of its own.
        if 1.5 * part >= index.shape[1] and counting is None:
            rows = self.blocks_.take(x, index, self.backprop_.scratch)
            return self.backprop_.batches(rows, size, self.noise_)
        noise = BlockNoise(self.noise_, index.shape[1], counting)
        return self._batches_in_parts(self.backprop_, x, index, part, noise)

    def _batches_in_parts(
        self, backprop: Backprop, x: Tensor, index: Tensor, size: int, noise: BlockNoise
    ) -> Iterator[tuple]:
        for part in index.split(size, 1):
            rows = self.blocks_.take(x, part, backprop.scratch)
            yield from backprop.batches(rows, self.batch_size_, noise)
            noise.advance(part.shape[1])

    def _notified_step(self, batch: tuple) -> dict:
        self.notify("on_batch_begin", batch=batch, training=True)
        step = self.train_step(batch)
        _, y, weight, _ = batch
        losses = self.criterion_.loss(step["y_pred"], y)
        loss = (losses if weight is None else losses * weight).mean()
        self.history.record_batch("train_loss", loss.item())
        self.history.record_batch("train_batch_size", y.shape[1])
        self.notify("on_batch_end", batch=batch, training=True, loss=loss, **step)
        return step

    def train_step(self, batch: tuple, **kwargs: Any) -> dict:
        """One step of the optimizer on one batch ``(x, y, weight, noise)``."""
        x, y, weight, noise = batch
        if self.backprop_ is None:
            raw = self._gradients_by_autograd(x, y, weight)
        else:
            with torch.no_grad():
                raw, tape = self.backprop_.forward(x, noise)
                gradient = self.criterion_.gradient(raw, y).mul_(1 / y.shape[1])
                if weight is not None:
                    gradient.mul_(weight.unsqueeze(-1))
                self.backprop_.backward(tape, gradient)
                self.backprop_.add_kl_gradient(self.kl_factors_, self.noise_)
        self.elastic_net_.add_gradient(y.shape[1] if self.counting_ is None else self.counting_)
        if self.gradient_scale_ is not None:
            self.flat_.gradient.mul_(self.gradient_scale_)
        if self.listeners_per_batch_:
            named = list(self.get_all_learnable_params())
            self.notify("on_grad_computed", named_parameters=named, X=x, y=y, training=True)
        if self.by_ratio_ is None:
            self._step()
        else:
            values = self.flat_.detached
            before = values.clone()
            self._step()
            # A step is proportional to its size, in Adam and in gradient descent.
            torch.lerp(before, values, self.by_ratio_, out=values)
        return {"y_pred": raw}

    def _step(self) -> None:
        """The optimizer's step; Adam's without the wrappers, which take as long again."""
        optimizer, flat = self.optimizer_, self.flat_
        state = optimizer.state.get(flat.values)
        # Torch's schedulers replace the method, and count on being called.
        if not state or type(optimizer) is not torch.optim.Adam or "step" in vars(optimizer):
            optimizer.step()
            return
        (group,) = optimizer.param_groups
        beta1, beta2 = group["betas"]
        adam(
            [flat.detached],
            [flat.gradient],
            [state["exp_avg"]],
            [state["exp_avg_sq"]],
            [],
            [state["step"]],
            fused=True,
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )

    def _gradients_by_autograd(self, x: Tensor, y: Tensor, weight: Tensor | None) -> Tensor:
        """Set the gradients and return the raw outputs."""
        self.flat_.gradient.zero_()
        source: NoiseStreams = self.noise_
        if self.counting_ is not None:
            source = BlockNoise(self.noise_, x.shape[1], self.counting_)
        raw = self.module_(x, source)
        losses = self.criterion_.objective(raw, y)
        # Members share no parameters: the gradient of their sum is each one's own.
        (losses if weight is None else losses * weight).mean(1).sum().backward()
        for linear in self.module_.linears:
            linear.add_kl_gradient(self.kl_factors_, self.noise_)
        return raw.detach()


def nothing_to_optimize(device: str) -> torch.nn.Parameter:
    """What an optimizer has between trainings, in the place of parameters and their copies."""
    return torch.nn.Parameter(torch.empty(0, device=device))


def listens_to_batches(callback: Callback) -> bool:
    """Whether a callback asks for batches, or what is recorded of them; it costs time."""
    hooks = ("on_batch_begin", "on_batch_end", "on_grad_computed")
    return isinstance(callback, PassthroughScoring) or any(
        getattr(type(callback), hook) is not getattr(Callback, hook) for hook in hooks
    )
