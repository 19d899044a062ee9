"""Estimators that scikit-learn's search fits and scores, and that were trained before."""

from __future__ import annotations

from typing import Any

from sklearn.base import clone
from sklearn.pipeline import Pipeline

from .._training.jobs import TrainedStack, take_net
from .._training.net import DropoutNet, NonFiniteLossError
from ._candidates import Prepared


class Handover:
    """Stands in for an estimator's `fit`: takes the networks that were trained in stacks.

    Parameters
    ----------
    prepared : Prepared
    stack : TrainedStack
    number : int
        Of its job there.
    """

    def __init__(self, prepared: Prepared, stack: TrainedStack, number: int) -> None:
        self.estimator, self.network = prepared.estimator, prepared.network
        self.steps = getattr(self.estimator, "steps", None)
        self.fitting = prepared.fitting
        self.stack: TrainedStack | None = stack
        self.number = number
        self.net: DropoutNet | NonFiniteLossError | None = None

    def __call__(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        # From here on the estimator is as any other.
        del vars(self.estimator)["fit"]
        if isinstance(self.estimator, Pipeline):
            # The candidate's parameters may have replaced fitted steps by unfitted ones.
            self.estimator.steps = self.steps
        self.network._receive(self.fitting, self._handed())
        return self.estimator

    def _handed(self) -> DropoutNet | NonFiniteLossError | None:
        if self.stack is not None:
            self.net = take_net(self.stack, self.number)
            self.stack = None
        return self.net

    def __getstate__(self) -> dict:
        # Another process gets this network, not its stack, and rows only if it needs them.
        diverged = isinstance(self._handed(), NonFiniteLossError)
        network = self.network
        asked = network.calibrate or network.store_oof or network.distance_awareness > 0
        fitting = self.fitting.trained(with_rows=asked or diverged)
        return {**vars(self), "fitting": fitting}


class Dealer:
    """Answers when scikit-learn's search clones its estimator.

    The search makes one clone for each candidate and fold, in their order. It is dealt an
    estimator that is trained, if there is one, and otherwise one that is not.

    Parameters
    ----------
    estimator : estimator

    Attributes
    ----------
    hand : list of estimator or None
        What is still to be dealt; None stands for an untrained clone.
    searching : bool
        Whether candidates are being cloned. Before, a clone is one of the search's own.
    data : tuple
        X, y and parameters of the search's `fit`.
    seconds : list of float
        That each candidate and fold took before it was dealt.
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator
        self.hand: list[Any] = []
        self.searching = False
        self.data: Any = None
        self.seconds: list[float] = []

    def marked(self) -> Any:
        """A clone whose clones are dealt by this dealer."""
        marked = clone(self.estimator)
        vars(marked)["__sklearn_clone__"] = self
        return marked

    def __call__(self) -> Any:
        if not self.searching:
            return self.marked()
        dealt = self.hand.pop(0) if self.hand else None
        return clone(self.estimator) if dealt is None else dealt

    def __getstate__(self) -> dict:
        # Other processes get what was dealt, and nothing else.
        return {}
