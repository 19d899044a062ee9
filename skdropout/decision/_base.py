"""What all referring estimators share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator, MetaEstimatorMixin
from sklearn.exceptions import NotFittedError, UndefinedMetricWarning
from sklearn.utils import Bunch, Tags, get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from .._support.caller_warnings import warn
from .._support.sklearn import safe_indexing
from .._wrappers.walk import NotRefittedError, innermost
from .._wrappers.wrapped import predict_uncertainty
from ._rules import Judged


class Referral(MetaEstimatorMixin, BaseEstimator, ABC):
    """An estimator that hands over the rows of which another one is not sure."""

    estimator: Any
    uncertainty: str

    @abstractmethod
    def _rule(self) -> Any:
        """Callable `rule(fitted, X)`, and `rule.settled(fitted, X)`."""

    @abstractmethod
    def _limit(self) -> float:
        """Rows whose score exceeds it are referred."""

    @abstractmethod
    def _checked_target(self, y: Any) -> np.ndarray:
        """Labels or targets, ``(n_samples,)``."""

    # ---- what was fitted ------------------------------------------------------------------

    def _fitted(self) -> Any:
        check_is_fitted(self)
        fitted = getattr(self, "estimator_", self.estimator)
        # A search that was not refitted cannot predict, and says so here.
        innermost(fitted)
        return fitted

    def _judge(self, X: Any) -> tuple[Judged, np.ndarray]:
        """Decisions and scores, and which rows are referred."""
        fitted = self._fitted()
        judged = self._rule()(fitted, X)
        return judged, judged.score > self._limit()

    def _set_input_attributes(self) -> None:
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
            elif hasattr(self, name):
                delattr(self, name)

    estimator_: Any

    # ---- referral -------------------------------------------------------------------------

    def refer(self, X: Any) -> np.ndarray:
        """Which rows are referred.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of bool of shape (n_samples,)
        """
        return self._judge(X)[1]

    def referral_score(self, X: Any) -> np.ndarray:
        """The number that is compared with the threshold.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
            A row is referred if its score exceeds the threshold.
        """
        return self._judge(X)[0].score

    def referral_reason(self, X: Any) -> np.ndarray:
        """Why each row is referred: for lack of data, or because the case is ambiguous.

        The draws are single functions that explain the training data about equally well. The
        score is averaged within them, so that what they disagree about no longer counts. If
        that average would not be referred, the model lacks knowledge; if it would, the row is
        a close call for each of the functions.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of str of shape (n_samples,)
            "epistemic": the model lacks data here, label more such rows, or the row is
            outside of what it was trained on. "aleatoric": the case is ambiguous, a better
            measurement or a second opinion can help, more rows of the same kind can not. An
            empty string where the row is not referred.

        Raises
        ------
        TypeError
            If the model inside does not split its uncertainty.
        """
        referred = self.refer(X)
        reason = np.full(len(referred), "", dtype="<U9")
        if referred.any():
            rows = np.flatnonzero(referred)
            settled = self._rule().settled(self._fitted(), safe_indexing(X, rows))
            reason[rows] = np.where(settled > self._limit(), "aleatoric", "epistemic")
        return reason

    def predict_uncertainty(self, X: Any, **kwargs: Any) -> Any:
        """Uncertainty of the model inside, for all rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        **kwargs
            As for `skdropout.predict_uncertainty`.

        Returns
        -------
        Uncertainty
        """
        return predict_uncertainty(self._fitted(), X, **kwargs)

    # ---- scikit-learn -----------------------------------------------------------------------

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.input_tags = inner.input_tags
        tags.classifier_tags = inner.classifier_tags
        if tags.classifier_tags is not None:
            # A row is referred by one label.
            tags.classifier_tags.multi_label = False
        tags.regressor_tags = inner.regressor_tags
        tags.non_deterministic = inner.non_deterministic
        tags.target_tags.multi_output = False
        return tags

    def get_metadata_routing(self) -> MetadataRouter:
        """Where `fit` sends what it is given beside X and y.

        Returns
        -------
        MetadataRouter
        """
        router = MetadataRouter(owner=self).add_self_request(self)
        router = router.add(
            estimator=self.estimator,
            method_mapping=MethodMapping().add(caller="fit", callee="fit"),
        )
        if hasattr(self, "cv"):
            router = router.add(
                splitter=self.cv,
                method_mapping=MethodMapping().add(caller="fit", callee="split"),
            )
        return router

    def _route(self, sample_weight: Any, params: dict[str, Any]) -> Bunch:
        """Arguments of `estimator.fit` and `splitter.split`."""
        if get_config()["enable_metadata_routing"]:
            if sample_weight is not None:
                params = {**params, "sample_weight": sample_weight}
            return process_routing(self, "fit", **params)
        if sample_weight is not None:
            if not has_fit_parameter(self.estimator, "sample_weight"):
                raise ValueError(
                    f"{type(self).__name__}: {type(self.estimator).__name__}.fit takes no "
                    "sample_weight; for a Pipeline pass <step>__sample_weight or enable "
                    "scikit-learn's metadata routing"
                )
            params = {**params, "sample_weight": sample_weight}
        # Groups are for the splitter, where there is one, and for an estimator that takes them.
        split = {}
        if hasattr(self, "cv"):
            split = {"groups": params.get("groups")}
            if not has_fit_parameter(self.estimator, "groups"):
                params = {name: value for name, value in params.items() if name != "groups"}
        return Bunch(estimator=Bunch(fit=params), splitter=Bunch(split=split))

    def _warn_undefined(self, why: str) -> float:
        warn(f"{type(self).__name__}.score is NaN: {why}", UndefinedMetricWarning)
        return float("nan")


class UnfittedUse:
    """For estimators that work around a fitted estimator without being fitted."""

    estimator: Any

    def __sklearn_is_fitted__(self) -> bool:
        if hasattr(self, "estimator_"):
            return True
        try:
            check_is_fitted(innermost(self.estimator))
        except NotFittedError as error:
            # What such a search lacks is not a fit.
            return isinstance(error, NotRefittedError)
        return True
