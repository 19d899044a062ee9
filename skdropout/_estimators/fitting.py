"""What a fit has to train: found out without setting anything, for `fit` and for searches."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.model_selection import train_test_split

from .._predictive.scaling import folds
from .._support.arrays import as_tensor
from .._support.compressed import held, rows_of
from .._support.random import local_random_state, new_seed
from .._support.sklearn import check_sample_weight, validate_parameters
from .._training.jobs import Job
from .._training.rows import Rows
from .recipe import make_job
from .targets import Target

if TYPE_CHECKING:
    from .base import DropoutMLP


COLUMN_ATTRIBUTES = ("n_features_in_", "feature_names_in_", "_encoder")
"""Fitted attributes that say what the columns are."""


@dataclass(frozen=True)
class Described:
    """Data that an estimator has checked and encoded.

    Attributes
    ----------
    inputs : dict
        Fitted attributes that say what the columns are.
    target : Target
    rows : Rows
        Their weights have mean one.
    weight : float
        The mean of the weights before.
    parts : dict
        Rows to train on and rows that early stopping watches, by the seed and the share.
    """

    inputs: dict[str, Any]
    target: Target
    rows: Rows = field(repr=False)
    weight: float
    parts: dict[tuple[int, float], tuple[Rows, Rows]] = field(default_factory=dict, repr=False)

    @property
    def sources(self) -> tuple[int, ...] | None:
        """The column that each number of an encoded row comes from; None where each is its own."""
        encoder = self.inputs["_encoder"]
        columns = [] if encoder is None else encoder.column_of_feature_.tolist()
        return None if len(set(columns)) == len(columns) else tuple(columns)

    def attributes(self) -> dict[str, Any]:
        """What an estimator that takes the data has: inputs, target and what follows from it."""
        return self.inputs | {"_target": self.target} | self.target.attributes()


@dataclass(frozen=True)
class Fitting:
    """Everything that a fit has to train.

    Attributes
    ----------
    described : Described
    job : Job
        The network that predicts.
    folds : list of (Job, ndarray of int)
        Networks that calibrate it, and the rows of `job` that are new to each.
    n_rows : int
        Of `job`.
    """

    described: Described
    job: Job
    folds: list[tuple[Job, np.ndarray]]
    n_rows: int

    @property
    def jobs(self) -> list[Job]:
        """All networks to be trained, the one that predicts first."""
        return [self.job, *(job for job, _ in self.folds)]

    def trained(self, with_rows: bool) -> Fitting:
        """For another process, once all networks are trained.

        Parameters
        ----------
        with_rows : bool
            Whether rows are needed again, to calibrate or to say why training diverged.
        """
        none = Rows(*self.job.rows[:0])
        described = replace(self.described, rows=none, parts={})
        if with_rows:
            return replace(self, described=described)
        job = replace(self.job, rows=none, validation=None)
        return Fitting(described, job, [], self.n_rows)


def describe(
    estimator: DropoutMLP,
    X: Any,
    y: Any,
    sample_weight: Any = None,
    classes: Any = None,
    again: bool = False,
) -> Described:
    """Check and encode data.

    Parameters
    ----------
    estimator : DropoutMLP
    X, y, sample_weight
        As for its `fit`.
    classes : array-like or None
        Labels that may come.
    again : bool
        Whether the data are for the model as it is fitted.

    Raises
    ------
    ValueError
        If something is wrong with them.
    """
    name, probe = type(estimator).__name__, copy.copy(estimator)
    given = _checked_weight(sample_weight, X)
    counts = None if given is None else given > 0
    X, y = probe._check_xy(X, y, not again, counts)
    weight = estimator._total_weight(y, given, classes, again)
    used = np.ones(len(y), dtype=bool) if weight is None else weight > 0
    if not used.any():
        raise ValueError(f"{name}: every row has a sample_weight of zero")
    if again:
        target = estimator._target
        estimator._check_again(y[used], classes)
    else:
        target = estimator._read_target(y, weight, classes)
    encoded, mean = target.encode(y), 1.0
    if weight is not None:
        # Rows of weight zero leave here, before anything is random.
        if not used.all():
            X, encoded, weight = X[used], encoded[used], weight[used]
        mean = float(weight.mean() if np.ptp(weight) else weight[0])
        # Equal weights are no weights, bit for bit; others have mean one.
        weight = weight / mean if np.ptp(weight) else None
    columns = {k: v for k, v in vars(probe).items() if k in COLUMN_ATTRIBUTES}
    return Described(columns, target, _to_rows(X, encoded, weight, name), mean)


def validation_rows(
    estimator: DropoutMLP, described: Described, X: Any, y: Any, sample_weight: Any
) -> Rows | None:
    """Rows that early stopping watches because the user gave them, checked and encoded."""
    given = {"X_val": X, "y_val": y, "sample_weight_val": sample_weight}
    present = [name for name, value in given.items() if value is not None]
    name = type(estimator).__name__
    if not present:
        return None
    if X is None or y is None:
        missing = "X_val" if X is None else "y_val"
        raise ValueError(f"{name}.fit: {present[0]} was given, but {missing} was not")
    if not estimator.early_stopping:
        raise ValueError(
            f"{name}.fit: X_val and y_val are for early stopping, but early_stopping=False"
        )
    probe = copy.copy(estimator)
    probe.__dict__.update(described.attributes())
    X, y = probe._check_xy(X, y, reset=False)
    return _to_rows(X, described.target.encode(y), _checked_weight(sample_weight, X), name)


def prepare(estimator: DropoutMLP, described: Described, validation: Rows | None = None) -> Fitting:
    """What is to be trained on data that are described.

    Parameters
    ----------
    estimator : DropoutMLP
    described : Described
        By an estimator of the same class.
    validation : Rows or None
        Rows that early stopping watches; by default a random part of the training rows.

    Raises
    ------
    ValueError
        For a parameter out of range.
    """
    validate_parameters(estimator)
    seed, rows, target = new_seed(estimator.random_state), described.rows, described.target
    if validation is None and estimator.early_stopping:
        share = estimator.validation_fraction
        if (seed, share) not in described.parts:
            name = type(estimator).__name__
            described.parts[seed, share] = _split(rows, target, share, seed, name)
        rows, validation = described.parts[seed, share]
    likelihood = target.likelihood(estimator.n_members)
    sources = described.sources
    job = make_job(estimator, likelihood, rows, validation, seed, sources=sources)
    return Fitting(described, job, _fold_jobs(estimator, target, job), len(rows))


def _fold_jobs(estimator: DropoutMLP, target: Target, job: Job) -> list[tuple[Job, np.ndarray]]:
    """Networks to be trained without some rows of a job, and which rows these are."""
    if not estimator.calibrate or job.validation is not None or not target.can_be_calibrated:
        return []
    rows, rng = job.rows, local_random_state(job.members[0].seed)
    jobs = []
    for part in folds(len(rows), rng, target.strata(rows.y.numpy())):
        training = rows.part(torch.from_numpy(np.delete(np.arange(len(rows)), part)))
        likelihood = target.likelihood(estimator.n_members)
        sources = job.architecture.sources
        quiet = make_job(estimator, likelihood, training, None, new_seed(rng), True, sources)
        jobs.append((quiet, part))
    return jobs


def _to_rows(X: Any, encoded: np.ndarray, weight: np.ndarray | None, caller: str) -> Rows:
    """Arrays as rows to train on, in float32.

    Raises
    ------
    ValueError
        If `X` has numbers that float32 has not.
    """
    x = rows_of(X, torch.float32)
    if X.dtype != np.float32 and not held(x).isfinite().all():
        raise ValueError(
            f"{caller}: X reaches {np.abs(X).max():.3g} in absolute value, too "
            "large for float32, in which networks are trained; scale it (StandardScaler)"
        )
    return Rows(x, as_tensor(encoded), None if weight is None else as_tensor(weight).float())


def _checked_weight(weight: Any, X: Any) -> np.ndarray | None:
    """Sample weights as an array of shape (n_samples,), none of them negative."""
    if weight is None:
        return None
    return check_sample_weight(weight, X, dtype=np.float64, ensure_non_negative=True)


def _split(rows: Rows, target: Target, share: float, seed: int, caller: str) -> tuple[Rows, Rows]:
    """Hold out a random part for early stopping.

    Raises
    ------
    ValueError
        If there are too few rows.
    """
    encoded = rows.y.numpy()
    strata, kept = target.strata(encoded), np.flatnonzero(target.kept_for_training(encoded, share))
    numbers = np.delete(np.arange(len(rows)), kept)
    try:
        train, held_out = train_test_split(
            numbers,
            test_size=math.ceil(share * len(rows)) if len(kept) else share,
            random_state=seed,
            stratify=None if strata is None else strata[numbers],
        )
    except ValueError as error:
        raise ValueError(
            f"{caller}: cannot hold out validation_fraction="
            f"{share} of {len(rows)} rows for early stopping: "
            f"{str(error).rstrip('.')}. Give more rows, another validation_fraction or "
            "validation rows of your own (X_val, y_val), or set early_stopping=False"
        ) from error
    train = np.concatenate([train, kept])
    return rows.part(torch.from_numpy(train)), rows.part(torch.from_numpy(held_out))
