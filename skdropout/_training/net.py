"""Training of a stack through skorch: who takes part, what is recorded, what is validated."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import EpochTimer
from skorch.utils import get_map_location
from torch import Tensor

from .._likelihoods.base import Likelihood
from .._networks.stack import Stack
from .._support.arrays import as_array, as_tensor
from .._support.members import select_members
from ..families import NoiseSource
from .epoch import Plan, SteppingNet, listens_to_batches, nothing_to_optimize
from .leaving import Moving, mask_of
from .parameters import FlatParameters
from .records import means_by_member, select_history
from .rows import Rows, join_rows
from .validation import member_scores

# What there is only while a net is trained.
_IN_TRAINING = (
    *("flat_", "backprop_", "elastic_net_", "by_ratio_", "blocks_", "whole_"),
    *("latest_", "counting_", "kl_factors_", "gradient_scale_", "last_epoch_", "model_"),
)


class NonFiniteLossError(ValueError):
    """The loss became NaN or infinite. The estimators add what the likely cause is."""


class DropoutNet(SteppingNet):
    """skorch's training loop over a stack.

    Parameters
    ----------
    module : Stack
    criterion : Likelihood
    plans : sequence of Plan, one per member
    validation : sequence of Rows, one per member, or None
        Rows whose log predictive density is recorded after each epoch.
    n_validation_draws : int
        Draws behind that density. 0 is the weight-scaling rule.
    lengths : sequence of int, one per member, or None
        Rows that each is trained on, if not all on as many: they read random numbers apart.
    **kwargs
        As for `skorch.NeuralNet`.

    Notes
    -----
    The history holds ``train_loss`` and ``valid_loss`` (means over the members, as skorch's
    callbacks expect), and per member ``train_losses`` and ``valid_scores``, in nats per row. The
    loss is the sum of ``train_likelihood`` (negative log-likelihood), ``train_kl`` and
    ``train_penalty``; ``warming_up`` says of each member whether its KL is still growing.
    ``by_member`` holds what `select_history` needs.

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

    def __init__(
        self,
        module: Stack,
        criterion: Likelihood,
        *,
        plans: Sequence[Plan],
        validation: Sequence[Rows] | None = None,
        n_validation_draws: int = 10,
        lengths: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        self.plans = plans
        self.validation = validation
        self.n_validation_draws = n_validation_draws
        self.lengths = lengths
        super().__init__(module, criterion, train_split=None, **kwargs)

    @property
    def _default_callbacks(self) -> list:
        return [("epoch_timer", EpochTimer())]

    def initialize_module(self) -> DropoutNet:
        super().initialize_module()
        seeds = [member.seeds() for member in self.module_.members]
        device = torch.device(self.device)
        self.order_ = NoiseSource([seed[1] for seed in seeds], device, self.lengths)
        self.noise_ = NoiseSource([seed[2] for seed in seeds], device, self.lengths)
        self.n_epochs_ = np.zeros(len(seeds), dtype=int)
        self.step_ratios_ = self.planned_step_ratios()
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
        self.listeners_per_batch_ = any(listens_to_batches(callback) for callback in callbacks)

    def partial_fit(
        self, X: Rows, y: Any = None, classes: Any = None, **fit_params: Any
    ) -> DropoutNet:
        """Train for some epochs, as skorch's; afterwards the stack is whole again."""
        epochs = fit_params.get("epochs")
        self.last_epoch_ = len(self.history) + (self.max_epochs if epochs is None else epochs)
        super().partial_fit(X, y, classes=classes, **fit_params)
        if self.whole_ is not None:
            self._hand_in(np.ones(len(self.living_), dtype=bool))
            self._work_on(self.whole_)
        self._put_away()
        return self

    def train_share(self, rows: Rows, share: float) -> DropoutNet:
        """Move everything that training moves by a share of what one epoch moves it.

        Parameters
        ----------
        rows : Rows
        share : float
            In (0, 1]. 1 is an epoch.
        """
        before = {name: values.clone() for name, values in self._moved().items()}
        self.partial_fit(rows, epochs=1)
        if share < 1:
            for name, after in self._moved().items():
                # The optimizer has no memory before its first step.
                start = before.get(name)
                torch.lerp(
                    torch.zeros_like(after) if start is None else start, after, share, out=after
                )
        return self

    def _moved(self) -> dict[str, Tensor]:
        """Parameters, what is set beside them, and the optimizer's memory, by name."""
        (memory,) = self.optimizer_.state.values() or ({},)
        parts: tuple[Any, ...] = (self.module_.state_dict(), self.criterion_.state_dict(), memory)
        return {
            f"{number}.{name}": values
            for number, part in enumerate(parts)
            for name, values in part.items()
            if isinstance(values, Tensor) and values.is_floating_point()
        }

    def _put_away(self) -> None:
        """Keep nothing that only training needs."""
        self.flat_.give_back(self.module_)
        self._optimize(nothing_to_optimize(self.device))
        for name in _IN_TRAINING:
            self.__dict__.pop(name, None)

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
        state = self.optimizer_.state[self.flat_.values]
        return Moving(
            self.module_, self.criterion_, self.order_, self.noise_, self.flat_, dict(state)
        )

    def _work_on(self, moving: Moving) -> None:
        self.module_, self.criterion_ = moving.stack, moving.likelihood
        self.order_, self.noise_ = moving.order, moving.noise
        if self.blocks_.order is not None:
            self.blocks_.order = moving.order
        if len(moving.stack.members) == len(self.n_epochs_):
            self.living_ = np.arange(len(self.n_epochs_))
        self._lay_out(moving.flat, moving.optimizer_state)

    def _hand_in(self, leaving: np.ndarray) -> None:
        """Copy what members have learned to where the whole stack is."""
        assert self.whole_ is not None, "made when the first member left"
        own = mask_of(self.living_[leaving], len(self.n_epochs_))
        self.whole_.take(self._moving(), torch.from_numpy(leaving), own)

    # ---- pickles -----------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        # skorch stores module and criterion twice, and all tensors as torch does.
        state = {name: value for name, value in vars(self).items() if name not in _IN_TRAINING}
        for name in ("module", "criterion"):
            if state[name] is state.get(f"{name}_"):
                del state[name]
        if optimizer := state.pop("optimizer_", None):
            (group,) = optimizer.param_groups
            (values,) = group["params"]
            moments = optimizer.state.get(values, {})
            state["optimizer_"] = (
                {name: value for name, value in group.items() if name != "params"},
                {name: as_array(v) if isinstance(v, Tensor) else v for name, v in moments.items()},
            )
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        saved = state.pop("optimizer_", None)
        self.__dict__.update(state)
        self.device = self._check_device(self.device, get_map_location(self.device))
        for name in ("module", "criterion"):
            if trained := state.get(f"{name}_"):
                self.__dict__.setdefault(name, trained.to(self.device))
        if saved is not None:
            self.initialize_optimizer()
            (group,), moments = self.optimizer_.param_groups, self.optimizer_.state
            group.update(saved[0])
            if saved[1]:
                moments[group["params"][0]] = {
                    name: as_tensor(v).to(self.device) if isinstance(v, np.ndarray) else v
                    for name, v in saved[1].items()
                }

    # ---- members after training --------------------------------------------------------------

    def replaced(self, stack: Stack) -> DropoutNet:
        """The same training with another stack: history and all, but a fresh optimizer."""
        net = copy.copy(self)
        net.history = copy.deepcopy(self.history)
        net.callbacks_ = copy.deepcopy(self.callbacks_)
        net.module = net.module_ = stack
        net.criterion = net.criterion_ = copy.deepcopy(self.criterion_)
        net.order_, net.noise_ = self.order_.copy(), self.noise_.copy()
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
        net.callbacks_ = copy.deepcopy(self.callbacks_)
        net.plans = [self.plans[member] for member in members]
        net.lengths = None if self.lengths is None else [self.lengths[m] for m in members]
        net.module = net.module_ = self.module_.select(index)
        net.module_.n_epochs = n_epochs
        net.history_ = select_history(self.history, members, n_epochs, net.module_.noisy)
        net.criterion = net.criterion_ = select_members(self.criterion_, index)
        net.order_ = self.order_.select(members).copy()
        net.noise_ = self.noise_.select(members).copy()
        for name in ("n_epochs_", "step_ratios_", "converged_"):
            setattr(net, name, getattr(self, name)[members])
        net.step_ratios_ = net.step_ratios_ / net.step_ratios_.max()
        net.initialize_optimizer()
        return net

    @property
    def interrupted(self) -> bool:
        """Whether the user ended the latest training."""
        return bool(self.history) and self.history[-1].get("interrupted", False)

    # ---- what an epoch leaves in the history -------------------------------------------------

    def get_split_datasets(self, X: Rows, y: Any = None, **kwargs: Any) -> tuple:
        return X, self.validation

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

    @torch.no_grad()
    def validation_scores(self) -> Tensor:
        """Log predictive density of the validation rows, in nats per row: ``(members,)``.

        The draws are the first of those that predict, the same after every epoch: what moves
        is the network, not the noise.
        """
        given, stack = self.validation, self.module_
        assert given is not None, "asked for only where there is a validation part"
        plain = stack.draw(self.n_validation_draws) if self.n_validation_draws else stack.plain()
        rows = join_rows([given[member] for member in self.living_.tolist()])
        return member_scores(plain, self.criterion_, rows.to(torch.device(self.device)))
