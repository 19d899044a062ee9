"""One number per row that says how unsure a fitted model is: what referral compares.

Works for the estimators here, for what scikit-learn wraps around them, and for other models as
far as they say anything about how sure they are.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import norm
from sklearn.compose import TransformedTargetRegressor
from sklearn.utils import gen_batches

from .._predictive.needed_draws import fixed_draws
from .._predictive.uncertainty import entropy
from .._support.sklearn import num_samples, safe_indexing
from ..wrapped import no_uncertainty, predict_uncertainty, unwrap

CLASSIFIER_UNCERTAINTIES = frozenset(
    {"total", "epistemic", "aleatoric", "entropy", "max_probability"}
)
REGRESSOR_UNCERTAINTIES = frozenset(
    {"total", "epistemic", "aleatoric", "expected_error", "interval_width"}
)
_PARTS = ("total", "epistemic", "aleatoric")
# Rows whose draws are held in memory at once.
_CHUNK = 1000


class Scored(NamedTuple):
    """What a fitted model predicts, and the score of each row.

    Attributes
    ----------
    prediction : ndarray of shape (n_samples, n_classes) or (n_samples,)
        Class probabilities, or the predicted mean.
    score : ndarray of shape (n_samples,)
        The larger, the less sure; float64.
    """

    prediction: np.ndarray
    score: np.ndarray


def classifier_scores(fitted: Any, X: Any, uncertainty: str) -> Scored:
    """Class probabilities and the uncertainty of each row.

    Parameters
    ----------
    fitted : estimator
        A fitted classifier with `predict_proba`, or a wrapper around one.
    X : array-like of shape (n_samples, n_features)
    uncertainty : {"total", "epistemic", "aleatoric", "entropy", "max_probability"}
        The first three as in `predict_uncertainty`. "entropy" is the entropy of the predicted
        probabilities in nats, "max_probability" is one minus the largest of them: both are
        there for every classifier. A classifier without `predict_uncertainty` has no draws to
        compare: its "total" is the "max_probability", and it has no other parts.

    Returns
    -------
    Scored

    Raises
    ------
    TypeError
        If the epistemic or aleatoric part is asked of a classifier that has none.
    ValueError
        If the model has no noise and one member, or for a score that is NaN.
    """
    inner, inner_x = unwrap(fitted, X)
    if uncertainty in _PARTS and hasattr(inner, "predict_uncertainty"):
        parts = inner.predict_uncertainty(inner_x)
        return _finite(inner, parts.mean, getattr(parts, uncertainty))
    if uncertainty in ("epistemic", "aleatoric"):
        raise TypeError(
            f"uncertainty={uncertainty!r} needs a model with predict_uncertainty. "
            f"{no_uncertainty(inner)}. 'total', 'entropy' and 'max_probability' work with any "
            "classifier that has predict_proba"
        )
    proba = np.asarray(inner.predict_proba(inner_x))
    return _finite(inner, proba, _PROBABILITY_SCORES[uncertainty](proba))


def settled_classifier_scores(
    fitted: Any, X: Any, uncertainty: str | Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Mean over the draws of the score within each draw.

    What is left of a row's score if the draws are right on average but no longer disagree.

    Parameters
    ----------
    fitted : estimator
        A fitted classifier with `predict_uncertainty`, or a wrapper around one.
    X : array-like of shape (n_samples, n_features)
    uncertainty : str or callable
        As for `classifier_scores`; a callable takes probabilities ``(..., n_classes)`` and
        returns scores ``(...,)``.

    Returns
    -------
    ndarray of shape (n_samples,)

    Raises
    ------
    TypeError
        If there is no estimator with `predict_uncertainty` inside.
    ValueError
        If the model has no noise and one member, or for ``n_draws=0``.
    """
    inner, inner_x = unwrap(fitted, X)
    # Also where the parts themselves are not needed: it refuses models that cannot tell.
    measure = "entropy" if uncertainty == "entropy" else "variance"
    parts = predict_uncertainty(inner, inner_x, measure=measure)
    if uncertainty == "epistemic":
        return np.zeros(len(parts.total))
    if uncertainty in ("total", "aleatoric", "entropy"):
        return np.asarray(parts.aleatoric)
    score = uncertainty if callable(uncertainty) else _PROBABILITY_SCORES[uncertainty]
    n_functions = max(fixed_draws(inner.n_draws), 1) * inner.n_members
    chunks = [
        score(inner.sample_proba(safe_indexing(inner_x, rows), n_functions)).mean(0)
        for rows in gen_batches(num_samples(inner_x), _CHUNK)
    ]
    return np.concatenate(chunks)


