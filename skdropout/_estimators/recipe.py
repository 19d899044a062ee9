"""From parameters to a job: what they say, as the objects that training takes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from sklearn.base import clone
from skorch.callbacks import Callback, PrintLog

from .._likelihoods.base import Likelihood
from .._networks.architecture import Architecture, Member
from .._predictive.needed_draws import fixed_draws
from .._support.caller_warnings import warn
from .._support.device import resolve_device
from .._training.callbacks import Training, adapted
from .._training.jobs import Job
from .._training.plan import Plan
from .._training.rows import Rows
from .._training.stopping import EpochLine, InverseScaling, Stopping, StopWhenConverged
from .._training.window import is_wide
from ..families import FAMILIES, Family, Noiseless
from .parameters import Parameters

# Draws behind the validation score of each epoch: enough that it sees the noise, few enough
# that early stopping costs about one more forward pass over the training rows.
VALIDATION_DRAWS = 10


def make_job(
    given: Parameters,
    likelihood: Likelihood,
    rows: Rows,
    validation: tuple[Rows, ...] | None,
    seed: int,
    n_folds: int = 1,
    sources: tuple[int, ...] | None = None,
) -> Job:
    """A job over rows.

    Parameters
    ----------
    given : Parameters
        Of an estimator.
    likelihood : Likelihood
        Of all networks.
    rows : Rows
    validation : tuple of Rows, one for each network, or None
    seed : int
    n_folds : int, default=1
        Each with `n_members` networks.
    sources : tuple of int, optional
        As of `Architecture`.

    Raises
    ------
    ValueError
        For a parameter out of range.
    """
    check_statistics(given, rows, given.normalization)
    hidden = hidden_widths(given)
    n_networks = n_folds * given.n_members
    widths = (rows.x.shape[1], *hidden, likelihood.n_raw)
    seeds = np.random.SeedSequence(seed).generate_state(n_networks)
    member_rates = rates(given, len(hidden))
    options = {option: getattr(given, option) for option in Plan.__dataclass_fields__}
    statistics = "normalization='batch'" if given.normalization == "batch" else None
    options["batch_size"] = batch_size(given, len(rows), statistics)
    training = Training(validation is not None, n_networks, n_folds)
    n_weights = n_networks * sum(a * b for a, b in itertools.pairwise(widths))
    device = resolve_device(given.device, n_weights * options["batch_size"], type(given).__name__)
    return Job(
        architecture=Architecture(
            widths,
            given.activation,
            given.normalization,
            sources,
            scaled=scales_inputs(given, rows, widths),
        ),
        members=tuple(Member(int(seed), family(given), member_rates) for seed in seeds),
        likelihood=likelihood,
        plan=Plan(**options),
        rows=rows,
        validation=validation,
        n_validation_draws=min(fixed_draws(given.n_draws), VALIDATION_DRAWS),
        max_iter=given.max_iter,
        callbacks=tuple(all_callbacks(given, training)),
        device=str(device),
        verbose=int(given.verbose),
    )


def check_statistics(given: Parameters, rows: Rows, normalization: str | None) -> None:
    """Raise if there are too few rows for the statistics of a batch."""
    if normalization == "batch" and len(rows) < 2:
        raise ValueError(
            f"{type(given).__name__}: normalization='batch' needs at least 2 rows to train on, "
            f"got n_samples = {len(rows)}"
        )


def scales_inputs(given: Parameters, rows: Rows, widths: tuple[int, ...]) -> bool:
    """Whether the size of each input's weights is learned.

    Gradient descent moves both factors by their gradients, so it has nothing to gain. Wide maps
    of sparse rows are trained a few columns at a time.
    """
    asked = given.learn_input_scale and given.solver == "adam"
    return asked and family(given).scales_inputs and not is_wide(rows, *widths[:2])


def hidden_widths(given: Parameters) -> tuple[int, ...]:
    """Units of each hidden layer."""
    widths = np.atleast_1d(np.asarray(given.hidden_layer_sizes))
    if widths.size and (widths.ndim != 1 or widths.dtype.kind not in "iu" or (widths < 1).any()):
        raise ValueError(
            f"{type(given).__name__}: hidden_layer_sizes must be a positive int or a sequence "
            f"of positive ints, got {given.hidden_layer_sizes!r}"
        )
    return tuple(int(width) for width in widths)


def family(given: Parameters) -> Family:
    """The noise family, checked."""
    if given.dropout is None:
        return Noiseless()
    # A copy: what was fitted does not change with the object that the caller holds.
    known = isinstance(given.dropout, str)
    chosen = FAMILIES[given.dropout]() if known else clone(given.dropout)
    chosen.validate()
    return chosen


def rates(given: Parameters, n_hidden: int) -> tuple[float, ...]:
    """Probability of dropping an input of each linear map."""
    hidden = given.dropout_rate
    values = np.asarray([hidden] * n_hidden if np.ndim(hidden) == 0 else hidden)
    numeric = values.shape == (n_hidden,) and (not n_hidden or values.dtype.kind in "fiu")
    if not numeric or (n_hidden and not ((values >= 0) & (values < 1)).all()):
        raise ValueError(
            f"{type(given).__name__}: dropout_rate must be a float in [0, 1) or one such for "
            f"each of the {n_hidden} hidden layers, got {hidden!r}"
        )
    return (float(given.input_dropout_rate), *(float(rate) for rate in values))


def batch_size(given: Any, n_rows: int, statistics: str | None) -> int:
    """Rows per step of the optimizer. `statistics`: what takes those of batches, if anything."""
    if isinstance(given.batch_size, str):
        return given._auto_batch_size(n_rows)
    smallest = 2 if statistics else 1
    complaint = None
    if given.batch_size > n_rows:
        complaint = f"is larger than the {n_rows} training rows and is clipped to them"
    elif given.batch_size < smallest:
        complaint = f"is raised to {smallest}: {statistics} needs batches of at least"
        complaint += f" {smallest} rows"
    if complaint:
        warn(f"{type(given).__name__}: batch_size={given.batch_size} {complaint}")
    return max(min(given.batch_size, n_rows), smallest)


def all_callbacks(given: Any, training: Training) -> list:
    """Our callbacks and the user's, stopping last so that all see the last epoch."""
    return [
        *_our_callbacks(given, training.watched),
        *_users_callbacks(given, training),
        ("stop", StopWhenConverged()),
    ]


