"""One number per row that says how unsure a fitted model is: what referral compares.

Works for the estimators here, for what scikit-learn wraps around them, and for other models as
far as they say anything about how sure they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.utils import gen_batches

from .._predictive.uncertainty import entropy
from .._support.sklearn import num_samples, safe_indexing
from .._wrappers.target_transforms import TargetTransform
from .._wrappers.walk import no_uncertainty, walk
from .._wrappers.wrapped import intervals, predict_uncertainty, says_std
from ._checks import checked_classes

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
        If the model has no noise and one member, for a score that is NaN, and for a model of
        several labels per row.
    """
    inner, inner_x = walk(fitted, X)
    if uncertainty in _PARTS and hasattr(inner, "predict_uncertainty"):
        parts = inner.predict_uncertainty(inner_x)
        mean = checked_classes(inner, parts.mean)
        return _finite(inner, mean, getattr(parts, uncertainty))
    if uncertainty in ("epistemic", "aleatoric"):
        raise TypeError(
            f"uncertainty={uncertainty!r} needs a model with predict_uncertainty. "
            f"{no_uncertainty(inner)}. 'total', 'entropy' and 'max_probability' work with any "
            "classifier that has predict_proba"
        )
    proba = checked_classes(inner, inner.predict_proba(inner_x))
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
    inner, inner_x = walk(fitted, X)
    # Also where the parts themselves are not needed: it refuses models that cannot tell.
    measure = "entropy" if uncertainty == "entropy" else "variance"
    parts = predict_uncertainty(inner, inner_x, measure=measure)
    if uncertainty == "epistemic":
        return np.zeros(len(parts.total))
    if uncertainty in ("total", "aleatoric", "entropy"):
        return np.asarray(parts.aleatoric)
    score = uncertainty if callable(uncertainty) else _PROBABILITY_SCORES[uncertainty]
    n_functions = inner._n_functions
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
        ``predict(X, return_std=True)``, or a wrapper around one. Through a target transform that
        is monotone and not linear only "interval_width" is known.
    X : array-like of shape (n_samples, n_features)
    uncertainty : {"total", "epistemic", "aleatoric", "expected_error", "interval_width"}
        The first three are variances as in `predict_uncertainty`. "expected_error" is the
        expected absolute error, as for a normal distribution with the variance "total", and
        "interval_width" the width of `skdropout.predict_interval`, both in the units of y.
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
        If there are several outputs, for a score that is NaN, or for a target transform through
        which the score is not known.
    """
    inner, inner_x = walk(fitted, X)
    if uncertainty == "interval_width":
        ends = intervals(inner, inner_x, confidence_level, f"uncertainty={uncertainty!r}")
        mean = _single_output(inner, inner.predict(inner_x))
        width = ends[..., 1] - ends[..., 0]
        return _finite(inner, mean, width.reshape(len(mean)))
    part = uncertainty if uncertainty in _PARTS else "total"
    moments = _regressor_moments(inner, inner_x, part, f"uncertainty={uncertainty!r}")
    mean, variance = (_single_output(inner, values) for values in moments)
    if uncertainty in _PARTS:
        return _finite(inner, mean, variance)
    return _finite(inner, mean, np.sqrt(variance * 2 / np.pi))


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


def _regressor_moments(
    fitted: Any, X: Any, part: str, caller: str
) -> tuple[np.ndarray, np.ndarray]:
    inner, X = walk(fitted, X)
    if isinstance(inner, TransformedTargetRegressor):
        return _moments_in_the_units_of_y(inner, X, part, caller)
    if hasattr(inner, "predict_uncertainty"):
        parts = inner.predict_uncertainty(X)
        return parts.mean, getattr(parts, part)
    if part == "total" and says_std(inner):
        mean, std = inner.predict(X, return_std=True)
        return mean, std**2
    raise TypeError(
        f"uncertainty={part!r} needs a regressor that says how sure it is: "
        f"{type(inner).__name__} has no predict_uncertainty"
        + (" and its predict takes no return_std" if part == "total" else "")
    )


def _moments_in_the_units_of_y(
    fitted: TransformedTargetRegressor, X: Any, part: str, caller: str
) -> tuple[np.ndarray, np.ndarray]:
    transform = TargetTransform(fitted, caller)
    moments = _regressor_moments(fitted.regressor_, X, part, caller)
    mean, variance = (np.reshape(values, (len(values), -1)) for values in moments)
    reach = 4 * np.sqrt(variance)
    _, scale = transform.linear((mean - reach).min(0), (mean + reach).max(0))
    return transform.back(mean), variance * scale**2


def _single_output(inner: Any, values: Any) -> np.ndarray:
    """A column of one output as ``(n_samples,)``."""
    values = np.asarray(values)
    if values.ndim == 2 and values.shape[1] > 1:
        raise ValueError(
            f"{type(inner).__name__} predicts {values.shape[1]} outputs; a row is referred by the "
            "uncertainty of one"
        )
    return values.reshape(len(values))


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
