"""Thresholds from what the members of a fitted network say about rows that they have not seen."""

import copy

import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, RepeatedKFold, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from skdropout.decision import (
    FixedReferralClassifier,
    TunedReferralClassifierCV,
    TunedReferralRegressorCV,
)
from skdropout.displays import RiskCoverageDisplay, UncertaintyDisplay
from skdropout.metrics import aurc_score, neg_aurc_scorer
from tests.reference import CROSS_FITTED, quick, target
from tests.referral_cases import Given

RNG = np.random.default_rng(0)
X = RNG.standard_normal((300, 4))
LABELS = (X[:, 0] + 0.8 * RNG.standard_normal(300) > 0).astype(int)
NUMBERS = X[:, 0] + (0.2 + np.abs(X[:, 1])) * RNG.standard_normal(300)
GROUPS = RNG.integers(30, size=300)


def network(estimator_class=DropoutMLPClassifier, **options):
    steps = {"learning_rate_init": 0.02, "n_iter_no_change": 10}
    return quick(estimator_class, **{**CROSS_FITTED, "store_oof": True, **steps, **options})


# ---- classes -----------------------------------------------------------------------------------


def assert_by_hand(careful, scores, wrong):
    """Coverage, risk and threshold follow from scores and mistakes.

    Stored answers are made from rows in float32, so scores differ in the seventh digit.
    """
    n_kept = round(careful.selective_coverage_ * len(scores))
    order = np.argsort(scores)
    assert 0 < n_kept < len(scores)
    assert scores[order[n_kept - 1]] <= careful.threshold_ * (1 + 1e-5)
    assert scores[order[n_kept]] >= careful.threshold_ * (1 - 1e-5)
    assert careful.selective_risk_ == pytest.approx(wrong[order[:n_kept]].mean(), abs=0.5 / n_kept)
    assert careful.cv_results_["n_kept"][-1] == len(scores)


def mistakes(model):
    """Doubt and mistakes by the stored probabilities."""
    return 1 - model.oof_proba_.max(1), model.oof_proba_.argmax(1) != LABELS


@pytest.mark.parametrize("fitted", [False, True])
@pytest.mark.parametrize("objective", [{"min_coverage": 0.6}, {"max_risk": 0.3}])
def test_the_threshold_follows_from_the_stored_probabilities(fitted, objective):
    model = network()
    given = model.fit(X, LABELS) if fitted else model
    careful = TunedReferralClassifierCV(
        given, cv="oof", uncertainty="max_probability", **objective
    ).fit(X, LABELS)
    assert (careful.estimator_ is model) == fitted
    assert hasattr(model, "net_") == fitted
    assert_by_hand(careful, *mistakes(careful.estimator_))


@pytest.mark.parametrize("uncertainty", ["total", "epistemic", "entropy", "max_probability"])
def test_each_row_is_judged_by_the_members_that_have_not_seen_it(uncertainty):
    """By another route: the members of one fold as a model of their own."""
    model = network(n_members=2).fit(X, LABELS)
    careful = TunedReferralClassifierCV(
        model, cv="oof", uncertainty=uncertainty, min_coverage=0.7
    ).fit(X, LABELS)
    scores, wrong = np.empty(300), np.empty(300)
    for rows, members in model._out_of_fold.parts:
        alone = copy.copy(model)
        alone.net_ = model.net_.select(members)
        judge = FixedReferralClassifier(alone, threshold=0.0, uncertainty=uncertainty)
        scores[rows] = judge.referral_score(X[rows])
        wrong[rows] = alone.predict(X[rows]) != LABELS[rows]
    assert_by_hand(careful, scores, wrong)


def test_nothing_more_is_fitted_and_the_model_stays_as_it_was(monkeypatch):
    model = network().fit(X, LABELS)
    before, expected = dict(vars(model)), model.predict_proba(X)
    monkeypatch.setattr(DropoutMLPClassifier, "fit", lambda *args, **kwargs: 1 / 0)
    careful = TunedReferralClassifierCV(model, cv="oof", min_coverage=0.7).fit(X, LABELS)
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is value for name, value in before.items())
    np.testing.assert_array_equal(careful.predict_proba(X), expected)


