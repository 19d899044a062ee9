"""What the two referring classifiers share."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets

from .._support.caller_warnings import one_column
from .._support.gaps import split_gaps
from ._base import Referral
from ._labels import with_refer_label


def _inner_has_log_proba(referral: Any) -> bool:
    return hasattr(getattr(referral, "estimator_", referral.estimator), "predict_log_proba")


class ReferralClassifier(ClassifierMixin, Referral):
    """A classifier with one more label, for the rows that it refers."""

    refer_label: Any

    @property
    def classes_(self) -> np.ndarray:
        """Class labels, without the one for "refer"."""
        try:
            return getattr(self, "estimator_", self.estimator).classes_
        except AttributeError as error:
            raise AttributeError(f"{type(self).__name__} is not fitted yet") from error

    def predict(self, X: Any) -> np.ndarray:
        """Label of each row, or the label for "refer".

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
            From `classes_` and the label for "refer". Strings, or numbers if the classes are
            numbers; objects where the two are of different kinds.
        """
        judged, referred = self._judge(X)
        index = np.searchsorted(self.classes_, judged.decision)
        return self._labels(self.classes_)[np.where(referred, len(self.classes_), index)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities of the estimator inside, for all rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Columns in the order of `classes_`.
        """
        return self._fitted().predict_proba(X)

    @available_if(_inner_has_log_proba)
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Logarithm of the class probabilities of the estimator inside.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        return self._fitted().predict_log_proba(X)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy among the rows that are not referred.

        It rises as fewer rows are kept, so do not choose a threshold by it. To compare models,
        use the scorers of `skdropout.metrics`, which look at all thresholds.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
            NaN with an `UndefinedMetricWarning` if no row (or no weight) is kept.
        """
        judged, referred = self._judge(X)
        y = column_or_1d(y)
        check_consistent_length(judged.decision, y)
        weight = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight)
        weight = np.where(referred, 0.0, weight)
        if not weight.any():
            return self._warn_undefined("every row is referred")
        return float(np.average(judged.decision == y, weights=weight))

    def _labels(self, classes: np.ndarray) -> np.ndarray:
        return with_refer_label(type(self).__name__, classes, self.refer_label)

    def _checked_target(self, y: Any) -> np.ndarray:
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None"
            )
        # Several labels are refused as such, with gaps too.
        y, _ = split_gaps(y)
        y = check_array(y, ensure_2d=False, dtype=None, input_name="y")
        if y.ndim == 2 and y.shape[1] > 1:
            raise ValueError(
                f"{type(self).__name__}: y must hold one label per row, got shape {y.shape}; a row "
                "is referred by one label. Fit one model per label"
            )
        y = one_column(y)
        check_classification_targets(y)
        return y
