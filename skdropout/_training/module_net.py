"""Training of modules through skorch, one member after the other."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import EpochTimer
from torch import Tensor, nn

from .._likelihoods.base import Likelihood
from .._modules.drawn import ModuleMember, ModuleStack, Readout
from .._modules.interception import FreshNoise, Generators, Interception
from .._modules.layout import Layout, outputs_of, with_rates
from .net import NonFiniteLossError
from .optimizer import make_optimizer
from .plan import Plan
from .rows import Rows, part_sizes

# What there is only while a net is trained.
_IN_TRAINING = ("run_", "model_", "last_epoch_", "fresh_", "sums_")


class Batches:
    """Rows in batches, newly ordered in each epoch.

    Parameters
    ----------
    net : ModuleNet
    rows : Rows
    """

    def __init__(self, net: ModuleNet, rows: Rows) -> None:
        self.net, self.rows = net, rows

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        n_rows, plan = len(self.rows), self.net.plan
        order = torch.arange(n_rows)
        if plan.shuffle:
            seed = (self.net.member.seeds()[1], len(self.net.history))
            order = torch.from_numpy(np.random.default_rng(seed).permutation(n_rows))
        smallest = 2 if self.net.layout.of_batches else 1
        for part in order.split(part_sizes(n_rows, plan.batch_size, smallest)):
            yield self.rows[part.to(self.rows.x.device)]


class Run:
    """A module's training while it runs, as the stopping rules ask for it.

    Parameters
    ----------
    net : ModuleNet
    """

    window = None

    def __init__(self, net: ModuleNet) -> None:
        self.net, self.living = net, np.zeros(1, dtype=int)

    def reset_steps(self) -> None:
        """Give the steps the size of the plan."""
        for group in self.net.optimizer_.param_groups:
            group["lr"] = self.net.plan.learning_rate_init

    def slow_down(self, factors: np.ndarray) -> None:
        """Multiply the step size: ``(1,)``."""
        for group in self.net.optimizer_.param_groups:
            group["lr"] *= float(factors[0])

    def step_sizes(self) -> np.ndarray:
        """The step size: ``(1,)``."""
        return np.array([self.net.optimizer_.param_groups[0]["lr"]])


class ModuleNet(NeuralNet):
    """skorch's training loop over one module.

    Parameters
    ----------
    module : Module
    criterion : Likelihood
        Of one member.
    seed : int
        Everything random about the member follows from it.
    layout : Layout
    readout : Readout
    plan : Plan
    validation : Rows or None
        Whose log predictive density is recorded after each epoch.
    n_validation_draws : int
        Draws behind that density. 0 is the weight-scaling rule.
    **kwargs
        As for `skorch.NeuralNet`.
    """

    module_: Any
    criterion_: Any
    optimizer_: Any
    device: Any
    kls_: list[Any]

    def __init__(
        self,
        module: nn.Module,
        criterion: Likelihood,
        *,
        seed: int,
        layout: Layout,
        readout: Readout,
        plan: Plan,
        validation: Rows | None = None,
        n_validation_draws: int = 10,
        **kwargs: Any,
    ) -> None:
        self.seed, self.layout, self.readout, self.plan = seed, layout, readout, plan
        self.validation, self.n_validation_draws = validation, n_validation_draws
        super().__init__(module, criterion, train_split=None, **kwargs)

    @property
    def member(self) -> ModuleMember:
        """What predicts."""
        module = self.module_ if self.initialized_ else self.module
        return ModuleMember(self.seed, module, self.layout, self.readout)

    @property
    def plans(self) -> list[Plan]:
        """Of the one member."""
        return [self.plan]

    @property
    def interrupted(self) -> bool:
        """Whether the user ended the latest training."""
        return bool(self.history) and self.history[-1].get("interrupted", False)

    def _parts(self) -> list[nn.Module]:
        return list(self.member.module.modules())

    # ---- hooks of skorch's loop --------------------------------------------------------------

    @property
    def _default_callbacks(self) -> list:
        return [("epoch_timer", EpochTimer())]

    def initialize_optimizer(self, triggered_directly: None = None) -> ModuleNet:
        learning = [values for values in self.module_.parameters() if values.requires_grad]
        self.optimizer_ = make_optimizer(self.plan, learning)
        return self

    def get_split_datasets(self, X: Rows, y: Any = None, **kwargs: Any) -> tuple:
        return X, None if self.validation is None else [self.validation]

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        return Batches(self, dataset) if training else dataset

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        self.failures_: dict[int, str] = {}
        self.converged_ = np.zeros(1, dtype=bool)
        self.run_ = Run(self)
        self.kls_ = [part.kl for part in self._parts() if callable(getattr(part, "kl", None))]
        self.penalized_ = [
            values
            for values in self.module_.parameters()
            if values.requires_grad and values.ndim > 1
        ]

    def partial_fit(
        self, X: Rows, y: Any = None, classes: Any = None, **fit_params: Any
    ) -> ModuleNet:
        """Train for some epochs, as skorch's."""
        epochs = fit_params.get("epochs")
        self.last_epoch_ = len(self.history) + (self.max_epochs if epochs is None else epochs)
        super().partial_fit(X, y, classes=classes, **fit_params)
        self.module_.eval()
        few: Any = X.x[:2]
        self.layout = with_rates(self.layout, self.module_, few)
        for name in (*_IN_TRAINING, "kls_", "penalized_"):
            self.__dict__.pop(name, None)
        return self

    def run_single_epoch(
        self, iterator: Any, training: bool, prefix: str, step_fn: Any, **kwargs: Any
    ) -> None:
        if iterator is None:
            return
        try:
            if not training:
                self._validate(iterator[0])
                return
            generators = Generators(self.member.seeds()[2], len(self.history))
            self.fresh_ = FreshNoise(generators)
            self.sums_ = {"likelihood": 0.0, "kl": 0.0, "penalty": 0.0}
            self.n_rows_ = len(iterator.rows)
            scale = self.criterion_.gradient_scale()
            self.scale_ = None if scale is None else scale.clone()
            self.module_.train()
            super().run_single_epoch(iterator, training, prefix, step_fn, **kwargs)
            self.module_.eval()
            self._record_epoch()
        except KeyboardInterrupt:
            # skorch's own callbacks stop with this exception too, but never inside an epoch.
            self.history.record("interrupted", True)
            raise

    def train_step_single(self, batch: tuple, **fit_params: Any) -> dict[str, Any]:
        """Gradients of one batch."""
        x, y, weight = batch
        with Interception(self.fresh_, self.fresh_.generators):
            raw = self.module_(x.long() if self.layout.integers else x)
        raw, y = self.readout(outputs_of(raw, len(x))).unsqueeze(0), y.unsqueeze(0)
        factor = 1.0 if weight is None else weight
        likelihood = (self.criterion_.objective(raw, y)[0] * factor).mean()
        kl = sum((term() for term in self.kls_), likelihood.new_zeros(()))
        others: dict[str, Any] = {"kl": kl / self.n_rows_}
        others["penalty"] = self._penalty() / len(x)
        objective = likelihood + sum(others.values())
        (objective if self.scale_ is None else objective * self.scale_[0]).backward()
        with torch.no_grad():
            losses = self.criterion_.loss(raw, y)[0] * factor
            self.criterion_.observe(raw, y, None if weight is None else weight.unsqueeze(0))
            terms = {"likelihood": losses.mean(), **others}
            for name, value in terms.items():
                value = value.item() if isinstance(value, Tensor) else value
                self.sums_[name] += value * len(x) / self.n_rows_
        named = list(self.get_all_learnable_params())
        self.notify("on_grad_computed", named_parameters=named, X=x, y=y, training=True)
        return {"loss": sum(terms.values()).detach(), "y_pred": raw}

    def _penalty(self) -> Tensor | float:
        """The elastic net of the weights, before it is divided by rows; biases are free."""
        alpha, ratio = self.plan.alpha, self.plan.l1_ratio
        if not alpha:
            return 0.0
        penalty = sum(values.square().sum() for values in self.penalized_) * ((1 - ratio) / 2)
        if ratio:
            penalty = penalty + ratio * sum(values.abs().sum() for values in self.penalized_)
        return alpha * penalty

    def _record_epoch(self) -> None:
        self.criterion_.epoch_end()
        loss = sum(self.sums_.values())
        if not math.isfinite(loss):
            raise NonFiniteLossError(f"the loss is {loss}")
        self._record("train_loss", loss)
        self.history.record("train_losses", [loss])
        for name, value in self.sums_.items():
            self.history.record(f"train_{name}", value)
        n_sites = max(1, sum(site.on for site in self.layout.sites))
        self.history.record("dropout_rates", self.fresh_.rates[-n_sites:])
        self.history.record("warming_up", [False])

    def _validate(self, rows: Rows) -> None:
        self.module_.eval()
        with torch.no_grad():
            score = float(
                mean_log_prob(self.member, self.criterion_, rows, self.n_validation_draws)
            )
        self._record("valid_loss", -score)
        self.history.record("valid_scores", [score])

    def _record(self, name: str, value: float) -> None:
        before = [epoch[name] for epoch in self.history[:-1] if name in epoch]
        self.history.record(name, value)
        self.history.record(f"{name}_best", value < min(before, default=math.inf))

    # ---- a share of an epoch -----------------------------------------------------------------

    def train_share(self, rows: Rows, share: float) -> None:
        """Move everything that training moves by a share of what one epoch moves it.

        Parameters
        ----------
        rows : Rows
        share : float
            In (0, 1]. 1 is an epoch.
        """
        before = [values.clone() for values in self._moved()]
        self.partial_fit(rows, epochs=1)
        for start, after in zip(before, self._moved(), strict=True) if share < 1 else ():
            if after.is_floating_point():
                torch.lerp(start, after, share, out=after)

    def _moved(self) -> list[Tensor]:
        states = self.module_.state_dict(), self.criterion_.state_dict()
        return [values.detach() for state in states for values in state.values()]

    # ---- pickles -----------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        # skorch would store the module twice, and apart from what else holds it.
        state = {name: value for name, value in vars(self).items() if name not in _IN_TRAINING}
        for name in ("module", "criterion"):
            if state[name] is state.get(f"{name}_"):
                del state[name]
        if self.initialized_ and torch.device(self.device).type != "cpu":
            del state["optimizer_"]
            state["module_"] = copy.deepcopy(self.module_).cpu()
            state["criterion_"] = copy.deepcopy(self.criterion_).cpu()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if torch.device(self.device).type == "cuda" and not torch.cuda.is_available():
            self.device = "cpu"
        for name in ("module", "criterion"):
            if trained := state.get(f"{name}_"):
                self.__dict__.setdefault(name, trained.to(self.device))
        if self.initialized_ and "optimizer_" not in state:
            self.initialize_optimizer()


def mean_log_prob(member: ModuleMember, likelihood: Likelihood, rows: Rows, n_draws: int) -> Tensor:
    """Log predictive density of the mixture over some draws of a module, in nats per row.

    Parameters
    ----------
    member : ModuleMember
    likelihood : Likelihood
        Its own.
    rows : Rows
    n_draws : int
        0 is the weight-scaling rule.
    """
    stack = ModuleStack([member])
    drawn = stack.draw(n_draws) if n_draws and stack.noisy else stack.plain()
    total = torch.zeros((), device=rows.x.device)
    x: Any = rows.x
    for part, (raw,) in drawn.evaluate(x):
        y = rows.y[part].expand(len(raw), *rows.y[part].shape).flatten(0, 1)
        # To the likelihood, draws are more rows.
        losses = likelihood.loss(raw.flatten(0, 1).unsqueeze(0), y.unsqueeze(0)).view(raw.shape[:2])
        log_prob = losses.neg_().logsumexp(0) - math.log(len(raw))
        total += (log_prob if rows.weight is None else log_prob * rows.weight[part]).sum()
    return total / (len(rows) if rows.weight is None else rows.weight.sum())