def test_through_a_pipeline_and_a_search():
    pipe = make_pipeline(StandardScaler(), network())
    piped = TunedReferralClassifierCV(pipe, cv="oof", min_coverage=0.7).fit(X, LABELS)
    options = {"cv": "oof", "min_coverage": 0.7, "uncertainty": "max_probability"}
    assert piped.set_params(**options).fit(X, LABELS).selective_coverage_ >= 0.7
    assert_by_hand(piped, *mistakes(piped.estimator_[-1]))
    search = GridSearchCV(pipe, {"dropoutmlpclassifier__alpha": [1e-4]}, cv=2).fit(X, LABELS)
    searched = TunedReferralClassifierCV(search, **options).fit(X, LABELS)
    assert searched.estimator_ is search
    assert_by_hand(searched, *mistakes(search.best_estimator_[-1]))
    assert searched.threshold_ == piped.threshold_


def test_labels_weights_and_costs():
    named = np.array(["ill", "well"])[LABELS]
    weight = np.where(np.arange(300) < 60, 0.0, 1.0)
    model = network().fit(X, named, sample_weight=weight)
    careful = TunedReferralClassifierCV(
        model, cv="oof", cost_matrix=[[0, 3], [1, 0]], refer_cost=0.4
    ).fit(X, named)
    # Rows without weight are in no fold; nobody is asked about them.
    assert careful.cv_results_ is None or careful.cv_results_["n_kept"][-1] <= 240
    decided = careful.predict(X)
    assert set(decided) <= {"ill", "well", "refer"}
    proba = model.oof_proba_[60:]
    costs = np.stack([proba @ [0, 1], proba @ [3, 0], np.full(240, 0.4)], 1)
    paid = np.where(
        costs.argmin(1) == 2, 0.4, np.array([[0, 3], [1, 0]])[LABELS[60:], costs.argmin(1) % 2]
    )
    assert careful.mean_cost_ == pytest.approx(paid.mean(), abs=0.02)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: network(store_oof=False), "fitted with store_oof=True and a cv"),
        (lambda: network(store_oof=False).fit(X, LABELS), "fitted with store_oof=True and a cv"),
        (lambda: network(cv=None, early_stopping=False), "without folds"),
        (lambda: LogisticRegression(), "needs one fitted with store_oof.*got LogisticRegression"),
        (lambda: Given().fit(None, None), "got Given"),
        (lambda: network().fit(X[:200], LABELS[:200]), "200 of them, and X has 300"),
        (
            lambda: network(cv=RepeatedKFold(n_splits=2, n_repeats=2, random_state=0)),
            "a row counts once",
        ),
        # Its members have seen more rows since, and a copy of it would not be what it is.
        (lambda: network().fit(X, LABELS).partial_fit(X, LABELS), "fitted with store_oof=True"),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_model_that_cannot_say_it_gets_a_sentence(make, match):
    careful = TunedReferralClassifierCV(make(), cv="oof", min_coverage=0.7)
    with pytest.raises(ValueError, match=match):
        careful.fit(X, LABELS)
    assert not hasattr(careful, "threshold_")


def test_a_fitted_model_has_no_use_for_what_a_fit_takes():
    model = network().fit(X, LABELS)
    careful = TunedReferralClassifierCV(model, cv="oof", min_coverage=0.7)
    with pytest.raises(ValueError, match=r"the estimator is fitted.*no use for \['groups'\]"):
        careful.fit(X, LABELS, groups=GROUPS)


# ---- numbers -----------------------------------------------------------------------------------


def test_a_regressor_by_its_stored_means_and_deviations():
    model = network(DropoutMLPRegressor)
    careful = TunedReferralRegressorCV(model, cv="oof", uncertainty="total", min_coverage=0.6).fit(
        X, NUMBERS
    )
    inside = careful.estimator_
    assert_by_hand(careful, inside.oof_std_**2, np.abs(NUMBERS - inside.oof_mean_))


def test_a_fitted_regressor_in_a_pipeline():
    pipe = make_pipeline(StandardScaler(), network(DropoutMLPRegressor)).fit(X, NUMBERS)
    careful = TunedReferralRegressorCV(pipe, cv="oof", min_coverage=0.8).fit(X, NUMBERS)
    assert careful.estimator_ is pipe
    assert 0.8 <= careful.selective_coverage_ < 0.81
    assert 0 < careful.refer(X).mean() < 0.5


