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
    trained : list of (TrainedStack, int)
        For each of its jobs the stack and the number there.
    """

    def __init__(self, prepared: Prepared, trained: list[tuple[TrainedStack, int]]) -> None:
        self.estimator, self.network = prepared.estimator, prepared.network
        self.steps = getattr(self.estimator, "steps", None)
        self.fitting = prepared.fitting
        self.trained: list[tuple[TrainedStack, int]] | None = trained
        self.nets: list[DropoutNet | NonFiniteLossError] = []

    def __call__(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        # From here on the estimator is as any other.
        del vars(self.estimator)["fit"]
        if isinstance(self.estimator, Pipeline):
            # The candidate's parameters may have replaced fitted steps by unfitted ones.
            self.estimator.steps = self.steps
        net, *others = self._handed()
        self.network._receive(self.fitting, net, others)
        return self.estimator

    def _handed(self) -> list[DropoutNet | NonFiniteLossError]:
        if self.trained is not None:
            self.nets = [take_net(stack, number) for stack, number in self.trained]
            self.trained = None
        return self.nets

    def __getstate__(self) -> dict:
        # Another process gets these networks, not their stacks, and rows only if it needs them.
        well = not any(isinstance(net, NonFiniteLossError) for net in self._handed())
        fitting = self.fitting.trained(with_rows=self.network.calibrate or not well)
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
