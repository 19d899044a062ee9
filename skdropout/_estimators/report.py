"""What a trained net says of itself: fitted attributes, complaints, and why training failed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .._networks.stack import Stack
from .._support.compressed import held
from .._training.net import NonFiniteLossError
from .._training.rows import Rows


def fitted_attributes(net: Any) -> dict[str, Any]:
    """Attributes of an estimator that follow from the training of its net."""
    # An epoch that was interrupted has no record of its own.
    history = [epoch for epoch in net.history if "interrupted" not in epoch]
    losses = [epoch["train_loss"] for epoch in history]
    # A `partial_fit` that goes on after a `fit` watches nothing.
    scores = [-epoch["valid_loss"] for epoch in history if "valid_loss" in epoch] or None
    names = ("likelihood", "kl", "penalty")
    return {
        "net_": net,
        "n_iter_": len(history),
        "loss_curve_": losses,
        "loss_": losses[-1] if losses else None,
        "best_loss_": None if scores else min(losses, default=None),
        "validation_scores_": scores,
        "best_validation_score_": max(scores) if scores else None,
        "loss_terms_": {name: [epoch[f"train_{name}"] for epoch in history] for name in names},
        "dropout_rates_": net.module_.rates().mean(0),
        "dropout_rates_curve_": np.array([epoch["dropout_rates"] for epoch in history]),
    }


def sparsity(stack: Stack) -> dict[str, Any]:
    """Shares of the weights that the noise family has switched off."""
    sizes = np.array([linear.weight.numel() for linear in stack.linears])
    living = [linear.alive() for linear in stack.linears]
    off = np.array([0 if alive is None else int((~alive).sum()) for alive in living])
    return {"sparsity_per_layer_": off / sizes, "sparsity_": float(off.sum() / sizes.sum())}


def noise_complaints(stack: Stack) -> Iterator[str]:
    """What a user should hear of the noise of a stack."""
    for depth, linear in enumerate(stack.linears):
        if complaint := linear.complaint():
            place = f"the inputs of layer {depth + 1}" if depth else "the inputs"
            yield f"{place}: {complaint}"


def complaints(given: Any, net: Any, max_iter: int | None) -> Iterator[tuple[str, type[Warning]]]:
    """What a user should hear of a training, as sentences and kinds of warnings.

    Parameters
    ----------
    given : estimator
    net : DropoutNet or ModuleNets
    max_iter : int or None
        Epochs after which training should have ended by itself. None if that was not asked.
    """
    name = type(given).__name__
    for sentence in given._noise_complaints(net):
        yield f"{name}: {sentence}", UserWarning
    if max_iter is None:
        return
    if net.interrupted:
        kept = "best" if dict(net.callbacks_)["stopping"].keeps_best_ else "last"
        yield (
            f"{name}: training interrupted by the user in epoch {len(net.history)}; the {kept} "
            "weights so far are kept",
            UserWarning,
        )
    elif len(net.history) == max_iter and not net.converged_.all():
        yield (
            f"{name}: maximum iterations max_iter={max_iter} reached and the optimization has not "
            "converged yet",
            ConvergenceWarning,
        )


def divergence(given: Any, error: NonFiniteLossError, rows: Rows) -> ValueError:
    """The error for a training that diverged, with its likely cause."""
    largest = held(rows.x).abs().max().item()
    if largest > 1e3:
        cause = f"X reaches {largest:.3g} in absolute value; scale it (StandardScaler)"
    else:
        cause = (
            f"learning_rate_init={given.learning_rate_init} is too large for "
            f"solver={given.solver!r}; make it smaller"
        )
    return ValueError(
        f"{type(given).__name__}: training diverged, {error}. The likely cause: {cause}"
    )
