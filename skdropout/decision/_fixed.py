"""`FixedReferralClassifier`."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

from sklearn.base import clone
from sklearn.utils import indexable

from .._support.sklearn import HasMethods, Interval, StrOptions, validate_parameters
from ..metrics._row_scores import CLASSIFIER_UNCERTAINTIES
from ._base import UnfittedUse
from ._classifier import ReferralClassifier
from ._rules import ClassifierRule


class FixedReferralClassifier(UnfittedUse, ReferralClassifier):
    """A classifier that refers the rows whose uncertainty exceeds a given threshold.

    Parameters
    ----------
    estimator : estimator
        A classifier with `predict_proba`, fitted or not: `DropoutMLPClassifier`, a pipeline or
        search around one, or any other. If it is fitted, `fit` need not be called.
    threshold : float
        Rows with a larger uncertainty are referred. In the units of the uncertainty: for two
        classes "total" is ``p (1 - p)``, at most 0.25.
    uncertainty : {"total", "epistemic", "aleatoric", "entropy", "max_probability"}, \
default="total"
        What is compared with the threshold. "total", "epistemic" and "aleatoric" are those of
        `predict_uncertainty`. "entropy" is the entropy of `predict_proba` in nats and
        "max_probability" one minus the largest probability, at most ``1 - 1 / n_classes``;
        both work with every classifier. For a classifier without `predict_uncertainty`,
        "total" is "max_probability".
    refer_label : str or number, default="auto"
        What `predict` returns for referred rows. "auto": "refer" if the classes are strings;
        -1 if they are numbers, or one less than the smallest class where that is negative.

    Attributes
    ----------
    estimator_ : estimator
        The fitted classifier.
    classes_ : ndarray of shape (n_classes,)
        Its class labels, without the one for "refer".
    n_features_in_ : int
        Only if the classifier has it.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Only if the classifier has it.

    See Also
    --------
    TunedReferralClassifierCV : Finds the threshold.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skdropout.decision import FixedReferralClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = LogisticRegression(max_iter=5000).fit(X[:400], y[:400])
    >>> careful = FixedReferralClassifier(model, threshold=0.2)
    >>> referred = careful.refer(X[400:])
    >>> sorted(set(careful.predict(X[400:])[referred].tolist()))
    [-1]
    """

    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods(["fit", "predict_proba"])],
        "threshold": [Interval(Real, None, None, closed="both")],
        "uncertainty": [StrOptions(set(CLASSIFIER_UNCERTAINTIES))],
        "refer_label": "no_validation",
    }

    def __init__(
        self,
        estimator: Any,
        *,
        threshold: float,
        uncertainty: str = "total",
        refer_label: Any = "auto",
    ) -> None:
        self.estimator = estimator
        self.threshold = threshold
        self.uncertainty = uncertainty
        self.refer_label = refer_label

    def fit(self, X: Any, y: Any, sample_weight: Any = None, **params: Any) -> Any:
        """Fit a copy of the classifier.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), default=None
            For the classifier's `fit`.
        **params
            For the classifier's `fit`.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            For a parameter out of range, or a `refer_label` that is one of the classes.
        """
        validate_parameters(self)
        y = self._checked_target(y)
        indexable(X, y)
        routed = self._route(sample_weight, params)
        fitted = clone(self.estimator).fit(X, y, **routed.estimator.fit)
        self._labels(fitted.classes_)
        self.estimator_ = fitted
        self._set_input_attributes()
        return self

    def _rule(self) -> ClassifierRule:
        # Checked here too: the estimator may have been fitted outside.
        validate_parameters(self)
        self._labels(self.classes_)
        return ClassifierRule(self.uncertainty)

    def _limit(self) -> float:
        return self.threshold
