"""Estimators that scikit-learn's search fits and scores, and that were trained before."""

from __future__ import annotations

from typing import Any

from sklearn.base import clone
from sklearn.pipeline import Pipeline

from ..stacking import TrainedStack
from ..training import DropoutNet, NonFiniteLossError
from ._candidates import Prepared


class Take:
    """Stands in for an estimator's `fit`: takes the network that was trained in a stack.

    Parameters
    ----------
    prepared : Prepared
    stack : TrainedStack
    number : int
        Of the job in the stack.
    """

    def __init__(self, prepared: Prepared, stack: TrainedStack, number: int) -> None:
        self.estimator, self.network, job, _ = prepared
        self.steps = getattr(self.estimator, "steps", None)
        self.n_rows, self.rows = len(job.rows), job.rows
        self.stack, self.number = stack, number

    def __call__(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        # From here on the estimator is as any other.
        del vars(self.estimator)["fit"]
        if isinstance(self.estimator, Pipeline):
            # The candidate's parameters may have replaced fitted steps by unfitted ones.
            self.estimator.steps = self.steps
        outcome = self.outcome()
        if isinstance(outcome, str):
            raise ValueError(outcome)
        self.network._accept(outcome, self.n_rows)
        self.network._warn_if_unfinished(outcome)
        return self.estimator

    def outcome(self) -> DropoutNet | str:
        """The network alone, or why there is none."""
        if isinstance(self.stack, TrainedStack):
            try:
                return self.stack[self.number]
            except NonFiniteLossError as error:
                return self.network._divergence(error, self.rows)
        return self.stack

    def __getstate__(self) -> dict:
        # Another process gets this network, not the stack and the rows.
        return {**vars(self), "stack": self.outcome(), "rows": None}


class Dealer:
    """Answers when scikit-learn's search clones its estimator.

    The search makes one clone for each candidate and fold, in their order. It is dealt an
    estimator that is trained, if there is one, and otherwise one that is not.

    Parameters
    ----------
    estimator : estimator
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator
        self.hand: list[Prepared | None] = []
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
