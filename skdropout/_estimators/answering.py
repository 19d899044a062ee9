"""Which functions answer what a fitted estimator is asked."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .._inference.functions import Draws, Functions, Moments, Rounds
from .._predictive.needed_draws import draws_of_each, fixed_draws
from .._support.random import local_random_state, new_seed
from .._support.sklearn import Interval, validate_parameter_constraints
from .._support.threads import threads_for

if TYPE_CHECKING:
    from .base import DropoutEstimator


@threads_for()
def functions_of(estimator: DropoutEstimator, uncertain: str | None = None) -> Functions:
    """What answers a prediction.

    Parameters
    ----------
    estimator : DropoutEstimator
        Fitted.
    uncertain : str, optional
        Name of the call that asks for uncertainty, which needs more than one function.
    """
    stack = estimator.net_.module_
    given = {"n_draws": estimator.n_draws, "inference": estimator.inference}
    allowed = {key: estimator._parameter_constraints[key] for key in given}
    validate_parameter_constraints(allowed, given, caller_name=type(estimator).__name__)
    if uncertain and len(stack.members) == 1:
        estimator._check_noise(uncertain)
        _check_uncertain(estimator, uncertain)
    with torch.inference_mode():
        process = estimator._process
        if not _drawn(estimator) or (estimator.n_draws == 0 and estimator.inference == "draws"):
            return Draws(stack.plain())
        if estimator.inference == "moments":
            return Moments(_moments(estimator), process)
        if estimator.n_draws == "auto":
            return Rounds(stack, estimator._with_error, process)
        return Draws.of(stack, process, draws_of_each(int(estimator.n_draws), len(stack.members)))


def _drawn(estimator: DropoutEstimator) -> bool:
    """Whether draws of a member differ."""
    return bool(estimator.net_.module_.noisy) or estimator._process is not None


def _check_uncertain(estimator: Any, method: str) -> None:
    """Raise if a single network would be all that answers."""
    name = type(estimator).__name__
    if not _drawn(estimator):
        raise ValueError(
            f"{name}.{method}: this model has no noise (dropout={estimator.dropout!r}, "
            f"dropout_rate={estimator.dropout_rate!r}) and one member, so it cannot say how "
            "sure it is; fit with dropout and a positive rate, or with n_members > 1"
        )
    if estimator.n_draws == 0 and estimator.inference == "draws":
        raise ValueError(
            f"{name}.{method}: n_draws=0 is the deterministic weight-scaling rule and "
            "says nothing about uncertainty; set_params(n_draws=100) needs no refit"
        )


def check_error(estimator: DropoutEstimator) -> None:
    """Raise if no standard error follows from the draws."""
    if estimator.inference == "moments":
        raise ValueError(
            f"{type(estimator).__name__}.predict_uncertainty: return_error=True is the error that "
            "comes from finitely many draws, and inference='moments' makes none; "
            "set_params(inference='draws') needs no refit"
        )
    n_members, n_draws = len(estimator.net_.module_.members), fixed_draws(estimator.n_draws)
    if _drawn(estimator) and n_draws and draws_of_each(n_draws, n_members) < 2:
        raise ValueError(
            f"{type(estimator).__name__}.predict_uncertainty: return_error=True needs two draws of "
            f"each network and the model has {n_members}, got n_draws={n_draws}; "
            "set_params(n_draws=100) needs no refit"
        )


def _moments(estimator: DropoutEstimator) -> Any:
    try:
        return estimator._target.moments(estimator.net_.module_)
    except NotImplementedError as error:
        raise ValueError(
            f"{type(estimator).__name__}: {error}; the model has dropout={estimator.dropout!r}"
        ) from error


@threads_for()
def sampled_functions(
    estimator: DropoutEstimator, method: str, n_functions: int, random_state: Any
) -> tuple[Draws, np.ndarray]:
    """Functions from the posterior, and which of them to take so that all members take turns.

    Parameters
    ----------
    estimator : DropoutEstimator
        Fitted.
    method : str
        Who asks.
    n_functions : int
    random_state : int, RandomState instance or None
        None gives the functions that predict.
    """
    validate_parameter_constraints(
        {"n_samples": [Interval(Integral, 1, None, closed="left")]},
        {"n_samples": n_functions},
        caller_name=f"{type(estimator).__name__}.{method}",
    )
    stack = estimator.net_.module_
    n_members, seeds = len(stack.members), None
    if random_state is not None:
        rng = local_random_state(random_state)
        seeds = [new_seed(rng) for _ in stack.members]
    with torch.inference_mode():
        each = draws_of_each(n_functions, n_members)
        draws = Draws.of(stack, estimator._process, each, seeds)
    draw, member = np.divmod(np.arange(n_functions), n_members)
    return draws, member * draws.n_draws + draw % draws.n_draws
