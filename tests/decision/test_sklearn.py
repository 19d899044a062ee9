"""Referring estimators as scikit-learn's: its checks, labels, weights, metadata routing."""

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.linear_model import BayesianRidge, LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_val_score
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import skdropout
from skdropout.decision import (
    FixedReferralClassifier,
    FixedReferralRegressor,
    TunedReferralClassifierCV,
    TunedReferralRegressorCV,
)
from tests.referral_cases import CANCER, IRIS, linear

NET = skdropout.DropoutMLPClassifier(
    (20,),
    learning_rate_init=0.05,
    max_iter=500,
    tol=0.02,
    n_iter_no_change=3,
    random_state=0,
)

# The checks compare predictions with labels, so nothing is referred.
NOTHING_REFERRED = [
    FixedReferralClassifier(LogisticRegression(), threshold=1.0),
    FixedReferralClassifier(NET, threshold=1.0),
    TunedReferralClassifierCV(LogisticRegression(), min_coverage=1.0),
    TunedReferralClassifierCV(LogisticRegression(), min_coverage=1.0, cv=0.3, random_state=0),
    TunedReferralClassifierCV(LogisticRegression(), refer_cost=1.0),
    TunedReferralClassifierCV(clone(NET).set_params(store_oof=True), min_coverage=1.0, cv="oof"),
    FixedReferralRegressor(BayesianRidge(), threshold=np.inf),
    TunedReferralRegressorCV(BayesianRidge(), min_coverage=1.0),
]


def expected_failures(estimator):
    if isinstance(estimator.estimator, BayesianRidge):
        return {"check_dtype_object": "BayesianRidge's std does not convert objects"}
    if isinstance(estimator.estimator, skdropout.DropoutMLPClassifier):
        return {
            f"check_sample_weight_equivalence_on_{kind}_data": "batches are made of rows, so "
            "repeating a row is not the same as weighing it"
            for kind in ("dense", "sparse")
        }
    return {}


@parametrize_with_checks(NOTHING_REFERRED, expected_failed_checks=expected_failures)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    ("labels", "refer"),
    [
        (np.array(["x", "yy", "zzz"]), "refer"),
        (np.array(["x", "yy", "zzz"], dtype=object), "refer"),
        (np.array([3, 5, 9]), -1),
    ],
)
def test_labels_of_any_kind(labels, refer):
    X, y = IRIS
    named = labels[y]
    careful = TunedReferralClassifierCV(linear(), min_coverage=0.8).fit(X, named)
    plain = TunedReferralClassifierCV(linear(), min_coverage=0.8).fit(X, y)
    referred = careful.refer(X)
    np.testing.assert_array_equal(referred, plain.refer(X))
    predicted = careful.predict(X)
    np.testing.assert_array_equal(predicted[~referred], labels[plain.predict(X)[~referred]])
    assert set(predicted[referred]) == {refer}
    np.testing.assert_array_equal(careful.classes_, labels)


def test_weights_reach_the_estimator_in_every_fold():
    X, y = StandardScaler().fit_transform(CANCER[0]), CANCER[1]
    weight = np.random.default_rng(0).random(len(y))
    model = LogisticRegression()
    careful = TunedReferralClassifierCV(model, min_coverage=0.6, cv=3).fit(X, y, weight)
    np.testing.assert_allclose(
        careful.predict_proba(X), clone(model).fit(X, y, weight).predict_proba(X)
    )
    unweighted = TunedReferralClassifierCV(model, min_coverage=0.6, cv=3).fit(X, y)
    assert careful.threshold_ != unweighted.threshold_
    ones = TunedReferralClassifierCV(model, min_coverage=0.6, cv=3).fit(X, y, np.ones(len(y)))
    assert ones.threshold_ == unweighted.threshold_


def test_metadata_routing_sends_weights_and_groups():
    X, y = StandardScaler().fit_transform(CANCER[0]), CANCER[1]
    rng = np.random.default_rng(0)
    weight, groups = rng.random(len(y)), rng.integers(9, size=len(y))
    by_hand = TunedReferralClassifierCV(
        LogisticRegression(),
        min_coverage=0.6,
        cv=list(GroupKFold(3).split(X, y, groups)),
    ).fit(X, y, weight)
    with sklearn.config_context(enable_metadata_routing=True):
        model = LogisticRegression().set_fit_request(sample_weight=True)
        careful = TunedReferralClassifierCV(model, min_coverage=0.6, cv=GroupKFold(3))
        careful.fit(X, y, sample_weight=weight, groups=groups)
        unasked = TunedReferralClassifierCV(LogisticRegression(), min_coverage=0.6)
        with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError, match="sample_weight"):
            unasked.fit(X, y, sample_weight=weight)
    assert careful.threshold_ == by_hand.threshold_
    np.testing.assert_array_equal(careful.predict_proba(X), by_hand.predict_proba(X))


@pytest.mark.parametrize(
    "make",
    [
        lambda cv: TunedReferralClassifierCV(LogisticRegression(), max_risk=0.2, cv=cv),
        lambda cv: TunedReferralRegressorCV(BayesianRidge(), min_coverage=0.6, cv=cv),
    ],
    ids=["classifier", "regressor"],
)
def test_rows_of_one_patient_are_on_one_side(make):
    X, y = StandardScaler().fit_transform(CANCER[0]), CANCER[1]
    patients = np.random.default_rng(0).integers(9, size=len(y))
    by_hand = make(list(GroupKFold(3).split(X, y, patients))).fit(X, y)
    careful = make(GroupKFold(3)).fit(X, y, groups=patients)
    assert careful.threshold_ == by_hand.threshold_
    np.testing.assert_array_equal(careful.cv_results_["risk"], by_hand.cv_results_["risk"])
    weight = np.random.default_rng(1).random(len(y))
    weighted = make(GroupKFold(3)).fit(X, y, weight, groups=patients.tolist())
    by_hand = make(list(GroupKFold(3).split(X, y, patients))).fit(X, y, weight)
    assert weighted.threshold_ == by_hand.threshold_


def test_a_search_inside_a_fixed_referral_gets_the_groups():
    X, y = StandardScaler().fit_transform(CANCER[0]), CANCER[1]
    patients = np.random.default_rng(0).integers(9, size=len(y))
    search = GridSearchCV(LogisticRegression(), {"C": [0.01, 1.0]}, cv=GroupKFold(3))
    careful = FixedReferralClassifier(search, threshold=0.2).fit(X, y, groups=patients)
    alone = clone(search).fit(X, y, groups=patients)
    np.testing.assert_array_equal(
        careful.estimator_.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"]
    )


def test_fixed_takes_part_in_nested_search():
    X, y = CANCER
    careful = FixedReferralClassifier(linear(), threshold=0.2)
    search = GridSearchCV(
        careful, {"estimator__logisticregression__C": [0.01, 1.0]}, cv=KFold(2)
    ).fit(X, y)
    assert search.best_score_ == pytest.approx(
        cross_val_score(search.best_estimator_, X, y, cv=KFold(2)).mean()
    )
    assert search.best_score_ > 0.97


def test_tags_are_those_of_the_estimator_inside():
    sparse = FixedReferralClassifier(LogisticRegression(), threshold=0.1)
    dense = FixedReferralClassifier(
        skdropout.DropoutMLPClassifier(input_encoding="scale"), threshold=0.1
    )
    assert sklearn.utils.get_tags(sparse).input_tags.sparse
    assert not sklearn.utils.get_tags(dense).input_tags.sparse
