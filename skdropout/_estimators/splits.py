"""Which rows a network is not trained on: folds, or one part that is held out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    StratifiedGroupKFold,
    train_test_split,
)

from .._support.random import local_random_state
from .targets import Target

# Of so few rows a score says when to stop no better than chance.
_FEWEST_ROWS = 4


@dataclass(frozen=True)
class Given:
    """What a splitter goes by.

    Attributes
    ----------
    y : ndarray of shape (n_samples, ...)
        In the units of the user, of all rows that were given.
    groups : ndarray of int of shape (n_samples,) or None
        Rows of one group are never on both sides of a split.
    used : ndarray of int
        Which of the rows are trained on: those with a weight.
    """

    y: np.ndarray
    groups: np.ndarray | None
    used: np.ndarray

    @property
    def used_groups(self) -> np.ndarray | None:
        """Of the rows that are trained on."""
        return None if self.groups is None else self.groups[self.used]


class Split(NamedTuple):
    """One split, in numbers of the rows that are trained on.

    Attributes
    ----------
    train, held_out : ndarray of int
    """

    train: np.ndarray
    held_out: np.ndarray


def cross_fitting_parts(
    cv: Any, target: Target, encoded: np.ndarray, given: Given, seed: int, caller: str
) -> list[Split]:
    """The splits of cross-fitted members.

    Parameters
    ----------
    cv : int, splitter or iterable of (train, held out)
    target : Target
    encoded : ndarray
        Of the rows that are trained on.
    given : Given
    seed : int
    caller : str
        The estimator, for errors.

    Returns
    -------
    list of Split
        Of an int fewer where a table is small. None at all where there would be fewer than two.

    Raises
    ------
    ValueError
        If a splitter leaves a network without rows, or tests it on those that it is trained on.
    """
    if not isinstance(cv, Integral):
        return _of_splitter(cv, given, caller)
    strata, groups = target.strata(encoded), given.used_groups
    if groups is not None:
        held_out = _folds_of_groups(int(cv), groups, strata, seed)
    else:
        held_out = _folds_of_rows(int(cv), len(encoded), strata, seed)
    if len(held_out) < 2:
        return []
    return [Split(np.delete(np.arange(len(encoded)), rows), rows) for rows in held_out]


def _folds_of_rows(
    n_folds: int, n_rows: int, strata: np.ndarray | None, seed: int
) -> list[np.ndarray]:
    """Rows dealt to folds whose sizes differ by one at most, classes spread evenly.

    `StratifiedKFold` warns of classes with fewer rows than folds. Here such a class lies in some
    of the folds, and one of a single row in none: every network learns all classes.
    """
    n_folds = min(n_folds, n_rows // _FEWEST_ROWS)
    order = local_random_state(seed).permutation(n_rows)
    if strata is not None:
        _, classes, counts = np.unique(strata, return_inverse=True, return_counts=True)
        order = order[np.argsort(classes[order], kind="stable")]
        order = order[counts[classes[order]] > 1]
    folds = [np.sort(order[fold::n_folds]) for fold in range(n_folds)]
    return [rows for rows in folds if len(rows)]


def _folds_of_groups(
    n_folds: int, groups: np.ndarray, strata: np.ndarray | None, seed: int
) -> list[np.ndarray]:
    """Groups in folds, with the classes spread over them as evenly as they allow."""
    n_folds = min(n_folds, len(np.unique(groups)))
    if n_folds < 2:
        return []
    options: dict[str, Any] = {"n_splits": n_folds, "shuffle": True, "random_state": seed}
    nothing = np.zeros(len(groups))
    classes = None
    if strata is not None:
        # The splitter warns of classes with fewer rows than folds: they go with the largest.
        _, classes, counts = np.unique(strata, return_inverse=True, return_counts=True)
        classes[counts[classes] < n_folds] = counts.argmax()
    if classes is None or np.bincount(classes).max() < n_folds:
        splits = GroupKFold(**options).split(nothing, groups=groups)
    else:
        splits = StratifiedGroupKFold(**options).split(nothing, classes, groups)
    folds = [_dispensable(held_out, groups, strata) for _, held_out in splits]
    return [held_out for held_out in folds if len(held_out)]


def _dispensable(held_out: np.ndarray, groups: np.ndarray, strata: np.ndarray | None) -> np.ndarray:
    """Held-out rows without the groups that have a class which is nowhere else."""
    if strata is None:
        return held_out
    lost = ~np.isin(strata[held_out], np.delete(strata, held_out))
    return held_out[~np.isin(groups[held_out], groups[held_out][lost])]


def _of_splitter(cv: Any, given: Given, caller: str) -> list[Split]:
    place = np.full(len(given.y), -1)
    place[given.used] = np.arange(len(given.used))
    numbers = np.arange(len(given.y))
    nothing = np.zeros((len(given.y), 1))
    splits: Iterable = cv.split(nothing, given.y, given.groups) if hasattr(cv, "split") else cv
    parts = []
    for number, split in enumerate(splits):
        try:
            train, held_out = (numbers[_as_index(rows)] for rows in split)
        except (IndexError, TypeError, ValueError) as error:
            raise ValueError(
                f"{caller}: split {number} of cv={cv!r:.100} must be two arrays of ints, rows to "
                f"train on and rows that are held out, among the {len(numbers)} rows of X"
            ) from error
        if np.isin(held_out, train).any():
            raise ValueError(
                f"{caller}: split {number} of cv={cv!r:.100} holds out rows that it trains on"
            )
        part = Split(*(place[rows][place[rows] >= 0] for rows in (train, held_out)))
        if not len(part.train) or not len(part.held_out):
            raise ValueError(
                f"{caller}: split {number} of cv={cv!r:.100} has {len(part.train)} rows to train "
                f"on and {len(part.held_out)} held out (with a weight); each needs one at least"
            )
        parts.append(part)
    if not parts:
        raise ValueError(
            f"{caller}: cv={cv!r:.100} must be of one split at least; use cv=None for one network"
        )
    return parts


def _as_index(rows: Any) -> np.ndarray:
    index = np.asarray(rows)
    return index if index.size else index.astype(int)


def held_out_part(
    share: float,
    target: Target,
    encoded: np.ndarray,
    given: Given,
    seed: int,
    caller: str,
    quiet: bool = False,
) -> Split:
    """A random part for early stopping.

    Parameters
    ----------
    share : float
        Of the rows.
    target, encoded, given, seed, caller
        As for `cross_fitting_parts`.
    quiet : bool, default=False
        Do not warn of classes that no rows are held out of: nobody asked for a part.

    Raises
    ------
    ValueError
        If there are too few rows.
    """
    strata = target.strata(encoded)
    kept = np.flatnonzero(target.kept_for_training(encoded, share, quiet))
    everyone, groups = np.arange(len(encoded)), given.used_groups
    try:
        if groups is not None:
            held_out = _part_of_groups(share, groups, strata, kept, seed)
            return Split(np.delete(everyone, held_out), held_out)
        numbers = np.delete(everyone, kept)
        train, held_out = train_test_split(
            numbers,
            test_size=math.ceil(share * len(encoded)) if len(kept) else share,
            random_state=seed,
            stratify=None if strata is None else strata[numbers],
        )
    except ValueError as error:
        raise ValueError(
            f"{caller}: cannot hold out validation_fraction="
            f"{share} of {len(encoded)} rows for early stopping: "
            f"{str(error).rstrip('.')}. Give more rows, another validation_fraction or "
            "validation rows of your own (X_val, y_val), or set early_stopping=False"
        ) from error
    return Split(np.concatenate([train, kept]), held_out)


def _part_of_groups(
    share: float, groups: np.ndarray, strata: np.ndarray | None, kept: np.ndarray, seed: int
) -> np.ndarray:
    """Rows of some groups; those of rare classes are trained on, with their groups."""
    spared = groups[kept]
    if strata is not None:
        pairs = np.unique([np.unique(strata, return_inverse=True)[1], groups], axis=1)
        spared = np.append(spared, pairs[1, np.bincount(pairs[0])[pairs[0]] == 1])
    numbers = np.flatnonzero(~np.isin(groups, spared))
    splitter = GroupShuffleSplit(1, test_size=share, random_state=seed)
    _, held_out = next(splitter.split(numbers, groups=groups[numbers]))
    held_out = _dispensable(numbers[held_out], groups, strata)
    if not len(held_out):
        raise ValueError("The groups that were drawn have classes that no other group has")
    return held_out
