"""Whether probabilities are true: the expected calibration error."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length, column_or_1d

from .._predictive.scores import binned_error, equal_width_bins
from ._checks import checked_weight

_NAME = "expected_calibration_error"
_STRATEGIES = ("quantile", "uniform")


def expected_calibration_error(
    y_true: Any,
    y_proba: Any,
    *,
    n_bins: int = 15,
    strategy: str = "uniform",
    labels: Any = None,
    pos_label: Any = None,
    sample_weight: Any = None,
) -> float:
    """Mean distance between stated probabilities and the shares that come true, over bins.

    Rows are put into bins by the stated probability. In each bin the mean probability is compared
    with the share of rows for which it came true; the distances are averaged with the weights of
    the bins. What probability is meant follows from the shape of `y_proba`:

    - ``(n_samples, n_classes)``: the largest one, which comes true if its class is the label
      (top-label calibration, also for two classes);
    - ``(n_samples,)``: that of the class `pos_label`, which comes true if that is the label. Then
      small probabilities count too.

    The two give different numbers for the same model: say which one you report, and the bins.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels.
    y_proba : array-like of shape (n_samples, n_classes) or (n_samples,)
        Probabilities, columns in the order of `labels`.
    n_bins : int, default=15
        Number of bins.
    strategy : {"uniform", "quantile"}, default="uniform"
        "uniform": bins of equal width over [0, 1], closed on the left, the last one on both sides.
        "quantile": bins of equal weight; rows of equal probability share a bin.
    labels : array-like of shape (n_classes,), default=None
        Labels of the columns, such as ``classes_``. None takes the sorted labels of `y_true`,
        which must then be as many as columns.
    pos_label : int, float, bool or str, default=None
        For probabilities of shape (n_samples,). None stands for 1 where the labels are 0 and 1 or
        -1 and 1.
    sample_weight : array-like of shape (n_samples,), default=None

    Returns
    -------
    float
        In [0, 1]; the smaller, the better. It is biased upwards where bins hold few rows.

    Raises
    ------
    ValueError
        For shapes that do not fit, probabilities outside of [0, 1], labels that do not fit the
        columns, or options that are not known.

    References
    ----------
    Naeini, Cooper and Hauskrecht (2015). Obtaining well calibrated probabilities using Bayesian
    binning. AAAI.

    Guo, Pleiss, Sun and Weinberger (2017). On calibration of modern neural networks. ICML. There
    bins are closed on the right.

    Nguyen and O'Connor (2015). Posterior calibration and exploratory analysis for natural language
    processing models. EMNLP. Bins of equal count.

    Examples
    --------
    >>> from skdropout.metrics import expected_calibration_error
    >>> round(expected_calibration_error([0, 1, 1, 1], [0.2, 0.6, 0.8, 0.8]), 6)
    0.25
    >>> proba = [[0.8, 0.2], [0.4, 0.6], [0.2, 0.8], [0.2, 0.8]]
    >>> round(expected_calibration_error([0, 1, 1, 1], proba), 6)
    0.25
    """
    if isinstance(n_bins, bool) or not isinstance(n_bins, int | np.integer) or n_bins < 1:
        raise ValueError(f"{_NAME}: n_bins must be an int of at least 1, got {n_bins!r}")
    if strategy not in _STRATEGIES:
        raise ValueError(f"{_NAME}: strategy must be one of {_STRATEGIES}, got {strategy!r}")
    y, proba = column_or_1d(y_true), np.asarray(y_proba, dtype=np.float64)
    check_consistent_length(y, proba)
    if not len(y):
        raise ValueError(f"{_NAME}: y_true must hold at least one row")
    # Sums of float32 probabilities reach a little above one.
    if not ((proba >= 0) & (proba <= 1 + 1e-6)).all():
        raise ValueError(f"{_NAME}: y_proba must hold probabilities in [0, 1]")
    weight = checked_weight(sample_weight, len(y))
    if proba.ndim == 2:
        if pos_label is not None:
            raise ValueError(f"{_NAME}: pos_label is for y_proba of shape (n_samples,)")
        stated, came_true = proba.max(1), proba.argmax(1) == _column(y, labels, proba.shape[1])
    elif proba.ndim == 1:
        stated, came_true = proba, y == _positive(y, labels, pos_label)
    else:
        raise ValueError(
            f"{_NAME}: y_proba must have shape (n_samples,) or (n_samples, n_classes), got "
            f"{proba.shape}"
        )
    if strategy == "uniform":
        bins = equal_width_bins(stated, n_bins)
    else:
        bins = _equal_weight(stated, weight, n_bins)
    return binned_error(stated, came_true, weight, bins)


def _equal_weight(stated: np.ndarray, weight: np.ndarray, n_bins: int) -> np.ndarray:
    """Bin of each row by the middle of its rank, which rows of equal probability share."""
    _, block = np.unique(stated, return_inverse=True)
    weights = np.bincount(block, weight)
    middle = (np.cumsum(weights) - weights / 2) / weights.sum()
    return np.minimum((middle * n_bins).astype(int), n_bins - 1)[block]


def _column(y: np.ndarray, labels: Any, n_classes: int) -> np.ndarray:
    """Column of each row's label."""
    known = np.unique(y) if labels is None else column_or_1d(labels)
    if len(known) != n_classes:
        raise ValueError(
            f"{_NAME}: y_proba has {n_classes} columns, but there are {len(known)} labels, "
            f"{known.tolist()}; say labels= for all columns"
        )
    order = np.argsort(known)
    place = np.minimum(np.searchsorted(known, y, sorter=order), n_classes - 1)
    column = order[place]
    if not (known[column] == y).all():
        unknown = np.setdiff1d(y, known).tolist()
        raise ValueError(f"{_NAME}: y_true holds {unknown}, which labels does not")
    return column


def _positive(y: np.ndarray, labels: Any, pos_label: Any) -> Any:
    known = np.unique(y if labels is None else column_or_1d(labels))
    if len(known) > 2:
        raise ValueError(
            f"{_NAME}: y_proba of shape (n_samples,) is for two classes, got "
            f"labels {known.tolist()}"
        )
    if pos_label is not None:
        return pos_label
    if known.dtype.kind not in "biuf" or not (
        np.isin(known, [0, 1]).all() or np.isin(known, [-1, 1]).all()
    ):
        raise ValueError(
            f"{_NAME}: say pos_label, which class y_proba is the probability of; labels are "
            f"{known.tolist()}"
        )
    return 1
