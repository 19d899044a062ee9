"""Data that an estimator was given, checked and encoded: found out without setting anything."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from sklearn.utils import assert_all_finite

from .._support.arrays import as_tensor
from .._support.compressed import held, rows_of
from .._support.gaps import empty_rows, gaps_in
from .._support.sklearn import check_sample_weight
from .._training.rows import Rows
from .splits import Given
from .targets import Target

if TYPE_CHECKING:
    from .base import DropoutEstimator


COLUMN_ATTRIBUTES = ("n_features_in_", "feature_names_in_", "input_shape_", "_encoder")
"""Fitted attributes that say what the columns are."""


class Held(NamedTuple):
    """Rows that some networks of a job are not trained on.

    Attributes
    ----------
    members : range
        These networks.
    rows : Rows
    numbers : ndarray of int or None
        Which rows of X they are. None: of none.
    """

    members: range
    rows: Rows
    numbers: np.ndarray | None


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
    given : Given
    parts : dict
        Rows to train on and rows that early stopping watches, by the seed and the share.
    """

    inputs: dict[str, Any]
    target: Target
    rows: Rows = field(repr=False)
    weight: float
    given: Given = field(repr=False)
    parts: dict[tuple[int, float], tuple[Rows, Held]] = field(default_factory=dict, repr=False)

    @property
    def sources(self) -> tuple[int, ...] | None:
        """The column that each number of an encoded row comes from; None where each is its own."""
        encoder = self.inputs["_encoder"]
        columns = [] if encoder is None else encoder.column_of_feature_.tolist()
        return None if len(set(columns)) == len(columns) else tuple(columns)

    @property
    def telling(self) -> np.ndarray | None:
        """Which numbers of an encoded row say how far it is from another; None is all."""
        encoder = self.inputs["_encoder"]
        return None if encoder is None else encoder._telling

    def attributes(self) -> dict[str, Any]:
        """What an estimator that takes the data has: inputs, target and what follows from it."""
        return self.inputs | {"_target": self.target} | self.target.attributes()


def describe(
    estimator: DropoutEstimator,
    X: Any,
    y: Any,
    sample_weight: Any = None,
    classes: Any = None,
    again: bool = False,
    groups: Any = None,
    streamed: bool = False,
) -> Described:
    """Check and encode data.

    Parameters
    ----------
    estimator : DropoutEstimator
    X, y, sample_weight
        As for its `fit`.
    classes : array-like or None
        Labels that may come.
    again : bool
        Whether the data are for the model as it is fitted.
    groups : array-like of shape (n_samples,) or None
        Labels of the groups that rows belong to.
    streamed : bool, default=False
        As for `checked_table`.

    Raises
    ------
    ValueError
        If something is wrong with them.
    """
    name, probe = type(estimator).__name__, copy.copy(estimator)
    given = checked_weight(sample_weight, X)
    counts = None if given is None else given > 0
    X, y = probe._check_xy(X, y, not again, counts, streamed)
    given = _weight_of_targets(y, given, name, again)
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
    given_rows = Given(y, _checked_groups(groups, y, name), np.flatnonzero(used))
    columns = {k: v for k, v in vars(probe).items() if k in COLUMN_ATTRIBUTES}
    return Described(columns, target, to_rows(X, encoded, weight, name), mean, given_rows)


def validation_rows(
    estimator: DropoutEstimator, described: Described, X: Any, y: Any, sample_weight: Any
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
    if not estimator.early_stopping and not estimator.calibrate:
        raise ValueError(
            f"{name}.fit: X_val and y_val are for early stopping and calibration, but "
            "early_stopping=False and calibrate=False"
        )
    probe = copy.copy(estimator)
    probe.__dict__.update(described.attributes())
    X, y = probe._check_xy(X, y, reset=False)
    weight, encoded = checked_weight(sample_weight, X), described.target.encode(y)
    if (gaps := gaps_in(y)) is not None:
        known = ~empty_rows(gaps)
        if not known.any():
            raise ValueError(f"{name}.fit: y_val has no value in any row")
        X, encoded, weight = X[known], encoded[known], None if weight is None else weight[known]
    return to_rows(X, encoded, weight, name)


def to_rows(X: Any, encoded: np.ndarray, weight: np.ndarray | None, caller: str) -> Rows:
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


def _weight_of_targets(
    y: np.ndarray, weight: np.ndarray | None, caller: str, again: bool
) -> np.ndarray | None:
    """Sample weights, zero for rows that have no target.

    Raises
    ------
    ValueError
        If no row has one, or if none that counts has one in some column that is new.
    """
    gaps = gaps_in(y)
    if gaps is None:
        return weight
    counts = np.ones(len(y), dtype=bool) if weight is None else weight > 0
    where = "any row" if weight is None else "any row with a positive sample_weight"
    unknown = gaps[counts].all(0)
    if unknown.all() and counts.any():
        raise ValueError(f"{caller}: y has no value in {where}")
    if unknown.any() and counts.any() and not again:
        raise ValueError(
            f"{caller}: column {np.argmax(unknown)} of y has no value in {where}, so there is "
            "nothing to learn it from; leave the column out"
        )
    empty = empty_rows(gaps)
    if not empty.any():
        return weight
    return np.where(empty, 0.0, 1.0 if weight is None else weight)


def checked_weight(weight: Any, X: Any) -> np.ndarray | None:
    """Sample weights as an array of shape (n_samples,), none of them negative."""
    if weight is None:
        return None
    return check_sample_weight(weight, X, dtype=np.float64, ensure_non_negative=True)


def _checked_groups(groups: Any, y: np.ndarray, caller: str) -> np.ndarray | None:
    """Numbers of the groups that rows belong to."""
    if groups is None:
        return None
    groups = np.asarray(groups)
    if groups.shape not in ((len(y),), (len(y), 1)):
        raise ValueError(
            f"{caller}: groups must have one entry for each of the {len(y)} rows, got an array of "
            f"shape {groups.shape}"
        )
    try:
        assert_all_finite(groups, input_name="groups")
        return np.unique(groups.ravel(), return_inverse=True)[1]
    except TypeError as error:
        raise ValueError(
            f"{caller}: groups must be labels of one kind, none of them missing: {error}"
        ) from error
