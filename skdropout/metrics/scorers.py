"""Scorers that ask an estimator for its uncertainty, for searches and `cross_validate`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.base import is_classifier

from ._row_scores import (
    CLASSIFIER_UNCERTAINTIES,
    REGRESSOR_UNCERTAINTIES,
    classifier_scores,
    regressor_scores,
)
from ._scorer import WeightedScorer
from .referral import aurc_score, coverage_at_risk, excess_aurc_score, risk_at_coverage

_SIGNS: dict[Callable[..., float], int] = {
    aurc_score: -1,
    excess_aurc_score: -1,
    risk_at_coverage: -1,
    coverage_at_risk: 1,
}


class ReferralScorer(WeightedScorer):
    """A scorer of how well an estimator's uncertainty orders its own errors.

    Made by `make_referral_scorer`. Called as every scorer: ``scorer(estimator, X, y)``; greater
    is better.

    Parameters
    ----------
    metric : callable
        ``metric(y_true, y_pred, uncertainty, *, loss, sample_weight, **options)``.
    sign : {1, -1}
        -1 if a small value of the metric is good.
    uncertainty : str
        Which uncertainty.
    options : dict
        More arguments for the metric.
    """

    def __init__(
        self, metric: Callable[..., float], sign: int, uncertainty: str, options: dict[str, Any]
    ) -> None:
        super().__init__()
        self.metric, self.sign = metric, sign
        self.uncertainty, self.options = uncertainty, options

    def __call__(self, estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Score an estimator that is fitted.

        Parameters
        ----------
        estimator : estimator
            A classifier or a regressor; a regressor's loss is the absolute error if no other
            is given.
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
            Greater is better.
        """
        options = {"sample_weight": sample_weight, **self.options}
        if is_classifier(estimator):
            score = classifier_scores(estimator, X, self.uncertainty).score
            prediction = estimator.predict(X)
        else:
            prediction, score = regressor_scores(estimator, X, self.uncertainty, 0.9)
            options.setdefault("loss", "absolute_error")
        return self.sign * self.metric(y, prediction, score, **options)

    def __repr__(self) -> str:
        options = "".join(f", {name}={value!r}" for name, value in self.options.items())
        return (
            f"make_referral_scorer({self.metric.__name__}, uncertainty={self.uncertainty!r}"
            f"{options})"
        )


def make_referral_scorer(
    metric: Callable[..., float],
    *,
    uncertainty: str = "total",
    greater_is_better: bool | None = None,
    **options: Any,
) -> ReferralScorer:
    """A scorer from a metric of this module and a kind of uncertainty.

    Parameters
    ----------
    metric : callable
        `aurc_score`, `excess_aurc_score`, `risk_at_coverage`, `coverage_at_risk`, or one with
        the same arguments.
    uncertainty : str, default="total"
        Which uncertainty: "total", "epistemic" or "aleatoric"; for classifiers also "entropy"
        and "max_probability", for regressors "expected_error" and "interval_width" (of a 90 %
        interval).
    greater_is_better : bool, default=None
        Needed for a metric of your own. Where small is good, the scorer gives the negative.
    **options
        For the metric: ``loss``, ``coverage``, ``max_risk``.

    Returns
    -------
    ReferralScorer

    Raises
    ------
    ValueError
        If `uncertainty` is not known, or `greater_is_better` is missing for another metric.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import cross_val_score
    >>> from skdropout.metrics import coverage_at_risk, make_referral_scorer
    >>> scorer = make_referral_scorer(coverage_at_risk, max_risk=0.01)
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> cross_val_score(LogisticRegression(max_iter=5000), X, y, scoring=scorer).shape
    (5,)
    """
    known = CLASSIFIER_UNCERTAINTIES | REGRESSOR_UNCERTAINTIES
    if uncertainty not in known:
        raise ValueError(
            f"make_referral_scorer: uncertainty must be one of {sorted(known)}, got {uncertainty!r}"
        )
    if greater_is_better is None and metric not in _SIGNS:
        raise ValueError(
            "make_referral_scorer: say greater_is_better=True or False for a metric of your own"
        )
    sign = _SIGNS[metric] if greater_is_better is None else (1 if greater_is_better else -1)
    return ReferralScorer(metric, sign, uncertainty, options)


neg_aurc_scorer = make_referral_scorer(aurc_score)
neg_excess_aurc_scorer = make_referral_scorer(excess_aurc_score)
