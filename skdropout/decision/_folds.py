"""Predictions for rows that the predicting model has not seen."""

from __future__ import annotations

import copy
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedShuffleSplit,
    check_cv,
)
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from .._support.sklearn import check_method_params, num_samples, safe_indexing
from .._wrappers.walk import innermost
from ._rules import Judged

Rule = Callable[[Any, Any], Judged]


class Unseen(NamedTuple):
    """A fitted estimator, and what was decided for rows unseen by whoever decided.

    Attributes
    ----------
    estimator : estimator
    rows : ndarray of int of shape (n_unseen,)
        Which rows of the data; each at most once.
    judged : Judged
        For these rows.
    """

    estimator: Any
    rows: np.ndarray
    judged: Judged


def make_splitter(
    cv: Any, y: np.ndarray, random_state: Any, classifier: bool, grouped: bool
) -> Any:
    """A splitter from the parameter `cv`; a float is the share of one held-out part.

    With `grouped` one that keeps groups together.
    """
    if isinstance(cv, Real) and 0 < float(cv) < 1:
        held_out = StratifiedShuffleSplit if classifier else ShuffleSplit
        held_out = GroupShuffleSplit if grouped else held_out
        return held_out(n_splits=1, test_size=float(cv), random_state=random_state)
    if grouped and (cv is None or isinstance(cv, Integral)):
        n_folds = 5 if cv is None else int(cv)
        return StratifiedGroupKFold(n_folds) if classifier else GroupKFold(n_folds)
    return check_cv(cv, y=y, classifier=classifier)


def judged_by_prefit(estimator: Any, X: Any, make_rule: Callable[[Any], Rule]) -> Unseen:
    """Let an estimator that is fitted judge all rows."""
    check_is_fitted(estimator)
    return Unseen(estimator, np.arange(num_samples(X)), make_rule(estimator)(estimator, X))


def judged_out_of_fold(
    estimator: Any,
    X: Any,
    y: np.ndarray,
    fit_params: dict[str, Any],
    make_rule: Callable[[Any], Rule],
    caller: str,
) -> Unseen:
    """Let the members of a network judge the rows that each was not trained on.

    Parameters
    ----------
    estimator : estimator
        A network with ``store_oof=True``, or a wrapper around one. If it is fitted, `X` are the
        rows that it was fitted to; if not, a copy is.
    X, y, fit_params, make_rule
        As for `judged_by_folds`.
    caller : str
        For errors.

    Raises
    ------
    ValueError
        If there is nobody who has not seen a row.
    """
    fitted = estimator if hasattr(_inside(estimator), "net_") else None
    if fitted is None:
        fitted = clone(estimator).fit(X, y, **fit_params)
    elif fit_params:
        raise ValueError(
            f"{caller}.fit: the estimator is fitted, and with cv='oof' nothing more is, so there "
            f"is no use for {sorted(fit_params)}"
        )
    model = copy.deepcopy(fitted)
    network = _inside(model)
    known = getattr(network, "_out_of_fold", None)
    if known is None or not known.parts:
        raise ValueError(
            f"{caller}: cv='oof' asks members of a network of skdropout about rows that they were "
            "not trained on; it needs one fitted with store_oof=True and a cv (not None), and got "
            f"{type(network).__name__}{'' if known is None else ' without folds'}"
        )
    if known.n_rows != num_samples(X):
        raise ValueError(
            f"{caller}: cv='oof' needs the rows that the network was fitted to, {known.n_rows} of "
            f"them, and X has {num_samples(X)}"
        )
    rows = np.concatenate([numbers for numbers, _ in known.parts])
    _check_once(rows)
    rule, whole, parts = make_rule(fitted), network.net_, []
    for numbers, members in known.parts:
        network.net_ = whole.select(members)
        parts.append(rule(model, safe_indexing(X, numbers)))
    return Unseen(fitted, rows, _joined(parts))


def _inside(estimator: Any) -> Any:
    """The estimator inside fitted wrappers; None if they are not fitted."""
    try:
        return innermost(estimator)
    except NotFittedError:
        return None


def _joined(parts: list[Judged]) -> Judged:
    return Judged(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def _check_once(rows: np.ndarray) -> None:
    if len(np.unique(rows)) < len(rows):
        raise ValueError(
            "cv puts some rows into several test parts; a row counts once, so use a splitter "
            "whose test parts do not overlap"
        )


def judged_by_folds(
    estimator: Any,
    X: Any,
    y: np.ndarray,
    splits: list[tuple[np.ndarray, np.ndarray]],
    fit_params: dict[str, Any],
    make_rule: Callable[[Any], Rule],
    n_jobs: int | None,
) -> Unseen:
    """Fit an estimator, and judge rows by models that have not seen them.

    Parameters
    ----------
    estimator : estimator
        Not changed.
    X : array-like of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,)
    splits : list of (train, test)
        Row numbers. With a single split the estimator is fitted to its training part and
        judges its test part; with several it is fitted to all rows, and copies fitted to the
        training parts judge.
    fit_params : dict
        For `fit`; whatever has one entry per row is split with the rows.
    make_rule : callable
        From the fitted estimator.
    n_jobs : int or None

    Returns
    -------
    Unseen

    Raises
    ------
    ValueError
        If a row is in several test parts: it would count as several rows.
    """
    rows = np.concatenate([test for _, test in splits])
    _check_once(rows)
    if len(splits) == 1:
        fitted = _fit(estimator, X, y, splits[0][0], fit_params)
        judged = make_rule(fitted)(fitted, safe_indexing(X, rows))
        return Unseen(fitted, rows, judged)
    fitted = _fit(estimator, X, y, None, fit_params)
    rule = make_rule(fitted)
    folds = Parallel(n_jobs=n_jobs)(
        delayed(judge_fold)(estimator, X, y, train, test, fit_params, rule)
        for train, test in splits
    )
    return Unseen(fitted, rows, _joined(folds))


def judge_fold(
    estimator: Any,
    X: Any,
    y: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    fit_params: dict[str, Any],
    rule: Rule,
) -> Judged:
    """Fit a copy to one part of the rows and judge another."""
    return rule(_fit(estimator, X, y, train, fit_params), safe_indexing(X, test))


def _fit(
    estimator: Any, X: Any, y: np.ndarray, rows: np.ndarray | None, fit_params: dict[str, Any]
) -> Any:
    if rows is None:
        return clone(estimator).fit(X, y, **fit_params)
    params = check_method_params(X, fit_params, indices=rows)
    return clone(estimator).fit(safe_indexing(X, rows), safe_indexing(y, rows), **params)
