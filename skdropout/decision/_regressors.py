"""`FixedReferralRegressor` and `TunedReferralRegressorCV`."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import RegressorMixin, clone
from sklearn.metrics import r2_score
from sklearn.utils import check_array, check_consistent_length, column_or_1d

from .._support.caller_warnings import one_column
from .._support.gaps import split_gaps
from .._support.sklearn import HasMethods, Interval, StrOptions, validate_parameters
from ..metrics._row_scores import REGRESSOR_UNCERTAINTIES
from ._base import Referral, UnfittedUse
from ._cuts import Cuts
from ._folds import Unseen
from ._rules import RegressorRule
from ._tuning import TUNING_CONSTRAINTS, Tuning, threshold_of

_SHARED_CONSTRAINTS: dict[str, Any] = {
    "estimator": [HasMethods(["fit", "predict"])],
    "uncertainty": [StrOptions(set(REGRESSOR_UNCERTAINTIES))],
    "interval_level": [Interval(Real, 0, 1, closed="neither")],
    "refer_value": [Real],
}


class ReferralRegressor(RegressorMixin, Referral):
    """A regressor that gives a mark instead of a number for the rows that it refers."""

    interval_level: float
    refer_value: float

    def predict(self, X: Any) -> np.ndarray:
        """Prediction of each row, or `refer_value`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
            In the units of y.
        """
        judged, referred = self._judge(X)
        return np.where(referred, self.refer_value, judged.decision)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R squared among the rows that are not referred.

        The rows kept differ between thresholds, and so does the variance of y among them: do
        not choose a threshold by it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
            NaN with an `UndefinedMetricWarning` if fewer than two rows are kept.
        """
        judged, referred = self._judge(X)
        y = column_or_1d(y)
        check_consistent_length(judged.decision, y)
        if (~referred).sum() < 2:
            return self._warn_undefined("fewer than two rows are kept")
        weight = None if sample_weight is None else np.asarray(sample_weight)[~referred]
        return float(r2_score(y[~referred], judged.decision[~referred], sample_weight=weight))

    def _rule(self) -> RegressorRule:
        return RegressorRule(self.uncertainty, self.interval_level)

    def _checked_target(self, y: Any) -> np.ndarray:
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None"
            )
        # Several columns are refused as such, with gaps too.
        y, _ = split_gaps(y)
        y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        return one_column(y)


class FixedReferralRegressor(UnfittedUse, ReferralRegressor):
    """A regressor that refers the rows whose uncertainty exceeds a given limit.

    Parameters
    ----------
    estimator : estimator
        A regressor that says how sure it is, fitted or not: `DropoutMLPRegressor`, a pipeline,
        search or linear target transform around one, or one with ``predict(X, return_std=True)``.
        Around a target transform that is monotone and not linear only "interval_width" is known.
    threshold : float
        Rows with a larger uncertainty are referred. In its units.
    uncertainty : {"expected_error", "interval_width", "total", "epistemic", "aleatoric"}, \
default="expected_error"
        "expected_error" is the expected absolute error, "interval_width" the width of the
        predictive interval, both in the units of y; the others are variances. The expected
        error, and the width for an estimator that is not of this package, are those of a normal
        distribution with the predicted variance.
    interval_level : float, default=0.9
        Confidence level of the interval.
    refer_value : float, default=nan
        What `predict` returns for referred rows. A number that could be a prediction would be
        used as one, so the default is NaN; `refer` gives the mask.

    Attributes
    ----------
    estimator_ : estimator
        The fitted regressor.
    n_features_in_ : int
        Only if the regressor has it.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Only if the regressor has it.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import BayesianRidge
    >>> from skdropout.decision import FixedReferralRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> careful = FixedReferralRegressor(BayesianRidge(), threshold=43.5).fit(X, y)
    >>> careful.predict(X).shape
    (442,)
    """

    _parameter_constraints: ClassVar[dict] = {
        **_SHARED_CONSTRAINTS,
        "threshold": [Interval(Real, None, None, closed="both")],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        threshold: float,
        uncertainty: str = "expected_error",
        interval_level: float = 0.9,
        refer_value: float = np.nan,
    ) -> None:
        self.estimator = estimator
        self.threshold = threshold
        self.uncertainty = uncertainty
        self.interval_level = interval_level
        self.refer_value = refer_value

    def fit(self, X: Any, y: Any, sample_weight: Any = None, **params: Any) -> Any:
        """Fit a copy of the regressor.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), default=None
            For the regressor's `fit`.
        **params
            For the regressor's `fit`.

        Returns
        -------
        self : object
        """
        validate_parameters(self)
        y = self._checked_target(y)
        routed = self._route(sample_weight, params)
        self.estimator_ = clone(self.estimator).fit(X, y, **routed.estimator.fit)
        self._set_input_attributes()
        return self

    def _limit(self) -> float:
        validate_parameters(self)
        return self.threshold


