"""Rules: what a fitted model would decide for each row, and how unsure it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..metrics._checks import checked_classes
from ..metrics._row_scores import (
    classifier_scores,
    regressor_scores,
    settled_classifier_scores,
    settled_regressor_scores,
)


class Judged(NamedTuple):
    """What would be decided for each row, and the score that speaks against it.

    Attributes
    ----------
    decision : ndarray of shape (n_samples,)
        Label or number.
    score : ndarray of shape (n_samples,)
        Referred if it exceeds a threshold.
    """

    decision: np.ndarray
    score: np.ndarray


@dataclass(frozen=True)
class Costs:
    """Costs of every decision for every true class.

    Parameters
    ----------
    matrix : ndarray of shape (n_classes, n_classes)
        Row: true class. Column: decided class.
    refer : ndarray of shape (n_classes,)
        Of referring a row of each class.
    classes : ndarray of shape (n_classes,)
    """

    matrix: np.ndarray
    refer: np.ndarray
    classes: np.ndarray

    @classmethod
    def checked(cls, owner: str, matrix: Any, refer: Any, classes: np.ndarray) -> Costs:
        """Costs as given by the user; no matrix stands for one for each error."""
        n_classes = len(classes)
        matrix = 1 - np.eye(n_classes) if matrix is None else np.asarray(matrix, dtype=np.float64)
        if matrix.shape != (n_classes, n_classes) or not np.isfinite(matrix).all():
            raise ValueError(
                f"{owner}: cost_matrix must hold a finite cost for each of the {n_classes} true "
                f"classes (rows) and decisions (columns), got shape {matrix.shape}"
            )
        costs = np.asarray(refer, dtype=np.float64)
        if costs.shape not in ((), (n_classes,)) or not np.isfinite(costs).all():
            raise ValueError(
                f"{owner}: refer_cost must be a finite number or one for each of the "
                f"{n_classes} classes, got {refer!r}"
            )
        return cls(matrix, np.broadcast_to(costs, (n_classes,)), classes)

    def advantages(self, proba: np.ndarray) -> np.ndarray:
        """Expected cost of each decision above that of referral, ``(..., n_classes)``."""
        return proba @ (self.matrix - self.refer[:, None])

    def least(self, proba: np.ndarray) -> np.ndarray:
        """Expected cost of the best decision above that of referral, ``(...,)``."""
        return self.advantages(proba).min(-1)

    def of(self, y: np.ndarray, decision: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cost of each decision once y is known, and of referral instead."""
        true = np.searchsorted(self.classes, y)
        return self.matrix[true, np.searchsorted(self.classes, decision)], self.refer[true]


@dataclass(frozen=True)
class ClassifierRule:
    """Label and uncertainty of a classifier.

    Parameters
    ----------
    uncertainty : str
        As for `classifier_scores`, or "expected_cost".
    costs : Costs or None
        With costs the decision is the one of the least expected cost, otherwise the
        classifier's own.
    """

    uncertainty: str
    costs: Costs | None = None

    def __call__(self, fitted: Any, X: Any) -> Judged:
        if self.costs is None:
            score = classifier_scores(fitted, X, self.uncertainty).score
            return Judged(np.asarray(fitted.predict(X)), score)
        if self.uncertainty == "expected_cost":
            proba = checked_classes(fitted, fitted.predict_proba(X))
            proba = self._all_classes(fitted, proba)
            score = self.costs.least(proba.astype(np.float64))
        else:
            proba, score = classifier_scores(fitted, X, self.uncertainty)
            proba = self._all_classes(fitted, proba)
        return Judged(self.costs.classes[self.costs.advantages(proba).argmin(1)], score)

    def settled(self, fitted: Any, X: Any) -> np.ndarray:
        """Scores without what the draws disagree about, ``(n_samples,)``."""
        if self.uncertainty != "expected_cost":
            return settled_classifier_scores(fitted, X, self.uncertainty)
        assert self.costs is not None
        return settled_classifier_scores(fitted, X, self.costs.least)

    def _all_classes(self, fitted: Any, proba: np.ndarray) -> np.ndarray:
        """Columns for all classes, also those that were not in this fold."""
        assert self.costs is not None
        known = fitted.classes_
        if len(known) == len(self.costs.classes):
            return proba
        full = np.zeros((len(proba), len(self.costs.classes)))
        full[:, np.searchsorted(self.costs.classes, known)] = proba
        return full


@dataclass(frozen=True)
class RegressorRule:
    """Prediction and uncertainty of a regressor.

    Parameters
    ----------
    uncertainty : str
        As for `regressor_scores`.
    confidence_level : float
        Of the interval.
    """

    uncertainty: str
    confidence_level: float

    def __call__(self, fitted: Any, X: Any) -> Judged:
        return Judged(*regressor_scores(fitted, X, self.uncertainty, self.confidence_level))

    def settled(self, fitted: Any, X: Any) -> np.ndarray:
        """Scores without what the draws disagree about, ``(n_samples,)``."""
        return settled_regressor_scores(fitted, X, self.uncertainty, self.confidence_level)
