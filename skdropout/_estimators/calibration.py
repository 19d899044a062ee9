"""Calibration as a part of a fit: networks that are trained for it, and what it chose."""

from __future__ import annotations

from typing import Any

import torch

from .._predictive.needed_draws import fixed_draws
from .._support.caller_warnings import warn
from .._training.jobs import train_jobs
from .._training.net import DropoutNet
from .._training.rows import Rows
from .fitting import Fitting
from .held_out import HeldOut, held_out
from .parameters import Parameters


def train_folds(given: Parameters, fitting: Fitting, net: DropoutNet) -> list | None:
    """The networks that calibrate, or None if the user wants no more of them.

    Parameters
    ----------
    given : Parameters
        Of the estimator.
    fitting : Fitting
    net : DropoutNet
        The one that predicts, trained.
    """
    if net.interrupted:
        # Who ends the training does not wait for more networks.
        return None
    try:
        return train_jobs([job for job, _ in fitting.folds])
    except KeyboardInterrupt:
        warn(
            f"{type(given).__name__}: calibration interrupted by the user; the model is "
            "trained, but its predictions are not calibrated"
        )
        return None


def calibrated(
    given: Parameters, fitting: Fitting, net: DropoutNet, fold_nets: list
) -> dict[str, Any] | None:
    """What calibration chose, if the user wants it and there are rows for it.

    Parameters
    ----------
    given : Parameters
        Of the estimator.
    fitting : Fitting
    net : DropoutNet
        The one that predicts, trained.
    fold_nets : list of DropoutNet
        One for each of the folds.
    """
    target, job = fitting.described.target, fitting.job
    if not given.calibrate or not target.can_be_calibrated:
        return None
    n_draws = fixed_draws(given.n_draws)
    parts: list[HeldOut] = []
    if job.validation is not None:
        parts.append(held_out(net, job.validation, n_draws))
    for fold_net, (_, part) in zip(fold_nets, fitting.folds, strict=True):
        # The weights of all parts together count, so those of one keep their mean.
        parts.append(held_out(fold_net, Rows(*job.rows[torch.from_numpy(part)]), n_draws))
    if not parts:
        return None
    return {
        "method": "held-out part" if given.early_stopping else "out-of-fold",
        "n_rows": sum(len(part.rows) for part in parts),
        **target.calibrate(parts),
    }