# ---- groups ------------------------------------------------------------------------------------


class Recorder(ClassifierMixin, BaseEstimator):
    """Remembers which groups each fit had, and says one probability for all."""

    seen = []

    def fit(self, X, y, groups=None):
        self.classes_ = np.unique(y)
        Recorder.seen.append(None if groups is None else np.asarray(groups))
        self.groups_ = groups
        return self

    def predict_proba(self, X):
        p = 1 / (1 + np.exp(-np.asarray(X)[:, 0]))
        return np.stack([1 - p, p], 1)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(1)]


@pytest.mark.parametrize("cv", [None, 3, 0.3])
def test_an_estimator_that_takes_groups_gets_its_own(cv):
    Recorder.seen = []
    careful = TunedReferralClassifierCV(Recorder(), min_coverage=0.7, cv=cv, random_state=0)
    careful.fit(X, LABELS, groups=GROUPS)
    n_folds = {None: 5, 3: 3}.get(cv, 0)
    parts = Recorder.seen[1:] if n_folds else Recorder.seen
    assert len(parts) == max(n_folds, 1)
    for groups in parts:
        # Whole patients: those that are trained on are there with all their rows.
        counts = np.bincount(groups, minlength=30)
        assert {*(counts == np.bincount(GROUPS, minlength=30))[counts > 0]} == {True}
        assert 0 < (counts == 0).sum() < 30
    if n_folds:
        np.testing.assert_array_equal(Recorder.seen[0], GROUPS)


def test_int_folds_with_groups_are_stratified_group_folds():
    careful, by_hand = (
        TunedReferralClassifierCV(LogisticRegression(), min_coverage=0.7, cv=cv)
        for cv in (4, list(StratifiedGroupKFold(4).split(X, LABELS, GROUPS)))
    )
    assert careful.fit(X, LABELS, groups=GROUPS).threshold_ == by_hand.fit(X, LABELS).threshold_


@pytest.mark.parametrize("cv", [3, "oof"])
def test_a_network_gets_the_groups(cv):
    careful = TunedReferralClassifierCV(network(cv=3), min_coverage=0.7, cv=cv)
    careful.fit(X, LABELS, groups=GROUPS)
    for rows, _ in careful.estimator_._out_of_fold.parts:
        assert not {*GROUPS[rows]} & {*np.delete(GROUPS, rows)}


def test_groups_through_metadata_routing():
    with sklearn.config_context(enable_metadata_routing=True):
        asks = network(cv=3).set_fit_request(groups=True)
        careful = TunedReferralClassifierCV(asks, min_coverage=0.7, cv="oof")
        careful.fit(X, LABELS, groups=GROUPS)
    for rows, _ in careful.estimator_._out_of_fold.parts:
        assert not {*GROUPS[rows]} & {*np.delete(GROUPS, rows)}


# ---- everything around -------------------------------------------------------------------------


def test_reasons_displays_and_scores_of_members():
    model = network().fit(X, LABELS)
    careful = TunedReferralClassifierCV(model, cv="oof", min_coverage=0.6).fit(X, LABELS)
    referred = careful.refer(X)
    assert {*careful.referral_reason(X)[referred]} <= {"epistemic", "aleatoric"}
    assert RiskCoverageDisplay.from_estimator(careful, X, LABELS) is not None
    assert UncertaintyDisplay.from_estimator(model, X, LABELS) is not None
    u = model.predict_uncertainty(X)
    expected = aurc_score(LABELS, model.predict(X), u.total)
    assert neg_aurc_scorer(model, X, LABELS) == pytest.approx(-expected)


def test_a_search_over_referral_by_folds():
    careful = TunedReferralClassifierCV(network(cv=2), cv="oof", min_coverage=0.7)
    search = GridSearchCV(careful, {"min_coverage": [0.6, 0.9]}, cv=KFold(2)).fit(X, LABELS)
    again = clone(search.best_estimator_).fit(X, LABELS)
    assert again.threshold_ == search.best_estimator_.threshold_


def test_targets_of_both_kinds_have_answers():
    y = target(DropoutMLPRegressor, LABELS)
    assert np.isfinite(network(DropoutMLPRegressor).fit(X, y).oof_std_).all()
