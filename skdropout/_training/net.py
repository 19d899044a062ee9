"""Training of a stack through skorch: its hooks, its history, its pickles."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochTimer, PassthroughScoring
from skorch.utils import get_map_location
from torch import Tensor

from .._likelihoods.base import Likelihood
from .._networks.stack import Stack
from .._support.arrays import as_array, as_tensor
from .._support.members import select_members
from ..families import NoiseSource
from .leaving import Moving
from .optimizer import make_optimizer, nothing_to_optimize, work_on
from .parameters import FlatParameters, ParameterShapes
from .plan import Plan, common_plan
from .records import Recorder, select_history
from .rows import Rows
from .run import TrainingRun, planned_ratios
from .steps import Batch
from .window import window_size

# What there is only while a net is trained.
_IN_TRAINING = ("run_", "model_", "last_epoch_")


class NonFiniteLossError(ValueError):
    """The loss became NaN or infinite. The estimators add what the likely cause is."""


class DropoutNet(NeuralNet):
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

    A member may leave while the others train on: ``module_`` and ``criterion_`` are then those
    of the members in training; when training ends they are whole again.

    It differs from the stock class in five ways, each for speed: batches are slices of tensors
    in memory; the usual stack has its gradient written out (`Backprop`); the parameters are
    views of one flat tensor, so that the optimizer and the weight penalty are one operation
    each; losses stay tensors until the epoch is over; and callbacks are notified per batch only
    if one of them listens.

    Attributes
    ----------
    run_ : TrainingRun
        Only while it is trained.
    model_ : estimator
        Which predicts with this net, while it is trained by one.
    order_, noise_ : NoiseSource
        Random numbers for the order of the rows, and for the noise.
    step_ratios_ : ndarray of shape (members,)
        The step of each member, in steps of the optimizer.
    failures_ : dict of int to str
        Members whose loss became NaN or infinite, and what it was.
    n_epochs_ : ndarray of int of shape (members,)
        Epochs that each member was trained for.
    converged_ : ndarray of bool of shape (members,)
        Members that had nothing more to gain.
    """

    module_: Any
    criterion_: Any
    device: str
    model_: Any

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
    def plan(self) -> Plan:
        """The plan of the members, with the largest step size."""
        return common_plan(self.plans)

    @property
    def interrupted(self) -> bool:
        """Whether the user ended the latest training."""
        return bool(self.history) and self.history[-1].get("interrupted", False)

    # ---- hooks of skorch's loop --------------------------------------------------------------

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
        self.step_ratios_ = planned_ratios(self.plans)
        return self

    def initialize_optimizer(self, triggered_directly: None = None) -> DropoutNet:
        self.optimizer_ = make_optimizer(self.plan, [nothing_to_optimize(self.device)])
        return self

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        n_members = len(self.module_.members)
        self.failures_: dict[int, str] = {}
        self.converged_ = np.zeros(n_members, dtype=bool)
        # Copies and pickles do not keep views together, so they are laid anew each time.
        listens = any(listens_to_batches(callback) for _, callback in self.callbacks_)
        window = None if listens else window_size(self.module_, X, self.plan.batch_size)
        flat = (FlatParameters if window is None else ParameterShapes)(self.module_)
        moving = Moving(self.module_, self.criterion_, self.order_, self.noise_, flat)
        recorder = Recorder(self.history, n_members)
        self.run_ = TrainingRun(
            moving, self.optimizer_, self.plans, self.step_ratios_, X, recorder, window
        )
        if listens:
            self.run_.on_step, self.run_.on_gradient = self._notified_step, self._on_gradient

    def get_split_datasets(self, X: Rows, y: Any = None, **kwargs: Any) -> tuple:
        return X, self.validation

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        return self.run_.epochs.blocks if training else dataset

    def partial_fit(
        self, X: Rows, y: Any = None, classes: Any = None, **fit_params: Any
    ) -> DropoutNet:
        """Train for some epochs, as skorch's; afterwards the stack is whole again."""
        epochs = fit_params.get("epochs")
        self.last_epoch_ = len(self.history) + (self.max_epochs if epochs is None else epochs)
        super().partial_fit(X, y, classes=classes, **fit_params)
        self._work_on(self.run_.finish())
        work_on(self.optimizer_, nothing_to_optimize(self.device))
        for name in _IN_TRAINING:
            self.__dict__.pop(name, None)
        return self

    def run_single_epoch(
        self, iterator: Any, training: bool, prefix: str, step_fn: Any, **kwargs: Any
    ) -> None:
        if iterator is None:
            return
        try:
            if training:
                self._check_parameters()
                self._train_epoch()
            else:
                self.run_.validate(iterator, self.n_validation_draws)
        except KeyboardInterrupt:
            # skorch's own callbacks stop with this exception too, but never inside an epoch.
            self.history.record("interrupted", True)
            raise

    def _train_epoch(self) -> None:
        run = self.run_
        losses = run.train_epoch()
        if not np.isfinite(losses).any():
            raise NonFiniteLossError(f"the loss is {float(np.mean(losses, dtype=np.float32))}")
        for member, loss in zip(run.living.tolist(), losses, strict=True):
            if not np.isfinite(loss):
                self.failures_[member] = f"the loss is {loss}"
        self.n_epochs_[run.living] += 1

    def _check_parameters(self) -> None:
        if not all(values.requires_grad for values in self.module_.parameters()):
            raise ValueError(
                f"{type(self.model_).__name__}: a callback has frozen parameters "
                "(requires_grad=False), but the optimizer moves all of them as one vector"
            )

    def _notified_step(self, batch: Batch) -> Tensor:
        """A step of which callbacks hear."""
        told = batch.x, batch.y, batch.weight, batch.noise
        self.notify("on_batch_begin", batch=told, training=True)
        raw = self.run_.step(batch)
        losses = self.criterion_.loss(raw, batch.y)
        loss = (losses if batch.weight is None else losses * batch.weight).mean()
        self.history.record_batch("train_loss", loss.item())
        self.history.record_batch("train_batch_size", batch.y.shape[1])
        self.notify("on_batch_end", batch=told, training=True, loss=loss, y_pred=raw)
        return raw

    def _on_gradient(self, x: Tensor, y: Tensor) -> None:
        named = list(self.get_all_learnable_params())
        self.notify("on_grad_computed", named_parameters=named, X=x, y=y, training=True)

    # ---- members that leave ------------------------------------------------------------------

    def leave(self, leaving: np.ndarray) -> None:
        """Let members leave the stack between two epochs.

        Parameters
        ----------
        leaving : ndarray of bool of shape (members in training,)
            Not all of them.
        """
        self.run_.leave(leaving)
        self._work_on(self.run_.moving)

    def _work_on(self, moving: Moving) -> None:
        self.module_, self.criterion_ = moving.stack, moving.likelihood
        self.order_, self.noise_ = moving.order, moving.noise
        self.step_ratios_ = self.run_.ratios

    # ---- a share of an epoch -----------------------------------------------------------------

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

    def survivors(self, members: Sequence[int]) -> list[int]:
        """Those of some members whose loss stayed finite.

        Raises
        ------
        NonFiniteLossError
            If there are none.
        """
        finite = [member for member in members if member not in self.failures_]
        if not finite:
            raise NonFiniteLossError(self.failures_[members[0]])
        return finite

    def replaced(self, stack: Stack) -> DropoutNet:
        """A net with another stack and this training: its history, but a fresh optimizer."""
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


def listens_to_batches(callback: Callback) -> bool:
    """Whether a callback asks for batches, or what is recorded of them; it costs time."""
    hooks = ("on_batch_begin", "on_batch_end", "on_grad_computed")
    return isinstance(callback, PassthroughScoring) or any(
        getattr(type(callback), hook) is not getattr(Callback, hook) for hook in hooks
    )
