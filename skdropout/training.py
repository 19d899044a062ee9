"""Training of a stack through skorch, with tensors in memory and one flat optimizer."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochTimer
from torch import Tensor

from .backprop import Backprop
from .draws import evaluate
from .elastic_net import ElasticNet
from .families import BlockNoise, NoiseSource, select_members
from .flat_parameters import FlatParameters
from .histories import means_by_member, select_history
from .leaving import Moving, mask_of
from .likelihood import Likelihood, mixture_log_prob
from .network import Stack
from .rows import Blocks, Rows

# Measured: from this size on the work per block no longer shows in the time of a step. A larger
# stack takes a block in parts of this size.
_BLOCK_BYTES = 2**21


class NonFiniteLossError(ValueError):
    """The loss became NaN or infinite. The estimators add what the likely cause is."""


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
    plans : sequence of Plan, one per member
    validation : sequence of Rows, one per member, or None
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
    ``by_member`` holds what `member_history` needs.

    A member may leave while the others train on (`leave`): it keeps what it has learned then and
    costs nothing more. ``module_`` and ``criterion_`` are those of the members in training; when
    training ends they are whole again. A member that has left keeps its last record.

    Attributes
    ----------
    living_ : ndarray of int
        The members in training.
    failures_ : dict of int to str
        Members whose loss became NaN or infinite, and what it was.
    n_epochs_ : ndarray of int of shape (members,)
        Epochs that each member was trained for.
    converged_ : ndarray of bool of shape (members,)
        Members that had nothing more to gain.
    """

    module_: Any
    criterion_: Any

    def __init__(
        self,
        module: Stack,
        criterion: Likelihood,
        *,
        plans: Sequence[Plan],
        validation: Sequence[Rows] | None = None,
        n_validation_draws: int = 10,
        **kwargs: Any,
    ) -> None:
        self.plans = plans
        self.validation = validation
        self.n_validation_draws = n_validation_draws
        super().__init__(module, criterion, train_split=None, **kwargs)

    @property
    def _default_callbacks(self) -> list:
        return [("epoch_timer", EpochTimer())]

    @property
    def plan(self) -> Plan:
        """The plan of the members, with the largest step size."""
        first = self.plans[0]
        return replace(first, learning_rate_init=max(p.learning_rate_init for p in self.plans))

    def initialize_module(self) -> DropoutNet:
        super().initialize_module()
        seeds = [member.seeds() for member in self.module_.members]
        device = torch.device(self.device)
        self.order_ = NoiseSource([seed[1] for seed in seeds], device)
        self.noise_ = NoiseSource([seed[2] for seed in seeds], device)
        self.n_epochs_ = np.zeros(len(seeds), dtype=int)
        # What the step of each member is in steps of the optimizer.
        self.step_ratios_ = np.array([plan.learning_rate_init for plan in self.plans])
        self.step_ratios_ /= self.plan.learning_rate_init
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
        n_members = len(self.module_.members)
        self.lowest_: dict[str, float] = {}
        self.living_ = np.arange(n_members)
        self.latest_: dict[str, list] = {}
        self.failures_: dict[int, str] = {}
        self.converged_ = np.zeros(n_members, dtype=bool)
        self.whole_: Moving | None = None
        # Copies and pickles do not keep views together, so they are laid anew each time.
        self._lay_out(FlatParameters(self.module_), None)
        callbacks = [callback for _, callback in self.callbacks_]
        self.listeners_per_batch_ = any(_listens_to_batches(callback) for callback in callbacks)

    def _lay_out(self, flat: FlatParameters, moments: dict | None) -> None:
        """Let the optimizer and everything that computes gradients work on these parameters."""
        (group,) = self.optimizer_.param_groups
        (before,) = group["params"]
        had = self.optimizer_.state.pop(before, None)
        if moments := had if moments is None else moments:
            self.optimizer_.state[flat.values] = moments
        group["params"] = [flat.values]
        self.flat_, stack = flat, self.module_
        self.backprop_ = Backprop(stack) if Backprop.supports(stack) else None
        plans = [self.plans[member] for member in self.living_.tolist()]
        alphas, l1_ratios = [plan.alpha for plan in plans], [plan.l1_ratio for plan in plans]
        self.elastic_net_ = ElasticNet(alphas, l1_ratios, flat)
        self._lay_out_steps()

    def _lay_out_steps(self) -> None:
        ratios = self.step_ratios_[self.living_]
        self.by_ratio_ = None
        if (ratios != 1).any():
            values = self.flat_.values.detach()
            self.by_ratio_ = self.flat_.by_member(values.new_tensor(ratios))

    def partial_fit(
        self, X: Rows, y: Any = None, classes: Any = None, **fit_params: Any
    ) -> DropoutNet:
        """Train for some epochs, as skorch's; afterwards the stack is whole again."""
        super().partial_fit(X, y, classes=classes, **fit_params)
        if self.whole_ is not None:
            self._hand_in(np.ones(len(self.living_), dtype=bool))
            self._work_on(self.whole_)
        del self.flat_, self.backprop_, self.elastic_net_, self.by_ratio_, self.blocks_, self.whole_
        return self

    # ---- members that leave ----------------------------------------------------------------

    def leave(self, leaving: np.ndarray) -> None:
        """Let members leave the stack between two epochs.

        Parameters
        ----------
        leaving : ndarray of bool of shape (members in training,)
            Not all of them.
        """
        if self.whole_ is None:
            self.whole_ = self._moving()
        else:
            self._hand_in(leaving)
        kept = torch.from_numpy(~leaving)
        few = self._moving().select(kept)
        self.living_ = self.living_[~leaving]
        self.blocks_.rows = self.blocks_.rows.select(kept)
        self._work_on(few)

    def _moving(self) -> Moving:
        moments = self.optimizer_.state[self.flat_.values]
        return Moving(
            self.module_, self.criterion_, self.order_, self.noise_, self.flat_, dict(moments)
        )

    def _work_on(self, moving: Moving) -> None:
        self.module_, self.criterion_ = moving.stack, moving.likelihood
        self.order_, self.noise_ = moving.order, moving.noise
        if self.blocks_.order is not None:
            self.blocks_.order = moving.order
        if len(moving.stack.members) == len(self.n_epochs_):
            self.living_ = np.arange(len(self.n_epochs_))
        self._lay_out(moving.flat, moving.moments)

    def _hand_in(self, leaving: np.ndarray) -> None:
        """Copy what members have learned to where the whole stack is."""
        assert self.whole_ is not None, "made when the first member left"
        own = mask_of(self.living_[leaving], len(self.n_epochs_))
        self.whole_.take(self._moving(), torch.from_numpy(leaving), own)

    def slow_down(self, factors: np.ndarray) -> None:
        """Multiply the step sizes of the members in training: ``(members in training,)``."""
        if (factors == factors[0]).all():
            (group,) = self.optimizer_.param_groups
            group["lr"] *= float(factors[0])
        else:
            self.step_ratios_[self.living_] *= factors
            self._lay_out_steps()

    def reset_steps(self) -> None:
        """Give all members the step sizes of their plans."""
        (group,) = self.optimizer_.param_groups
        group["lr"] = self.plan.learning_rate_init
        self.step_ratios_ = np.array([plan.learning_rate_init for plan in self.plans])
        self.step_ratios_ /= self.plan.learning_rate_init
        self._lay_out_steps()

    def step_sizes(self) -> np.ndarray:
        """Of the members in training."""
        (group,) = self.optimizer_.param_groups
        return group["lr"] * self.step_ratios_[self.living_]

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

    def select(self, members: list[int]) -> DropoutNet:
        """Some of the members after training, as if they had been trained without the others.

        The optimizer starts anew.
        """
        index = torch.as_tensor(members)
        n_epochs = int(self.n_epochs_[members].max())
        # skorch copies by pickling, which takes longer than everything else here.
        net = object.__new__(type(self))
        net.__dict__.update(self.__dict__)
        net.history_ = select_history(self.history, members, n_epochs)
        net.callbacks_ = copy.deepcopy(self.callbacks_)
        net.plans = [self.plans[member] for member in members]
        net.module = net.module_ = self.module_.select(index)
        net.module_.n_epochs = n_epochs
        net.criterion = net.criterion_ = select_members(self.criterion_, index)
        net.order_, net.noise_ = copy.deepcopy(
            (self.order_.select(members), self.noise_.select(members))
        )
        for name in ("n_epochs_", "step_ratios_", "converged_"):
            setattr(net, name, getattr(self, name)[members])
        net.step_ratios_ = net.step_ratios_ / net.step_ratios_.max()
        net.initialize_optimizer()
        return net

    def get_split_datasets(self, X: Rows, y: Any = None, **kwargs: Any) -> tuple:
        return X, self.validation

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        # The size of a block, noise included, does not depend on the number of members, so
        # neither do the random numbers of each.
        if not training:
            return dataset
        plan = self.plan
        self.batch_size_ = plan.batch_size
        self.batch_bytes_ = 4 * plan.batch_size * sum(self.module_.architecture.widths)
        block_size = plan.batch_size * max(1, _BLOCK_BYTES // self.batch_bytes_)
        self.blocks_ = Blocks(dataset, block_size, self.order_ if plan.shuffle else None)
        return self.blocks_

    def run_single_epoch(
        self, iterator: Any, training: bool, prefix: str, step_fn: Any, **kwargs: Any
    ) -> None:
        if iterator is None:
            return
        try:
            if training:
                self._record_training(self._train_epoch(iterator))
            else:
                scores = self._by_member("scores", self.validation_scores().tolist())
                self._record("valid_loss", [-score for score in scores])
                self.history.record("valid_scores", scores)
        except KeyboardInterrupt:
            # skorch's own callbacks stop with this exception too, but never inside an epoch.
            self.history.record("interrupted", True)
            raise

    def _record_training(self, terms: dict[str, Tensor]) -> None:
        losses = sum(terms.values(), torch.zeros(()))
        everyone = self._by_member("losses", losses.tolist())
        self._record("train_loss", everyone)
        self.history.record("train_losses", everyone)
        stack = self.module_
        by_member = {name: self._by_member(name, terms[name].tolist()) for name in terms}
        by_member["rates"] = self._by_member("rates", stack.rates().tolist())
        self.history.record("by_member", by_member)
        for name, value in means_by_member(by_member).items():
            self.history.record(name, value)
        finite = losses.isfinite().tolist()
        if not any(finite):
            raise NonFiniteLossError(f"the loss is {losses.mean().item()}")
        for member, loss, well in zip(self.living_.tolist(), losses.tolist(), finite, strict=True):
            if not well:
                self.failures_[member] = f"the loss is {loss}"
        warming_up = [stack.n_epochs < member.family.kl_warmup for member in stack.members]
        self.history.record("warming_up", self._by_member("warming_up", warming_up))
        stack.n_epochs += 1
        self.n_epochs_[self.living_] += 1

    def _by_member(self, name: str, values: list) -> list:
        """One value for every member of the whole stack: who has left keeps the last one."""
        if len(self.living_) < len(self.n_epochs_):
            latest = self.latest_[name].copy()
            for member, value in zip(self.living_.tolist(), values, strict=True):
                latest[member] = value
            values = latest
        self.latest_[name] = values
        return values

    def _record(self, name: str, values: list[float]) -> None:
        """Record the mean over the members, and whether it is the best so far."""
        value = float(np.mean(values))
        best = value < self.lowest_.get(name, math.inf)
        if best:
            self.lowest_[name] = value
        self.history.record(name, value)
        self.history.record(f"{name}_best", best)

    def _train_epoch(self, blocks: Blocks) -> dict[str, Tensor]:
        """Terms of the objective after one epoch, in nats per row: each ``(members,)``."""
        total = torch.zeros(len(self.module_.members), device=self.device, dtype=torch.float32)
        n_rows = 0
        rows = blocks.rows
        # Weights have mean one: their sum is the number of rows.
        self.kl_factors_ = total.new_tensor(self.module_.kl_factors(len(rows)))
        scale = self.criterion_.gradient_scale()
        self.gradient_scale_ = None if scale is None else self.flat_.by_member(scale)
        for index in blocks:
            y, weight = rows.y[index], None if rows.weight is None else rows.weight[index]
            # What the steps return is looked at a block at a time: it spares each step that.
            steps = self._train_block(rows.x, index, y, weight)
            raw = torch.cat([step["y_pred"] for step in steps], 1)
            y, n_block = y[:, : raw.shape[1]], raw.shape[1]
            weight = None if weight is None else weight[:, :n_block]
            with torch.no_grad():
                losses = self.criterion_.loss(raw, y)
                total += (losses if weight is None else losses * weight).sum(1)
                self.criterion_.observe(raw, y, weight)
            n_rows += n_block
        self.criterion_.epoch_end()
        penalty = self.elastic_net_.value(self.module_)
        return {
            "likelihood": total / n_rows,
            "kl": self._kl(),
            "penalty": penalty / min(self.batch_size_, n_rows),
        }

    @torch.no_grad()
    def _kl(self) -> Tensor:
        return self.module_.kl() * self.kl_factors_

    def _train_block(
        self, x: Tensor, index: Tensor, y: Tensor, weight: Tensor | None
    ) -> Iterator[dict]:
        size = self.batch_size_
        ys = y.split(size, 1)
        weights = repeat(None, len(ys)) if weight is None else weight.split(size, 1)
        by_batch = self.module_.architecture.normalization == "batch"
        xs = self._batches(x, index)
        for (x_batch, noise), y_batch, weight_batch in zip(xs, ys, weights, strict=True):
            # A batch of one row has no batch statistics. It can only be the last of an epoch,
            # and the next epoch orders the rows anew.
            if by_batch and y_batch.shape[1] == 1:
                return
            batch = x_batch, y_batch, weight_batch, noise
            yield (
                self._notified_step(batch) if self.listeners_per_batch_ else self.train_step(batch)
            )

    def _batches(self, x: Tensor, index: Tensor) -> Iterable[tuple]:
        """Batches of a block with their noise, if the noise is made for many at once."""
        size, n_members = self.batch_size_, len(self.module_.members)
        if self.backprop_ is None:
            parts = _take(x, index).expand(n_members, -1, -1).split(size, 1)
            return zip(parts, repeat(None, len(parts)), strict=True)
        part = size * max(1, _BLOCK_BYTES // (self.batch_bytes_ * n_members))
        if part >= index.shape[1]:
            return self.backprop_.batches(_take(x, index), size, self.noise_)
        return self._batches_in_parts(self.backprop_, x, index, part)

    def _batches_in_parts(
        self, backprop: Backprop, x: Tensor, index: Tensor, size: int
    ) -> Iterator[tuple]:
        noise = BlockNoise(self.noise_, index.shape[1])
        for part in index.split(size, 1):
            yield from backprop.batches(_take(x, part), self.batch_size_, noise)
            noise.advance(part.shape[1])

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
        self.elastic_net_.add_gradient(y.shape[1])
        if self.gradient_scale_ is not None:
            self.flat_.gradient.mul_(self.gradient_scale_)
        if self.listeners_per_batch_:
            named = list(self.get_all_learnable_params())
            self.notify("on_grad_computed", named_parameters=named, X=x, y=y, training=True)
        if self.by_ratio_ is None:
            self.optimizer_.step()
        else:
            values = self.flat_.values.detach()
            before = values.clone()
            self.optimizer_.step()
            # A step is proportional to its size, in Adam and in gradient descent.
            torch.lerp(before, values, self.by_ratio_, out=values)
        return {"y_pred": raw}

    def _gradients_by_autograd(self, x: Tensor, y: Tensor, weight: Tensor | None) -> Tensor:
        """Set the gradients and return the raw outputs."""
        self.flat_.gradient.zero_()
        raw = self.module_(x, self.noise_)
        losses = self.criterion_.objective(raw, y)
        # Members share no parameters: the gradient of their sum is each one's own.
        (losses if weight is None else losses * weight).mean(1).sum().backward()
        for linear in self.module_.linears:
            linear.add_kl_gradient(self.kl_factors_, self.noise_)
        return raw.detach()

    @torch.no_grad()
    def validation_scores(self) -> Tensor:
        """Log predictive density of the validation rows, in nats per row: ``(members,)``.

        The draws are the first of those that predict, the same after every epoch: what moves
        is the network, not the noise.
        """
        stack = self.module_
        plain = stack.draw(self.n_validation_draws) if self.n_validation_draws else stack.plain()
        scores = torch.zeros(plain.n_members, device=self.device, dtype=torch.float32)
        for rows, members in self._validation_parts():
            for chunk, raws in evaluate(plain, rows.x, members):
                _, y, weight = rows[chunk]
                for member, raw in zip(members, raws, strict=True):
                    log_prob = mixture_log_prob(self.criterion_, {member: raw}, y)
                    scores[member] += (log_prob if weight is None else log_prob * weight).sum()
            scores[members] /= len(rows) if rows.weight is None else rows.weight.sum()
        return scores

    def _validation_parts(self) -> list[tuple[Rows, list[int]]]:
        """Rows, and which of the members in training are scored by them."""
        given = self.validation
        assert given is not None, "asked for only where there is a validation part"
        parts: dict[int, tuple[Rows, list[int]]] = {}
        for position, member in enumerate(self.living_.tolist()):
            rows = given[member]
            parts.setdefault(id(rows), (rows, []))[1].append(position)
        return list(parts.values())


def _take(x: Tensor, index: Tensor) -> Tensor:
    """``x[index]`` for an index of two dimensions, several times faster."""
    return x.index_select(0, index.flatten()).view(*index.shape, -1)


def _listens_to_batches(callback: Callback) -> bool:
    hooks = ("on_batch_begin", "on_batch_end", "on_grad_computed")
    return any(getattr(type(callback), hook) is not getattr(Callback, hook) for hook in hooks)
