"""Referral, and scores of class probabilities, refuse models of several labels per row."""

import numpy as np
import pytest
from sklearn.datasets import make_multilabel_classification
from sklearn.neural_network import MLPClassifier
from sklearn.utils import get_tags

from skdropout import DropoutMLPClassifier
from skdropout.decision import FixedReferralClassifier, TunedReferralClassifierCV
from skdropout.metrics import (
    log_predictive_density_scorer,
    neg_aurc_scorer,
    neg_brier_scorer,
    neg_expected_calibration_error_scorer,
)
from tests.reference import quick

REFUSED = "gives rows probabilities that do not add up to one, as where y has several labels"


@pytest.fixture(scope="module")
def table():
    return make_multilabel_classification(80, n_features=5, n_classes=2, random_state=0)


@pytest.fixture(scope="module", params=["ours", "scikit-learn's"])
def model(request, table):
    if request.param == "ours":
        return quick(DropoutMLPClassifier).fit(*table)
    return MLPClassifier(max_iter=100, tol=10.0, random_state=0).fit(*table)


def test_no_row_is_referred_by_several_labels(table, model):
    X, Y = table
    careful = FixedReferralClassifier(model, threshold=0.2)
    for method in (careful.predict, careful.refer, careful.referral_reason):
        with pytest.raises(ValueError, match=REFUSED):
            method(X)
    for referral in (careful, TunedReferralClassifierCV(model, max_risk=0.1)):
        with pytest.raises(ValueError, match=r"one label per row, got shape \(80, 2\)"):
            referral.fit(X, Y)
        with pytest.raises(ValueError, match=r"one label per row, got shape \(80, 2\)"):
            referral.fit(X, np.where(X[:, :2] > X.mean(), np.nan, Y))
        assert not get_tags(referral).classifier_tags.multi_label


@pytest.mark.parametrize("objective", [{"max_risk": 0.1}, {"refer_cost": 0.1}])
def test_no_threshold_is_tuned_on_several_labels(table, model, objective):
    X, Y = table
    with pytest.raises(ValueError, match=REFUSED):
        TunedReferralClassifierCV(model, cv="prefit", **objective).fit(X, Y[:, 0])


@pytest.mark.parametrize(
    "scorer", [neg_aurc_scorer, neg_brier_scorer, neg_expected_calibration_error_scorer]
)
def test_scores_of_class_probabilities(table, model, scorer):
    with pytest.raises(ValueError, match=REFUSED):
        scorer(model, *table)


def test_the_log_density_of_several_labels_is_joint(table):
    X, Y = table
    ours = quick(DropoutMLPClassifier).fit(X, Y)
    assert log_predictive_density_scorer(ours, X, Y) == np.mean(ours.log_prob(X, Y))
    with pytest.raises(ValueError, match=REFUSED):
        log_predictive_density_scorer(MLPClassifier(max_iter=100, tol=10.0).fit(X, Y), X, Y)