def _callback_classes(given: Any) -> list[type]:
    callbacks = [
        entry[1] if isinstance(entry, tuple) and len(entry) == 2 else entry
        for entry in given.callbacks or ()
    ]
    return [callback if isinstance(callback, type) else type(callback) for callback in callbacks]


def _users_callbacks(given: Any, training: Training) -> list:
    for kind in _callback_classes(given):
        if not issubclass(kind, Callback):
            raise ValueError(
                f"{type(given).__name__}: callbacks must be a list of skorch callbacks or of "
                f"pairs (name, callback), got {given.callbacks!r}"
            )
    return adapted(given.callbacks or (), type(given).__name__, training)


def _our_callbacks(given: Any, watched: bool) -> list:
    adaptive = given.solver == "sgd" and given.learning_rate == "adaptive"
    cooldown = given.max_iter if given.learning_rate == "cooldown" else None
    stopping = Stopping(watched, given.tol, given.n_iter_no_change, adaptive, cooldown)
    callbacks: list = [("stopping", stopping)]
    if given.solver == "sgd" and given.learning_rate == "invscaling":
        callbacks.append(("inverse_scaling", InverseScaling(given.power_t)))
    table = any(issubclass(kind, PrintLog) for kind in _callback_classes(given))
    if given.verbose and not table:
        callbacks.append(("epoch_line", EpochLine()))
    return callbacks
