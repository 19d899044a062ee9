"""What the predictions of both estimators are made of: functions, and reductions over them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, validate_parameter_constraints
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from ._random import local_random_state, new_seed
from ._rounds import Rounds, needed_draws
from ._settings import Settings
from ._threads import threads_for
from .arrays import as_tensor
from .draws import evaluate
from .moments import propagate
from .network import Stack
from .plain import MomentStack, PlainStack
from .scratch import keep_freed_memory
from .training import DropoutNet
from .uncertainty import Uncertainty


class Prediction(Settings, BaseEstimator):
    """A fitted estimator as a fixed set of functions."""

    net_: DropoutNet

    def _check_x(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return validate_data(self, X, dtype=[np.float64, np.float32], reset=False)

    @abstractmethod
    def _with_error(self, raws: list[Tensor]) -> tuple[Uncertainty, Uncertainty]:
        """Variances of the rows of a chunk, and their standard errors over the draws.

        Parameters
        ----------
        raws : list of Tensor of shape (n_draws, rows, n_raw), one per member
        """

    @threads_for()
    def _reduce(
        self,
        X: np.ndarray,
        functions: PlainStack | MomentStack | Rounds,
        function: Callable[..., tuple],
        *rows: Any,
    ) -> tuple[np.ndarray, ...]:
        """Apply `function` to the raw outputs of each chunk of rows and join the results.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Its dtype is the one of the computation.
        functions : PlainStack, MomentStack or Rounds
            With rounds, each row leaves after one in which it is known well enough.
        function : callable
            Takes the raw outputs, one tensor ``(n_draws, rows, n_raw)`` or `GaussianOutputs` per
            member, and the chunk's part of each of `rows`. Returns arrays with rows first.
        *rows : arrays or tensors with one entry per row
        """
        keep_freed_memory()
        if isinstance(functions, Rounds):
            return self._reduce_in_rounds(X, functions, function, *rows)
        with torch.inference_mode():
            x = as_tensor(X).to(functions.layers[0].linear.weight.device)
            outputs: Iterator[tuple[slice, list[Any]]] = (
                propagate(functions, x)
                if isinstance(functions, MomentStack)
                else evaluate(functions, x)
            )
            chunks = [
                function(raws, *(values[chunk] for values in rows)) for chunk, raws in outputs
            ]
        return tuple(np.concatenate(parts) for parts in zip(*chunks, strict=True))

    def _reduce_in_rounds(
        self, X: np.ndarray, rounds: Rounds, function: Callable[..., tuple], *rows: Any
    ) -> tuple[np.ndarray, ...]:
        sizes = np.full(len(X), rounds.sizes[0])
        finished, results = [], []
        for size in rounds.sizes:
            pending = np.flatnonzero(sizes == size)
            if not len(pending):
                continue
            with torch.inference_mode():
                plain = rounds.stack.draw(size)
                x = as_tensor(X[pending]).to(plain.layers[0].linear.weight.device)
                for chunk, raws in evaluate(plain, x):
                    index = pending[chunk]
                    if size < rounds.sizes[-1]:
                        needed = needed_draws(*self._with_error(raws), size)
                        sizes[index] = rounds.next_round(size, needed)
                    done = np.flatnonzero(sizes[index] == size)
                    if not len(done):
                        continue
                    kept = torch.from_numpy(done).to(raws[0].device)
                    raws = [raw.index_select(1, kept) for raw in raws]
                    finished.append(index[done])
                    results.append(function(raws, *(values[index[done]] for values in rows)))
        order = np.argsort(np.concatenate(finished))
        return tuple(np.concatenate(parts)[order] for parts in zip(*results, strict=True))

    @threads_for()
    def _functions(self, uncertain: str | None = None) -> PlainStack | MomentStack | Rounds:
        """The plain networks that answer a prediction, or their moments.

        Parameters
        ----------
        uncertain : str, optional
            Name of the call that asks for uncertainty, which needs more than one function.
        """
        name, stack = type(self).__name__, self.net_.module_
        given = {"n_draws": self.n_draws, "inference": self.inference}
        allowed = {key: self._parameter_constraints[key] for key in given}
        validate_parameter_constraints(allowed, given, caller_name=name)
        if uncertain and len(stack.members) == 1:
            if not stack.noisy:
                raise ValueError(
                    f"{name}.{uncertain}: this model has no noise (dropout={self.dropout!r}, "
                    f"dropout_rate={self.dropout_rate!r}) and one member, so it cannot say how "
                    "sure it is; fit with dropout and a positive rate, or with n_members > 1"
                )
            if self.n_draws == 0 and self.inference == "draws":
                raise ValueError(
                    f"{name}.{uncertain}: n_draws=0 is the deterministic weight-scaling rule and "
                    "says nothing about uncertainty; set_params(n_draws=100) needs no refit"
                )
        with torch.inference_mode():
            if not stack.noisy or (self.n_draws == 0 and self.inference == "draws"):
                return stack.plain()
            if self.inference == "moments":
                return self._moments(stack)
            return Rounds(stack) if self.n_draws == "auto" else stack.draw(self.n_draws)

    def _check_error(self) -> None:
        """Raise if no standard error follows from the draws."""
        if self.inference == "moments":
            raise ValueError(
                f"{type(self).__name__}.predict_uncertainty: return_error=True is the error that "
                "comes from finitely many draws, and inference='moments' makes none; "
                "set_params(inference='draws') needs no refit"
            )
        if self.n_draws == 1 and self.net_.module_.noisy:
            raise ValueError(
                f"{type(self).__name__}.predict_uncertainty: return_error=True needs n_draws of at "
                "least 2, got n_draws=1; set_params(n_draws=100) needs no refit"
            )

    def _moments(self, stack: Stack) -> MomentStack:
        try:
            return stack.moments()
        except NotImplementedError as error:
            raise ValueError(
                f"{type(self).__name__}: {error}; the model has dropout={self.dropout!r}"
            ) from error

    @threads_for()
    def _sampled_functions(self, method: str, n_functions: int, random_state: Any) -> PlainStack:
        """Functions from the posterior, spread evenly over the members.

        Parameters
        ----------
        method : str
            Who asks.
        n_functions : int
        random_state : int, RandomState instance or None
            None gives the functions that predict.
        """
        validate_parameter_constraints(
            {"n_samples": [Interval(Integral, 1, None, closed="left")]},
            {"n_samples": n_functions},
            caller_name=f"{type(self).__name__}.{method}",
        )
        stack = self.net_.module_
        seeds = None
        if random_state is not None:
            rng = local_random_state(random_state)
            seeds = [new_seed(rng) for _ in stack.members]
        with torch.inference_mode():
            return stack.draw(-(-n_functions // len(stack.members)), seeds)


def in_turns(n_members: int, n_draws: int, n_functions: int) -> np.ndarray:
    """Indices of functions taken from all members in turn.

    Parameters
    ----------
    n_members, n_draws : int
        Draws are numbered through, a member's draws together.
    n_functions : int
        If there are fewer draws they are used again.

    Returns
    -------
    ndarray of shape (n_functions,)
    """
    draw, member = np.divmod(np.arange(n_functions), n_members)
    return member * n_draws + draw % n_draws
