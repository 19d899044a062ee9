"""`TunedReferralClassifierCV`."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np

from .._support.caller_warnings import warn
from .._support.sklearn import HasMethods, StrOptions
from ..metrics._row_scores import CLASSIFIER_UNCERTAINTIES
from ._classifier import ReferralClassifier
from ._cuts import Cuts, cheapest_cut, cut_of_threshold
from ._folds import Unseen
from ._rules import ClassifierRule, Costs
from ._tuning import TUNING_CONSTRAINTS, Tuning, threshold_of


class TunedReferralClassifierCV(Tuning, ReferralClassifier):
    """A classifier that refers what it is not sure of, with a threshold found on unseen rows.

    Say what is to be reached by one of `max_risk`, `min_coverage` and `refer_cost`.

    Parameters
    ----------
    estimator : estimator
        A classifier with `predict_proba`: `DropoutMLPClassifier`, a pipeline or search around
        one, or any other.
    max_risk : float, default=None
        The largest share of errors among the rows that are kept. The threshold keeps the most
        rows for which this holds with confidence `confidence_level`.
    min_coverage : float, default=None
        The least share of rows to keep. The threshold is the strictest that keeps it.
    cost_matrix : array-like of shape (n_classes, n_classes), default=None
        Cost of each decision (column) for each true class (row), with `refer_cost`. `predict`
        then decides for the least expected cost. None: every error costs one.
    refer_cost : float or array-like of shape (n_classes,), default=None
        Cost of referring a row, perhaps by its true class.
    confidence_level : float, default=0.95
        Of the guarantee and of `risk_bound_`.
    uncertainty : {"auto", "total", "epistemic", "aleatoric", "entropy", "max_probability", \
"expected_cost"}, default="auto"
        What is compared with the threshold: "expected_cost" is the expected cost of the best
        decision above that of referral, and needs `refer_cost`; the others are those of
        `FixedReferralClassifier`. "auto" is "expected_cost" with `refer_cost` and else "total".
    refer_label : str or number, default="auto"
        As for `FixedReferralClassifier`.
    cv : int, float, splitter, iterable, "prefit" or "oof", default=None
        Which rows show how good the decisions are. A number of folds or a splitter: every row
        is judged by a model that has not seen it, and `estimator_` is fitted to all rows. None:
        5 folds. A float, or a splitter with a single split: that share of the rows is held out
        and `estimator_` is fitted to the others. "prefit": `estimator` is fitted, and `fit` is
        given rows that it has not seen. "oof": the estimator is a network with
        ``store_oof=True``, or is around one; each row is judged by the members that were not
        trained on it, and nothing is fitted for it. An estimator that is fitted is taken as it
        is, and `fit` is given the rows that it was fitted to; else a copy is fitted once.
    n_jobs : int, default=None
        Folds at the same time.
    random_state : int, RandomState instance or None, default=None
        Which rows are held out if `cv` is a float.

    Attributes
    ----------
    threshold_ : float
        Rows with a larger uncertainty are referred. Infinite: no row is; minus infinity: all.
    selective_risk_ : float
        Share of errors among the unseen rows that were kept; with costs their mean cost. NaN if
        none was.
    selective_coverage_ : float
        Share of the unseen rows that were kept.
    risk_bound_ : float
        Upper confidence bound of the share of errors among rows that are kept. NaN if none is,
        or with costs.
    mean_cost_ : float
        Only with costs: mean cost of all unseen rows, kept or referred.
    cv_results_ : dict of ndarray
        One entry for every threshold that the unseen rows allow: "threshold", "coverage",
        "risk", "n_kept", "n_wrong". With costs "risk" is the mean cost of the rows kept,
        "n_wrong" counts those that cost anything, and "mean_cost" is that of all rows.
    estimator_ : estimator
        The classifier that predicts.
    classes_ : ndarray of shape (n_classes,)
    n_features_in_ : int
        Only if the classifier has it.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Only if the classifier has it.

    Notes
    -----
    What `max_risk` guarantees: if the rows that `fit` judges and the rows to come are drawn
    independently from the same population, then with probability `confidence_level` over the
    former the share of errors among kept rows of the latter is at most `max_risk`. This is
    exact for a held-out part and for "prefit", if the risk rises with the threshold; with folds
    it is an approximation, for the model that predicts is not one of those that were judged.
    So it is with "oof", where rows that are kept later are judged by the mean of all members: it
    is less often wrong than one of them, which is on the safe side, and more spread out.
    What it does not: it says nothing about one hospital or age group of many, nothing about
    rows from another population, and in one of twenty cases it fails.

    With "expected_cost" the threshold is zero: refer where every decision is expected to cost
    more than referral. Nothing is left to tune, and the unseen rows show what the decisions
    cost. For costs of zero and one this is Chow's rule. The expectation is over the draws too:
    costs are linear in the probabilities, so it is the cost under their mean. With another
    uncertainty the threshold is the one of the least mean cost on the unseen rows, which does
    not rely on the probabilities being calibrated.

    References
    ----------
    Chow (1970). On optimum recognition error and reject tradeoff. IEEE Transactions on
    Information Theory.

    Geifman and El-Yaniv (2017). Selective classification for deep neural networks. NeurIPS.

    See Also
    --------
    sklearn.model_selection.TunedThresholdClassifierCV : Tunes where one class ends.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skdropout.decision import TunedReferralClassifierCV
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = LogisticRegression(max_iter=5000)
    >>> careful = TunedReferralClassifierCV(model, max_risk=0.04).fit(X, y)
    >>> careful.risk_bound_ <= 0.04
    True
    """

    _is_classifier = True
    _parameter_constraints: ClassVar[dict] = {
        **TUNING_CONSTRAINTS,
        "estimator": [HasMethods(["fit", "predict_proba"])],
        "cost_matrix": ["array-like", None],
        "refer_cost": [Real, "array-like", None],
        "uncertainty": [StrOptions({"auto", "expected_cost", *CLASSIFIER_UNCERTAINTIES})],
        "refer_label": "no_validation",
    }

    def __init__(
        self,
        estimator: Any,
        *,
        max_risk: float | None = None,
        min_coverage: float | None = None,
        cost_matrix: Any = None,
        refer_cost: Any = None,
        confidence_level: float = 0.95,
        uncertainty: str = "auto",
        refer_label: Any = "auto",
        cv: Any = None,
        n_jobs: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.max_risk = max_risk
        self.min_coverage = min_coverage
        self.cost_matrix = cost_matrix
        self.refer_cost = refer_cost
        self.confidence_level = confidence_level
        self.uncertainty = uncertainty
        self.refer_label = refer_label
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _check_objective(self) -> None:
        name = type(self).__name__
        given = [
            objective
            for objective in ("max_risk", "min_coverage", "refer_cost")
            if getattr(self, objective) is not None
        ]
        if self.cost_matrix is not None and self.refer_cost is None:
            raise ValueError(f"{name}: cost_matrix needs refer_cost, the cost of referring a row")
        if len(given) != 1:
            raise ValueError(
                f"{name}: give one of max_risk, min_coverage and refer_cost (with or without "
                f"cost_matrix), got {given or 'none'}"
            )
        if self.uncertainty == "expected_cost" and self.refer_cost is None:
            raise ValueError(f"{name}: uncertainty='expected_cost' needs refer_cost")

    def _rule(self) -> ClassifierRule:
        return self._rule_of(self._fitted())

    def _rule_of(self, fitted: Any) -> ClassifierRule:
        classes = fitted.classes_
        self._labels(classes)
        costs = None
        if self.refer_cost is not None:
            costs = Costs.checked(type(self).__name__, self.cost_matrix, self.refer_cost, classes)
        uncertainty = self.uncertainty
        if uncertainty == "auto":
            uncertainty = "total" if costs is None else "expected_cost"
        return ClassifierRule(uncertainty, costs)

    def _choose(self, unseen: Unseen, y: np.ndarray, weight: np.ndarray | None) -> None:
        rule = self._rule_of(unseen.estimator)
        unknown = np.setdiff1d(y, unseen.estimator.classes_)
        if len(unknown):
            raise ValueError(
                f"{type(self).__name__}: y holds the labels {unknown.tolist()}, which the "
                f"estimator was not fitted to: {unseen.estimator.classes_.tolist()}"
            )
        decision, score = unseen.judged
        if rule.costs is None:
            cuts = Cuts.of(score, (decision != y).astype(float), weight)
            index, bound = self._index_for(cuts)
            self._describe(cuts, index, bound, threshold_of(cuts, index))
            self._warn_one_class(decision[score <= self.threshold_], y)
            return
        cost, referring = rule.costs.of(y, decision)
        cuts = Cuts.of(score, cost, weight, referring)
        all_referred = float(np.average(referring, weights=weight))
        if rule.uncertainty == "expected_cost":
            index, threshold = cut_of_threshold(cuts, score, 0.0), 0.0
        else:
            index = cheapest_cut(cuts, all_referred)
            threshold = threshold_of(cuts, index)
        self._describe(cuts, index, np.nan, threshold)
        self.cv_results_["mean_cost"] = cuts.cost
        self.mean_cost_ = all_referred if index is None else float(cuts.cost[index])

    def _warn_one_class(self, kept: np.ndarray, y: np.ndarray) -> None:
        decided, present = np.unique(kept), np.unique(y)
        if len(decided) == 1 and len(present) > 1 and self.max_risk is not None:
            warn(
                f"{type(self).__name__}: every row that is kept is predicted to be "
                f"{decided[0]!r}; the other classes are always referred"
            )