class TunedReferralRegressorCV(Tuning, ReferralRegressor):
    """A regressor that refers what it is not sure of, with a limit found on unseen rows.

    Say what is to be reached by `max_risk` together with `max_error`, or by `min_coverage`.

    Parameters
    ----------
    estimator : estimator
        As for `FixedReferralRegressor`.
    max_error : float, default=None
        The largest absolute error, in the units of y, that is not yet a mistake.
    max_risk : float, default=None
        The largest share of mistakes among the rows that are kept. The threshold keeps the most
        rows for which this holds with confidence `confidence_level`.
    min_coverage : float, default=None
        The least share of rows to keep. The threshold is the strictest that keeps it.
    confidence_level : float, default=0.95
        Of the guarantee and of `risk_bound_`.
    uncertainty : {"expected_error", "interval_width", "total", "epistemic", "aleatoric"}, \
default="expected_error"
        As for `FixedReferralRegressor`.
    interval_level : float, default=0.9
        Confidence level of the interval.
    refer_value : float, default=nan
        As for `FixedReferralRegressor`.
    cv, n_jobs, random_state
        As for `TunedReferralClassifierCV`.

    Attributes
    ----------
    threshold_ : float
        Rows with a larger uncertainty are referred. Infinite: no row is; minus infinity: all.
    selective_risk_ : float
        With `max_error` the share of mistakes among the unseen rows that were kept, without it
        their mean absolute error in the units of y. NaN if none was kept.
    selective_coverage_ : float
        Share of the unseen rows that were kept.
    risk_bound_ : float
        Upper confidence bound of the share of mistakes. NaN without `max_error`: an error that
        may be as large as it likes has no bound that holds for every population.
    cv_results_ : dict of ndarray
        As for `TunedReferralClassifierCV`, without costs.
    estimator_ : estimator
        The regressor that predicts.
    n_features_in_ : int
        Only if the regressor has it.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Only if the regressor has it.

    Notes
    -----
    The guarantee is that of `TunedReferralClassifierCV`, for mistakes instead of errors.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import BayesianRidge
    >>> from skdropout.decision import TunedReferralRegressorCV
    >>> X, y = load_diabetes(return_X_y=True)
    >>> careful = TunedReferralRegressorCV(BayesianRidge(), max_error=100, max_risk=0.15)
    >>> careful.fit(X, y).risk_bound_ <= 0.15
    True
    """

    _is_classifier = False
    _parameter_constraints: ClassVar[dict] = {
        **TUNING_CONSTRAINTS,
        **_SHARED_CONSTRAINTS,
        "max_error": [Interval(Real, 0, None, closed="neither"), None],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        max_error: float | None = None,
        max_risk: float | None = None,
        min_coverage: float | None = None,
        confidence_level: float = 0.95,
        uncertainty: str = "expected_error",
        interval_level: float = 0.9,
        refer_value: float = np.nan,
        cv: Any = None,
        n_jobs: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.max_error = max_error
        self.max_risk = max_risk
        self.min_coverage = min_coverage
        self.confidence_level = confidence_level
        self.uncertainty = uncertainty
        self.interval_level = interval_level
        self.refer_value = refer_value
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _check_objective(self) -> None:
        name = type(self).__name__
        if (self.max_risk is None) == (self.min_coverage is None):
            raise ValueError(
                f"{name}: give one of max_risk and min_coverage, got "
                f"max_risk={self.max_risk!r} and min_coverage={self.min_coverage!r}"
            )
        if self.max_risk is not None and self.max_error is None:
            raise ValueError(
                f"{name}: max_risk is a share of mistakes; say by max_error from which absolute "
                "error on a prediction is a mistake"
            )

    def _rule_of(self, fitted: Any) -> RegressorRule:
        return self._rule()

    def _choose(self, unseen: Unseen, y: np.ndarray, weight: np.ndarray | None) -> None:
        decision, score = unseen.judged
        error = np.abs(decision - y)
        loss = error if self.max_error is None else (error > self.max_error).astype(float)
        cuts = Cuts.of(score, loss, weight)
        index, bound = self._index_for(cuts)
        bound = np.nan if self.max_error is None else bound
        self._describe(cuts, index, bound, threshold_of(cuts, index))
