"""What the two estimators that find a threshold share."""

from __future__ import annotations

from abc import abstractmethod
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.utils import indexable

from .._support.caller_warnings import warn
from .._support.sklearn import Interval, StrOptions, check_sample_weight, validate_parameters
from ._base import Referral
from ._cuts import Cuts, binomial_upper_bound, covering_cut, guaranteed_cut
from ._folds import (
    Unseen,
    judged_by_folds,
    judged_by_prefit,
    judged_out_of_fold,
    make_splitter,
)

TUNING_CONSTRAINTS: dict[str, Any] = {
    "max_risk": [Interval(Real, 0, 1, closed="neither"), None],
    "min_coverage": [Interval(Real, 0, 1, closed="right"), None],
    "confidence_level": [Interval(Real, 0, 1, closed="neither")],
    "cv": ["cv_object", StrOptions({"prefit", "oof"}), Interval(Real, 0, 1, closed="neither")],
    "n_jobs": [Integral, None],
    "random_state": ["random_state"],
}


class Tuning(Referral):
    """Fit, judge unseen rows, choose a cut."""

    _parameter_constraints: ClassVar[dict] = TUNING_CONSTRAINTS
    _is_classifier: ClassVar[bool]

    max_risk: float | None
    min_coverage: float | None
    confidence_level: float
    cv: Any
    n_jobs: int | None
    random_state: Any

    @abstractmethod
    def _check_objective(self) -> None:
        """Raise if it is not clear what is to be reached."""

    @abstractmethod
    def _rule_of(self, fitted: Any) -> Any:
        """Rule of a fitted estimator; raises if the two do not fit together."""

    @abstractmethod
    def _choose(self, unseen: Unseen, y: np.ndarray, weight: np.ndarray | None) -> Any:
        """Set `threshold_` and what describes it."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None, **params: Any) -> Any:
        """Fit the estimator and find the threshold.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            With ``cv="prefit"`` rows that the estimator has not seen.
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), default=None
            For the estimator's `fit`; and coverages, risks and costs are weighted by it. Bounds
            are not: they count rows, and a row of weight zero not at all.
        **params
            For the estimator's `fit`; `groups` for the splitter and for an estimator whose `fit`
            takes them, or with metadata routing for whoever asks for them. With groups the rows
            that show how good decisions are come from groups that whoever judges has not seen,
            and what is promised is about rows of new groups.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            For a parameter or data out of range.

        Warns
        -----
        UserWarning
            If no threshold reaches the risk, so that everything is referred, or if all rows
            that are kept are predicted to be of one class.
        """
        validate_parameters(self)
        self._check_objective()
        y = self._checked_target(y)
        X, y = indexable(X, y)
        if sample_weight is not None:
            sample_weight = check_sample_weight(sample_weight, X, ensure_non_negative=True)
        unseen = self._unseen(X, y, sample_weight, params)
        weight = None
        if sample_weight is not None:
            weight = sample_weight[unseen.rows]
            unseen = self._without_zero_weights(unseen, weight > 0)
            weight = weight[weight > 0]
        self._choose(unseen, y[unseen.rows], weight)
        self.estimator_ = unseen.estimator
        self._set_input_attributes()
        return self

    def _unseen(self, X: Any, y: np.ndarray, sample_weight: Any, params: dict[str, Any]) -> Unseen:
        if self.cv == "prefit":
            if params:
                raise ValueError(
                    f"{type(self).__name__}.fit: with cv='prefit' nothing is fitted, so there is "
                    f"no use for {sorted(params)}"
                )
            return judged_by_prefit(self.estimator, X, self._rule_of)
        routed = self._route(sample_weight, params)
        fit_params = routed.estimator.fit
        if self.cv == "oof":
            name = type(self).__name__
            return judged_out_of_fold(self.estimator, X, y, fit_params, self._rule_of, name)
        grouped = routed.splitter.split.get("groups") is not None
        splitter = make_splitter(self.cv, y, self.random_state, self._is_classifier, grouped)
        splits = list(splitter.split(X, y, **routed.splitter.split))
        return judged_by_folds(self.estimator, X, y, splits, fit_params, self._rule_of, self.n_jobs)

    def _without_zero_weights(self, unseen: Unseen, used: np.ndarray) -> Unseen:
        if not used.any():
            raise ValueError(
                f"{type(self).__name__}: every row that could show how good the decisions are "
                "has a sample_weight of zero"
            )
        judged = type(unseen.judged)(*(part[used] for part in unseen.judged))
        return unseen._replace(rows=unseen.rows[used], judged=judged)

    def _index_for(self, cuts: Cuts) -> tuple[int | None, float]:
        """The cut that `max_risk` or `min_coverage` asks for, and a bound of its risk."""
        if self.max_risk is not None:
            index, bound = guaranteed_cut(cuts, self.max_risk, self.confidence_level)
            if index is None:
                warn(
                    f"{type(self).__name__}: no threshold reaches max_risk={self.max_risk} with "
                    f"confidence_level={self.confidence_level} on {cuts.n_kept[-1]} rows, so "
                    "every row will be referred; use a better model, more rows or a larger risk"
                )
            return index, bound
        assert self.min_coverage is not None
        index = covering_cut(cuts, self.min_coverage)
        return index, self._bound(cuts, index)

    def _bound(self, cuts: Cuts, index: int) -> float:
        """Of a cut that was chosen without looking at what is wrong."""
        n_wrong, n_kept = cuts.n_wrong[index], cuts.n_kept[index]
        return float(binomial_upper_bound(n_wrong, n_kept, self.confidence_level))

    def _describe(self, cuts: Cuts, index: int | None, bound: float, threshold: float) -> None:
        self.threshold_ = threshold
        self.selective_coverage_ = 0.0 if index is None else float(cuts.coverage[index])
        self.selective_risk_ = np.nan if index is None else float(cuts.risk[index])
        self.risk_bound_ = bound
        self.cv_results_ = {
            "threshold": cuts.threshold,
            "coverage": cuts.coverage,
            "risk": cuts.risk,
            "n_kept": cuts.n_kept,
            "n_wrong": cuts.n_wrong,
        }

    def _limit(self) -> float:
        return self.threshold_

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "threshold_")


def threshold_of(cuts: Cuts, index: int | None) -> float:
    """Threshold of a cut; without one a threshold that refers every row."""
    return -np.inf if index is None else float(cuts.threshold[index])
