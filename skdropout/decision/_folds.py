"""Predictions for rows that the predicting model has not seen."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit, check_cv
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from .._support.sklearn import check_method_params, num_samples, safe_indexing
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


def make_splitter(cv: Any, y: np.ndarray, random_state: Any, classifier: bool) -> Any:
    """A splitter from the parameter `cv`; a float is the share of one held-out part."""
    if isinstance(cv, Real) and 0 < float(cv) < 1:
        held_out = StratifiedShuffleSplit if classifier else ShuffleSplit
        return held_out(n_splits=1, test_size=float(cv), random_state=random_state)
    return check_cv(cv, y=y, classifier=classifier)


def judged_by_prefit(estimator: Any, X: Any, make_rule: Callable[[Any], Rule]) -> Unseen:
    """Let an estimator that is fitted judge all rows."""
    check_is_fitted(estimator)
    return Unseen(estimator, np.arange(num_samples(X)), make_rule(estimator)(estimator, X))


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
    if len(np.unique(rows)) < len(rows):
        raise ValueError(
            "cv puts some rows into several test parts; a row counts once, so use a splitter "
            "whose test parts do not overlap"
        )
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
    judged = Judged(*(np.concatenate(parts) for parts in zip(*folds, strict=True)))
    return Unseen(fitted, rows, judged)


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
