"""Scorers of predictive distributions, for searches and `cross_validate`.

They find the estimator inside pipelines, searches, `FrozenEstimator`, threshold classifiers, the
referring estimators of `skdropout.decision` and `TransformedTargetRegressor`, and score in the
units of y. The interval score goes through every monotone transform of the target, the log density
through every smooth one, the CRPS through linear ones. Regressors of other packages that offer
``predict(X, return_std=True)`` are scored as normal distributions, other classifiers by their
`predict_proba`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.compose import TransformedTargetRegressor
from sklearn.metrics import brier_score_loss

from .._predictive.scores import interval_loss
from .._support.gaps import put_back, split_gaps
from .._wrappers.target_transforms import TargetTransform
from .._wrappers.walk import walk
from .._wrappers.wrapped import intervals, normal_distributions
from ._checks import checked_classes, checked_weight, mean_over_rows
from ._scorer import WeightedScorer
from .calibration import expected_calibration_error
from .predictive import checked_density


class PredictiveScorer(WeightedScorer):
    """A scorer of what an estimator predicts beside a number or a label.

    Called as every scorer: ``scorer(estimator, X, y, sample_weight=None)``; greater is better.

    Parameters
    ----------
    name : str
        What `repr` says.
    score : callable
        ``score(estimator, X, y, sample_weight, **options)``.
    options : dict
        More arguments for the score.
    """

    def __init__(self, name: str, score: Callable[..., float], options: dict[str, Any]) -> None:
        super().__init__()
        self.name, self.score, self.options = name, score, options

    def __call__(self, estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Score an estimator that is fitted.

        Parameters
        ----------
        estimator : estimator
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Of several outputs, or labels, single ones may be missing. They are not scored.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
            Greater is better.

        Raises
        ------
        TypeError
            If the estimator does not predict what the score needs.
        """
        return self.score(estimator, X, y, sample_weight, **self.options)

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        return f"{self.name}({options})"


def make_interval_score_scorer(confidence_level: float = 0.9) -> PredictiveScorer:
    """A scorer by the interval score of central intervals; the negative of it.

    Parameters
    ----------
    confidence_level : float, default=0.9
        Probability of the intervals, in (0, 1).

    Returns
    -------
    PredictiveScorer

    Raises
    ------
    ValueError
        If the level is out of range.
    """
    if not 0 < confidence_level < 1:
        raise ValueError(
            "make_interval_score_scorer: confidence_level must be in (0, 1), got "
            f"{confidence_level!r}"
        )
    options = {"confidence_level": confidence_level}
    return PredictiveScorer("make_interval_score_scorer", _neg_interval_score, options)


def make_calibration_error_scorer(
    *, n_bins: int = 15, strategy: str = "uniform"
) -> PredictiveScorer:
    """A scorer by the expected calibration error of the largest probability; the negative of it.

    A model that says the same for all rows can have no calibration error and be of no use: to
    choose between models prefer a proper score, such as `log_predictive_density_scorer` or
    `neg_brier_scorer`, and report this one beside it.

    Parameters
    ----------
    n_bins, strategy
        As for `expected_calibration_error`.

    Returns
    -------
    PredictiveScorer
    """
    options = {"n_bins": n_bins, "strategy": strategy}
    return PredictiveScorer("make_calibration_error_scorer", _neg_calibration_error, options)


# ---- scores of an estimator ------------------------------------------------------------------


def _log_density(estimator: Any, X: Any, y: Any, sample_weight: Any) -> float:
    rows = _density_rows(estimator, X, y)
    return mean_over_rows(rows, checked_weight(sample_weight, len(y)), _with_gaps(y))


def _neg_crps(estimator: Any, X: Any, y: Any, sample_weight: Any) -> float:
    rows = _crps_rows(estimator, X, y)
    return -mean_over_rows(rows, checked_weight(sample_weight, len(y)), _with_gaps(y))


def _neg_interval_score(
    estimator: Any, X: Any, y: Any, sample_weight: Any, confidence_level: float
) -> float:
    weight = checked_weight(sample_weight, len(y))
    lower, upper = np.moveaxis(intervals(estimator, X, confidence_level, "scorer"), -1, 0)
    y = _numbers(y).reshape(lower.shape)
    return -mean_over_rows(interval_loss(lower, upper, y, confidence_level), weight, y)


