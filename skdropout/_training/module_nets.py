"""Several modules that are trained one after the other, as an estimator holds them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from .._modules.drawn import ModuleStack
from .._support.members import join_members
from .._support.threads import threads_for
from .module_net import ModuleNet
from .net import NonFiniteLossError
from .plan import Plan
from .rows import Rows


class ModuleNets:
    """The nets of several modules, as an estimator holds them.

    Parameters
    ----------
    nets : sequence of ModuleNet

    Attributes
    ----------
    module_ : ModuleStack
    criterion_ : Likelihood
        Of all members.
    failures_ : dict of int to str
        Members whose loss became NaN or infinite, and what it was.
    model_ : estimator
        Which predicts with a net in training, and has its `net_`.
    """

    def __init__(self, nets: Sequence[ModuleNet]) -> None:
        self.nets = list(nets)
        self.failures_: dict[int, str] = {}
        self.model_: Any = None
        self.update()

    def update(self) -> None:
        """Take note of what the nets are now."""
        self.module_ = ModuleStack([net.member for net in self.nets])
        self.criterion_: Any = join_members(
            [net.criterion_ if net.initialized_ else net.criterion for net in self.nets]
        )

    @property
    def plans(self) -> list[Plan]:
        """Of the members."""
        return [net.plan for net in self.nets]

    @property
    def device(self) -> Any:
        """Where they are."""
        return self.nets[0].device

    @property
    def initialized_(self) -> bool:
        """Whether they were trained before."""
        return self.nets[0].initialized_

    @property
    def interrupted(self) -> bool:
        """Whether the user ended the latest training."""
        return self.initialized_ and self.nets[-1].interrupted

    @property
    def converged_(self) -> np.ndarray:
        """Members that had nothing more to gain: ``(members,)``."""
        return np.concatenate([net.converged_ for net in self.nets])

    @property
    def callbacks_(self) -> list:
        """Of the last net."""
        return self.nets[-1].callbacks_

    @property
    def history(self) -> list[dict[str, Any]]:
        """Means over the members, epoch by epoch; who has stopped keeps its last one."""
        if not self.nets[0].initialized_:
            return []
        kept = [[e for e in net.history if "interrupted" not in e] for net in self.nets]
        kept = [epochs for epochs in kept if epochs]
        return [
            _mean_of([epochs[min(number, len(epochs) - 1)] for epochs in kept])
            for number in range(max(map(len, kept), default=0))
        ]

    def train(self, rows: Sequence[Rows], epochs: int, share: float = 1.0) -> None:
        """Train all members, one after the other.

        Parameters
        ----------
        rows : sequence of Rows, one per member
        epochs : int
            At most.
        share : float, default=1.0
            Below one: of a single epoch.
        """
        for number, (net, own) in enumerate(zip(self.nets, rows, strict=True)):
            try:
                self._train_one(net, own, epochs, share)
            except NonFiniteLossError as error:
                self.failures_[number] = str(error)
            if net.interrupted:
                # Nobody asked for networks that have seen nothing.
                self.nets = self.nets[: number + 1]
                break
        self.model_ = None
        self.update()

    def _train_one(self, net: ModuleNet, rows: Rows, epochs: int, share: float) -> None:
        # These contexts end here and are the thread's own.
        adds = 3 * net.layout.multiply_adds * net.plan.batch_size
        with torch.inference_mode(False), torch.enable_grad(), threads_for(adds):
            if not net.initialized_:
                net.initialize()
            rows, validation = rows.to(torch.device(net.device)), net.validation
            watched = [] if validation is None else [validation]
            net.criterion_.gaps = any(part.has_gaps for part in (rows, *watched))
            if validation is not None:
                net.validation = validation.to(torch.device(net.device))
            if self.model_ is not None:
                net.model_ = copy.copy(self.model_)
                net.model_.net_ = ModuleNets([net])
            try:
                if share < 1:
                    net.train_share(rows, share)
                else:
                    net.partial_fit(rows, None, epochs=epochs)
            finally:
                net.module_.eval()
                net.validation = None
                net.__dict__.pop("model_", None)

    def survivors(self, members: Sequence[int]) -> list[int]:
        """Those of some members whose loss stayed finite.

        Raises
        ------
        NonFiniteLossError
            If there are none.
        """
        there = [member for member in members if member < len(self.nets)]
        finite = [member for member in there if member not in self.failures_]
        if not finite:
            raise NonFiniteLossError(self.failures_[there[0]])
        return finite

    def select(self, members: Sequence[int]) -> ModuleNets:
        """Some of the members."""
        return ModuleNets([self.nets[member] for member in members])

    def __getstate__(self) -> dict[str, Any]:
        return {"nets": self.nets, "failures_": self.failures_}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.model_ = None
        self.update()


def _mean_of(epochs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The numbers of one epoch, as means over the members."""
    # A call of `partial_fit` watches nothing, and members may be at epochs of different calls.
    everywhere = set.intersection(*(set(epoch) for epoch in epochs))
    names = [
        name for name in epochs[0] if name in everywhere and isinstance(epochs[0][name], float)
    ]
    mean: dict[str, Any] = {name: float(np.mean([e[name] for e in epochs])) for name in names}
    mean["dropout_rates"] = np.mean([epoch["dropout_rates"] for epoch in epochs], 0).tolist()
    return mean
