"""Training of a stack through skorch, with tensors in memory and one flat optimizer."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochTimer
from torch import Tensor

from .backprop import Backprop
from .draws import evaluate
from .families import NoiseSource
from .flat_parameters import FlatParameters
from .likelihood import Likelihood, mixture_log_prob
from .network import Stack
from .rows import Blocks, Rows

# Measured: from this size on the work per block no longer shows in the time of a step.
_BLOCK_BYTES = 2**21


class NonFiniteLossError(ValueError):
    """The loss became NaN or infinite. The estimators add what the likely cause is."""


@dataclass(frozen=True)
class Plan:
    """How a stack is trained. The names are those of the estimators' parameters."""

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


class DropoutNet(NeuralNet):
    """skorch's training loop over a stack.

    It differs from the stock class in five ways, each for speed: batches are slices of tensors
    in memory; the usual stack has its gradient written out (`Backprop`); the parameters are
    views of one flat tensor, so that the optimizer and the weight penalty are one operation
    each; losses stay tensors until the epoch is over; and callbacks are notified per batch only
    if one of them listens.

    Parameters
    ----------
    module : Stack
    criterion : Likelihood
    plan : Plan
    validation : Rows or None
        Rows whose log predictive density is recorded after each epoch.
    n_validation_draws : int
        Draws behind that density. 0 is the weight-scaling rule.
    **kwargs
        As for `skorch.NeuralNet`.

    Notes
    -----
    The history holds ``train_loss`` and ``valid_loss`` (means over the members, as skorch's
    callbacks expect), and per member ``train_losses`` and ``valid_scores``, in nats per row. The
    loss is the sum of ``train_likelihood`` (negative log-likelihood), ``train_kl`` and
    ``train_penalty``; ``warming_up`` says of each member whether its KL is still growing.
    """

    def __init__(
        self,
        module: Stack,
        criterion: Likelihood,
        *,
        plan: Plan,
        validation: Rows | None = None,
        n_validation_draws: int = 10,
        **kwargs: Any,
    ) -> None:
        self.plan = plan
        self.validation = validation
        self.n_validation_draws = n_validation_draws
        super().__init__(module, criterion, train_split=None, **kwargs)

    @property
    def _default_callbacks(self) -> list:
        return [("epoch_timer", EpochTimer())]

    def initialize_module(self) -> DropoutNet:
        super().initialize_module()
        seeds = [member.seeds() for member in self.module_.members]
        device = torch.device(self.device)
        self.order_ = NoiseSource([seed[1] for seed in seeds], device)
        self.noise_ = NoiseSource([seed[2] for seed in seeds], device)
        return self

    def initialize_optimizer(self, triggered_directly: None = None) -> DropoutNet:
        plan, values = self.plan, FlatParameters(self.module_).values
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

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        # Copies and pickles do not keep views together, so they are laid anew each time.
        self.flat_ = FlatParameters(self.module_)
        (group,) = self.optimizer_.param_groups
        (before,) = group["params"]
        if before in self.optimizer_.state:
            self.optimizer_.state[self.flat_.values] = self.optimizer_.state.pop(before)
        group["params"] = [self.flat_.values]
        self.lowest_: dict[str, float] = {}
        stack = self.module_
        self.backprop_ = Backprop(stack) if Backprop.supports(stack) else None
        callbacks = [callback for _, callback in self.callbacks_]
        self.listeners_per_batch_ = any(_listens_to_batches(callback) for callback in callbacks)

    def on_train_end(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        del self.flat_, self.backprop_

    def replaced(self, stack: Stack) -> DropoutNet:
        """The same training with another stack: history and all, but a fresh optimizer."""
        net = copy.copy(self)
        net.history = copy.deepcopy(self.history)
        net.callbacks_ = copy.deepcopy(self.callbacks_)
        net.module = net.module_ = stack
        net.criterion = net.criterion_ = copy.deepcopy(self.criterion_)
        net.order_, net.noise_ = copy.deepcopy((self.order_, self.noise_))
        net.initialize_optimizer()
        return net

    def get_split_datasets(self, X: Rows, y: Any = None, **kwargs: Any) -> tuple:
        return X, self.validation

    def get_iterator(self, dataset: Rows, training: bool = False) -> Blocks:
        # The size of a block, noise included, does not depend on the number of members, so
        # neither do the random numbers of each.
        batch_bytes = 4 * self.plan.batch_size * sum(self.module_.architecture.widths)
        block_size = self.plan.batch_size * max(1, _BLOCK_BYTES // batch_bytes)
        return Blocks(dataset, block_size, self.order_ if self.plan.shuffle else None)

    def run_single_epoch(
        self, iterator: Any, training: bool, prefix: str, step_fn: Any, **kwargs: Any
    ) -> None:
        if iterator is None:
            return
        try:
            if training:
                self._record_training(self._train_epoch(iterator))
            else:
                scores = self.validation_scores()
                self._record("valid_loss", -scores)
                self.history.record("valid_scores", scores.tolist())
        except KeyboardInterrupt:
            # skorch's own callbacks stop with this exception too, but never inside an epoch.
            self.history.record("interrupted", True)
            raise

    def _record_training(self, terms: dict[str, Tensor]) -> None:
        losses = sum(terms.values(), torch.zeros(()))
        self._record("train_loss", losses)
        self.history.record("train_losses", losses.tolist())
        for name, values in terms.items():
            self.history.record(f"train_{name}", values.mean().item())
        if not losses.isfinite().all():
            raise NonFiniteLossError(f"the loss is {losses.mean().item()}")
        self._record_noise()

    def _record_noise(self) -> None:
        stack = self.module_
        epochs = [member.family.kl_warmup for member in stack.members]
        self.history.record("warming_up", [stack.n_epochs < warmup for warmup in epochs])
        self.history.record("dropout_rates", stack.rates().mean(0).tolist())
        stack.n_epochs += 1

    def _record(self, name: str, values: Tensor) -> None:
        """Record the mean over the members, and whether it is the best so far."""
        value = values.mean().item()
        best = value < self.lowest_.get(name, math.inf)
        if best:
            self.lowest_[name] = value
        self.history.record(name, value)
        self.history.record(f"{name}_best", best)

    def _train_epoch(self, blocks: Blocks) -> dict[str, Tensor]:
        """Terms of the objective after one epoch, in nats per row: each ``(members,)``."""
        total = torch.zeros(len(self.module_.members), device=self.device, dtype=torch.float32)
        n_rows = 0
        # Weights have mean one: their sum is the number of rows.
        self.kl_factors_ = total.new_tensor(self.module_.kl_factors(len(blocks.rows)))
        # Adam sets the size of its steps itself.
        scale = self.criterion_.gradient_scale() if self.plan.solver == "sgd" else None
        self.gradient_scale_ = None if scale is None else self.flat_.by_member(scale)
        for x, y, weight in blocks:
            # What the steps return is looked at a block at a time: it spares each step that.
            raw = torch.cat([step["y_pred"] for step in self._train_block(x, y, weight)], 1)
            y, rows = y[:, : raw.shape[1]], raw.shape[1]
            weight = None if weight is None else weight[:, :rows]
            with torch.no_grad():
                losses = self.criterion_.loss(raw, y)
                total += (losses if weight is None else losses * weight).sum(1)
                self.criterion_.observe(raw, y, weight)
            n_rows += rows
        self.criterion_.epoch_end()
        return {
            "likelihood": total / n_rows,
            "kl": self._kl(),
            "penalty": self._penalty() / min(self.plan.batch_size, n_rows),
        }

    @torch.no_grad()
    def _kl(self) -> Tensor:
        return self.module_.kl() * self.kl_factors_

    def _train_block(self, x: Tensor, y: Tensor, weight: Tensor | None) -> Iterator[dict]:
        size = self.plan.batch_size
        if self.backprop_ is None:
            n_members = len(self.module_.members)
            parts = x.expand(n_members, -1, -1).split(size, 1)
            xs: Iterable[tuple] = zip(parts, repeat(None, len(parts)), strict=True)
        else:
            xs = self.backprop_.batches(x, size, self.noise_)
        ys = y.split(size, 1)
        weights = repeat(None, len(ys)) if weight is None else weight.split(size, 1)
        by_batch = self.module_.architecture.normalization == "batch"
        for (x_batch, noise), y_batch, weight_batch in zip(xs, ys, weights, strict=True):
            # A batch of one row has no batch statistics. It can only be the last of an epoch,
            # and the next epoch orders the rows anew.
            if by_batch and y_batch.shape[1] == 1:
                return
            batch = x_batch, y_batch, weight_batch, noise
            yield (
                self._notified_step(batch) if self.listeners_per_batch_ else self.train_step(batch)
            )

    def _notified_step(self, batch: tuple) -> dict:
        self.notify("on_batch_begin", batch=batch, training=True)
        step = self.train_step(batch)
        _, y, weight, _ = batch
        losses = self.criterion_.loss(step["y_pred"], y)
        loss = (losses if weight is None else losses * weight).mean()
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
        self._add_penalty_gradient(y.shape[1])
        if self.gradient_scale_ is not None:
            self.flat_.gradient.mul_(self.gradient_scale_)
        if self.listeners_per_batch_:
            named = list(self.get_all_learnable_params())
            self.notify("on_grad_computed", named_parameters=named, X=x, y=y, training=True)
        self.optimizer_.step()
        return {"y_pred": raw}

    def _gradients_by_autograd(self, x: Tensor, y: Tensor, weight: Tensor | None) -> Tensor:
        """Set the gradients and return the raw outputs."""
        self.flat_.gradient.zero_()
        raw = self.module_(x, self.noise_)
        losses = self.criterion_.loss(raw, y)
        # Members share no parameters: the gradient of their sum is each one's own.
        (losses if weight is None else losses * weight).mean(1).sum().backward()
        for linear in self.module_.linears:
            linear.add_kl_gradient(self.kl_factors_, self.noise_)
        return raw.detach()

    @torch.no_grad()
    def _add_penalty_gradient(self, n_rows: int) -> None:
        """Gradient of the elastic net, by hand: one pass over the flat parameters.

        As in scikit-learn's MLP, the penalty is divided by the rows of the batch.
        """
        plan, flat = self.plan, self.flat_
        if l2 := plan.alpha * (1 - plan.l1_ratio):
            flat.penalized_gradient.add_(flat.penalized, alpha=l2 / n_rows)
        if l1 := plan.alpha * plan.l1_ratio:
            flat.penalized_gradient.add_(flat.penalized.sign(), alpha=l1 / n_rows)

    @torch.no_grad()
    def _penalty(self) -> Tensor:
        """The elastic net of each member, before it is divided by rows: ``(members,)``."""
        weights = torch.cat([linear.weight.flatten(1) for linear in self.module_.linears], 1)
        l1, l2 = weights.abs().sum(1), weights.square().sum(1) / 2
        return self.plan.alpha * (self.plan.l1_ratio * l1 + (1 - self.plan.l1_ratio) * l2)

    @torch.no_grad()
    def validation_scores(self) -> Tensor:
        """Log predictive density of the validation rows, in nats per row: ``(members,)``.

        The draws are the first of those that predict, the same after every epoch: what moves
        is the network, not the noise.
        """
        rows, stack = self.validation, self.module_
        assert rows is not None, "asked for only where there is a validation part"
        plain = stack.draw(self.n_validation_draws) if self.n_validation_draws else stack.plain()
        totals = torch.zeros(plain.n_members, device=rows.x.device, dtype=torch.float32)
        for chunk, raws in evaluate(plain, rows.x):
            _, y, weight = rows[chunk]
            for member, raw in enumerate(raws):
                log_prob = mixture_log_prob(self.criterion_, {member: raw}, y)
                totals[member] += (log_prob if weight is None else log_prob * weight).sum()
        return totals / (len(rows) if rows.weight is None else rows.weight.sum())


def _listens_to_batches(callback: Callback) -> bool:
    hooks = ("on_batch_begin", "on_batch_end", "on_grad_computed")
    return any(getattr(type(callback), hook) is not getattr(Callback, hook) for hook in hooks)