def _neg_calibration_error(
    estimator: Any, X: Any, y: Any, sample_weight: Any, **options: Any
) -> float:
    proba, labels = _probabilities("the calibration error", estimator, X)
    return -expected_calibration_error(
        y, proba, labels=labels, sample_weight=sample_weight, **options
    )


def _neg_brier(estimator: Any, X: Any, y: Any, sample_weight: Any) -> float:
    proba, labels = _probabilities("the Brier score", estimator, X)
    if len(labels) == 2:
        return -brier_score_loss(y, proba[:, 1], sample_weight=sample_weight, pos_label=labels[1])
    # scikit-learn 1.7 and later know several classes.
    return -brier_score_loss(y, proba, sample_weight=sample_weight, labels=labels)


# ---- what an estimator says of each row ------------------------------------------------------


def _density_rows(estimator: Any, X: Any, y: Any) -> np.ndarray:
    """Log density or probability of each row, of all outputs jointly: ``(n_samples,)``."""
    inner, X = walk(estimator, X)
    if hasattr(inner, "log_prob"):
        return inner.log_prob(X, y)
    if is_classifier(inner):
        proba, labels = _probabilities("the log predictive density", inner, X)
        shares = (np.asarray(y)[:, None] == labels) * proba
        return np.log(np.maximum(shares.sum(1), np.finfo(proba.dtype).tiny))
    if isinstance(inner, TransformedTargetRegressor):
        inside, log_stretch = TargetTransform(inner, "scorer").smooth_forth(_columns(y))
        density = _density_rows(inner.regressor_, X, inside.reshape(np.shape(y)))
        return density - log_stretch.sum(1)
    mixture = normal_distributions(inner, X, "scorer")
    checked_density("log_predictive_density_scorer", mixture)
    return mixture.log_prob(_numbers(y).reshape(mixture.means.shape[1:]))


def _crps_rows(estimator: Any, X: Any, y: Any) -> np.ndarray:
    """CRPS of each row and output, in the units of y."""
    inner, X = walk(estimator, X)
    if hasattr(inner, "crps"):
        return inner.crps(X, y)
    if isinstance(inner, TransformedTargetRegressor):
        inside, scale = TargetTransform(inner, "scorer").linear_forth(_columns(y))
        scores = _crps_rows(inner.regressor_, X, inside.reshape(np.shape(y)))
        return scores.reshape(len(scores), -1) * np.abs(scale)
    mixture = normal_distributions(inner, X, "scorer")
    return mixture.crps(_numbers(y).reshape(mixture.means.shape[1:]))


def _columns(y: Any) -> np.ndarray:
    """Targets of shape ``(n_samples, n_outputs)``."""
    y = _numbers(y)
    return y.reshape(len(y), -1)


def _numbers(y: Any) -> np.ndarray:
    """Targets as float64, NaN where single ones of several columns are missing."""
    return np.asarray(_with_gaps(y), dtype=np.float64)


def _with_gaps(y: Any) -> np.ndarray:
    """Targets, or labels, as an array; with NaN where single ones of several are missing."""
    filled, gaps = split_gaps(y)
    return put_back(np.asarray(filled), gaps)


def _probabilities(what: str, estimator: Any, X: Any) -> tuple[np.ndarray, np.ndarray]:
    """Class probabilities of the outermost estimator, and the labels of the columns."""
    if not hasattr(estimator, "predict_proba"):
        raise TypeError(
            f"scorer: {what} needs a classifier with predict_proba, got {type(estimator).__name__}"
        )
    proba = checked_classes(estimator, estimator.predict_proba(X))
    return proba, np.asarray(estimator.classes_)


log_predictive_density_scorer = PredictiveScorer("log_predictive_density_scorer", _log_density, {})
neg_crps_scorer = PredictiveScorer("neg_crps_scorer", _neg_crps, {})
neg_interval_score_scorer = make_interval_score_scorer()
neg_expected_calibration_error_scorer = make_calibration_error_scorer()
neg_brier_scorer = PredictiveScorer("neg_brier_scorer", _neg_brier, {})