def regressor_scores(fitted: Any, X: Any, uncertainty: str, confidence_level: float) -> Scored:
    """Predicted means and the uncertainty of each row.

    Parameters
    ----------
    fitted : estimator
        A fitted regressor with `predict_uncertainty`, with `predict_interval` or with
        ``predict(X, return_std=True)``, or a wrapper around one.
    X : array-like of shape (n_samples, n_features)
    uncertainty : {"total", "epistemic", "aleatoric", "expected_error", "interval_width"}
        The first three are variances as in `predict_uncertainty`. "expected_error" is the
        expected absolute error and "interval_width" the width of the predictive interval, both
        in the units of y and as for a normal distribution with the variance "total", except
        that `predict_interval` is asked for the width where the estimator offers it.
    confidence_level : float
        Of the interval.

    Returns
    -------
    Scored

    Raises
    ------
    TypeError
        If the regressor does not say how sure it is.
    ValueError
        If there are several outputs, or for a score that is NaN.
    """
    inner, inner_x = unwrap(fitted, X)
    mean, variance = _regressor_moments(
        inner, inner_x, uncertainty if uncertainty in _PARTS else "total"
    )
    if uncertainty in _PARTS:
        return _finite(inner, mean, variance)
    if uncertainty == "expected_error":
        return _finite(inner, mean, np.sqrt(variance * 2 / np.pi))
    if hasattr(inner, "predict_interval"):
        interval = inner.predict_interval(inner_x, confidence_level)
        return _finite(inner, mean, interval[:, 1] - interval[:, 0])
    return _finite(inner, mean, 2 * norm.ppf((1 + confidence_level) / 2) * np.sqrt(variance))


def settled_regressor_scores(
    fitted: Any, X: Any, uncertainty: str, confidence_level: float
) -> np.ndarray:
    """What is left of a row's score if only the noise in the data is counted.

    Parameters
    ----------
    fitted, X, uncertainty, confidence_level
        As for `regressor_scores`.

    Returns
    -------
    ndarray of shape (n_samples,)

    Raises
    ------
    TypeError
        If there is no estimator with `predict_uncertainty` inside.
    """
    score = regressor_scores(fitted, X, uncertainty, confidence_level).score
    parts = predict_uncertainty(fitted, X)
    share = np.asarray(parts.aleatoric / parts.total).reshape(len(score))
    if uncertainty in ("expected_error", "interval_width"):
        return score * np.sqrt(share)
    settled = {"total": score * share, "epistemic": np.zeros(len(score)), "aleatoric": score}
    return settled[uncertainty]


def _regressor_moments(inner: Any, X: Any, part: str) -> tuple[np.ndarray, np.ndarray]:
    if hasattr(inner, "predict_uncertainty") or isinstance(inner, TransformedTargetRegressor):
        parts = predict_uncertainty(inner, X)
        mean, variance = parts.mean, getattr(parts, part)
    elif part == "total" and "return_std" in inspect.signature(inner.predict).parameters:
        mean, std = inner.predict(X, return_std=True)
        variance = std**2
    else:
        raise TypeError(
            f"uncertainty={part!r} needs a regressor that says how sure it is: "
            f"{type(inner).__name__} has no predict_uncertainty"
            + (" and its predict takes no return_std" if part == "total" else "")
        )
    mean, variance = np.asarray(mean), np.asarray(variance)
    if mean.ndim == 2 and mean.shape[1] > 1:
        raise ValueError(
            f"{type(inner).__name__} predicts {mean.shape[1]} outputs; a row is referred by the "
            "uncertainty of one"
        )
    return mean.reshape(len(mean)), variance.reshape(len(mean))


def _least_confident(proba: np.ndarray) -> np.ndarray:
    # A plain classifier's only doubt is how far its largest probability is from one.
    return 1 - proba.max(-1)


_PROBABILITY_SCORES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "total": _least_confident,
    "entropy": entropy,
    "max_probability": _least_confident,
}


def _finite(inner: Any, prediction: Any, score: Any) -> Scored:
    score = np.asarray(score, dtype=np.float64)
    if not np.isfinite(score).all():
        raise ValueError(
            f"{type(inner).__name__} gives an uncertainty that is NaN or infinite for row "
            f"{np.flatnonzero(~np.isfinite(score))[0]}"
        )
    return Scored(np.asarray(prediction), score)
