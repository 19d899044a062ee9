"""From a candidate and a fold to the network that is to be trained."""

from __future__ import annotations

import time
from dataclasses import fields, replace
from typing import Any, NamedTuple

import joblib
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from .._estimators.described import Described, describe
from .._estimators.fitting import Fitting, prepare
from .._estimators.mlp import DropoutMLP
from .._estimators.parameters import Parameters
from .._support.sklearn import check_method_params, safe_split
from .._training.jobs import Job
from .._training.rows import Rows

# Of the network's parameters those that do not change how data are checked and encoded.
_NEUTRAL = {field.name for field in fields(Parameters)} - {"input_encoding", "categorical_features"}


class Data(NamedTuple):
    """What a search was given to fit."""

    X: Any
    y: Any
    fit_params: dict[str, Any]


class Prepared(NamedTuple):
    """A candidate for one fold, ready but for the training of its network.

    Attributes
    ----------
    estimator : estimator
        With the candidate's parameters. Steps before the network are fitted.
    network : DropoutMLP
        The estimator itself, or its last step.
    fitting : Fitting
        What is to be trained.
    seconds : float
        That this took.
    """

    estimator: Any
    network: DropoutMLP
    fitting: Fitting
    seconds: float


class _Call(NamedTuple):
    """What the network's `fit` is called with."""

    X: Any
    y: Any
    fit_params: dict[str, Any]


def network_of(estimator: Any) -> DropoutMLP | None:
    """The network of ours that is the estimator or the last step of the pipeline."""
    last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    return last if isinstance(last, DropoutMLP) else None


class Preparation:
    """Candidates for the folds of one search.

    The steps before the network are fitted once for a fold and their own parameters, and rows
    that are the same for several candidates are checked and held once.

    Parameters
    ----------
    estimator : estimator
        That the search was given.
    data : Data
    splits : list of (train, test)
    """

    def __init__(self, estimator: Any, data: Data, splits: list) -> None:
        self.estimator, self.data, self.splits = estimator, data, splits
        self.fitted: dict[tuple, tuple[Pipeline, _Call]] = {}
        self.calls: dict[int, _Call] = {}
        self.described: dict[int, Described] = {}
        self.rows: dict[int, list[Rows]] = {}

    def __call__(self, parameters: dict[str, Any], split: int) -> Prepared | str:
        """A candidate for a fold, or the reason why it cannot be part of a stack."""
        start = time.perf_counter()
        estimator = clone(self.estimator).set_params(**clone(parameters, safe=False))
        network = network_of(estimator)
        if network is None:
            return "the estimator is neither a network of skdropout nor a Pipeline that ends in one"
        if network.callbacks:
            return "it has callbacks"
        call = self._call(estimator, network, parameters, split)
        described = self._described_for(network, call, parameters)
        fitting = prepare(network, described, cross_fit=False)
        # Lines of many networks at once would tell nobody anything; the search has a bar.
        quiet = tuple(pair for pair in fitting.job.callbacks if pair[0] != "epoch_line")
        job = replace(self._shared(fitting.job, split), callbacks=quiet, verbose=0)
        fitting = replace(fitting, job=job)
        # A family of the user's may fail here; then it is this candidate's fault alone.
        hash(job.stack_key())
        return Prepared(estimator, network, fitting, time.perf_counter() - start)

    def _described_for(
        self, network: DropoutMLP, call: _Call, parameters: dict[str, Any]
    ) -> Described:
        """What the network is to be fitted to, once for all candidates that see it alike."""
        alike = all(self._neutral(name) for name in parameters)
        if not alike:
            return describe(network, call.X, call.y, **call.fit_params)
        if id(call) not in self.described:
            self.described[id(call)] = describe(network, call.X, call.y, **call.fit_params)
        return self.described[id(call)]

    def _neutral(self, name: str) -> bool:
        """Whether the network checks and encodes what it is given as it would without a parameter.

        What it is given may change with the parameter, if it is one of an earlier step.
        """
        if isinstance(self.estimator, Pipeline):
            step, _, name = name.partition("__")
            if step not in {"steps", self.estimator.steps[-1][0]}:
                return True
        return name.partition("__")[0] in _NEUTRAL

    def _shared(self, job: Job, split: int) -> Job:
        """A job whose rows are those in memory already, if another candidate has them."""
        validation = job.validation
        if validation is not None:
            validation = tuple(self._shared_rows(rows, split) for rows in validation)
        return replace(job, rows=self._shared_rows(job.rows, split), validation=validation)

    def _shared_rows(self, rows: Rows, split: int) -> Rows:
        seen = self.rows.setdefault(split, [])
        for others in seen:
            if others is rows or others.same_as(rows):
                return others
        seen.append(rows)
        return rows

    def _call(
        self, estimator: Any, network: DropoutMLP, parameters: dict[str, Any], split: int
    ) -> _Call:
        train, _ = self.splits[split]
        if not isinstance(estimator, Pipeline):
            if split not in self.calls:
                X, y = safe_split(estimator, self.data.X, self.data.y, train)
                self.calls[split] = _Call(X, y, self._fit_params(train))
            return self.calls[split]
        key = split, self._hash_of_steps(estimator, parameters)
        if key not in self.fitted:
            X, y = safe_split(estimator, self.data.X, self.data.y, train)
            call = _recorded_call(estimator, network, X, y, self._fit_params(train))
            self.fitted[key] = estimator, call
        first, call = self.fitted[key]
        estimator.steps = [*first.steps[:-1], estimator.steps[-1]]
        return call

    def _fit_params(self, train: Any) -> dict[str, Any]:
        return check_method_params(self.data.X, params=self.data.fit_params, indices=train)

    @staticmethod
    def _hash_of_steps(pipeline: Pipeline, parameters: dict[str, Any]) -> Any:
        """What says that the steps before the network are the same for two candidates."""
        last = pipeline.steps[-1][0]
        steps = {name: value for name, value in parameters.items() if name.split("__")[0] != last}
        try:
            return joblib.hash(steps) if steps else None
        except Exception:  # Whatever cannot be pickled is like nothing else.
            return id(pipeline)


def _recorded_call(
    pipeline: Pipeline, network: DropoutMLP, X: Any, y: Any, fit_params: dict[str, Any]
) -> _Call:
    """Fit a pipeline but for its network; return what the network is to be fitted to.

    The pipeline's own `fit` does it, so that whatever it does with metadata and steps is done.
    """
    calls: list[_Call] = []

    def record(X: Any, y: Any = None, **fit_params: Any) -> DropoutMLP:
        calls.append(_Call(X, y, fit_params))
        return network

    network.__dict__["fit"] = record
    try:
        pipeline.fit(X, y, **fit_params)
    finally:
        del network.__dict__["fit"]
    return calls[0]
