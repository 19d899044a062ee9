"""Bad input to the referring classifiers gets a sentence."""

import numpy as np
import pytest
from sklearn.model_selection import RepeatedKFold

from skdropout.decision import (
    FixedReferralClassifier,
    TunedReferralClassifierCV,
)
from tests.referral_cases import CANCER, Given, linear, network


@pytest.fixture(scope="module")
def fitted():
    return network().fit(*CANCER)


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({}, "give one of max_risk"),
        ({"max_risk": 0.1, "min_coverage": 0.5}, "give one of max_risk"),
        ({"max_risk": 0.0}, "'max_risk' parameter"),
        ({"max_risk": 1.5}, "'max_risk' parameter"),
        ({"max_risk": np.nan}, "'max_risk' parameter"),
        ({"min_coverage": 0}, "'min_coverage' parameter"),
        ({"min_coverage": 1.01}, "'min_coverage' parameter"),
        ({"max_risk": 0.1, "confidence_level": 1.0}, "'confidence_level' parameter"),
        ({"max_risk": 0.1, "uncertainty": "gut"}, "'uncertainty' parameter"),
        ({"max_risk": 0.1, "uncertainty": "expected_cost"}, "needs refer_cost"),
        ({"cost_matrix": [[0, 1], [1, 0]]}, "cost_matrix needs refer_cost"),
        ({"cost_matrix": [[0, 1, 1], [1, 0, 1]], "refer_cost": 1}, "shape"),
        ({"cost_matrix": [[0, np.nan], [1, 0]], "refer_cost": 1}, "finite"),
        ({"refer_cost": np.inf}, "refer_cost must be a finite"),
        ({"refer_cost": [1, 2, 3]}, "refer_cost must be a finite number or one for each"),
        ({"max_risk": 0.1, "cv": 1.5}, "'cv' parameter"),
        ({"max_risk": 0.1, "cv": RepeatedKFold(n_splits=2, n_repeats=2)}, "several test parts"),
    ],
)
def test_bad_parameters_get_a_sentence(params, match):
    with pytest.raises(ValueError, match=match):
        TunedReferralClassifierCV(linear(), **params).fit(*CANCER)


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"threshold": "low"}, "'threshold' parameter"),
        ({"threshold": np.nan}, "'threshold' parameter"),
        ({"threshold": 0.1, "uncertainty": "expected_cost"}, "'uncertainty' parameter"),
    ],
)
def test_bad_fixed_parameters_get_a_sentence(fitted, params, match):
    careful = FixedReferralClassifier(fitted, **params)
    for use in (lambda: careful.fit(*CANCER), lambda: careful.predict(CANCER[0])):
        with pytest.raises(ValueError, match=match):
            use()


def test_bad_data_get_a_sentence():
    X, y = CANCER
    with pytest.raises(ValueError, match="target y is None"):
        TunedReferralClassifierCV(linear(), max_risk=0.1).fit(X, None)
    with pytest.raises(ValueError, match="Unknown label type"):
        TunedReferralClassifierCV(linear(), max_risk=0.1).fit(X, X[:, 0])
    with pytest.raises(ValueError, match=r"non-zero|of zero"):
        TunedReferralClassifierCV(Given().fit(None, None), max_risk=0.1, cv="prefit").fit(
            [[0.5, 0.5]], [1], sample_weight=[0.0]
        )
    with pytest.raises(ValueError, match="takes no sample_weight"):
        TunedReferralClassifierCV(linear(), max_risk=0.1).fit(X, y, sample_weight=np.ones(len(y)))
    with pytest.raises(ValueError, match="NaN or infinite for row 1"):
        FixedReferralClassifier(Given().fit(None, None), threshold=0.1).refer(
            [[0.5, 0.5], [np.nan, 0.5]]
        )


def test_a_failed_fit_leaves_what_was_fitted():
    X, y = CANCER
    careful = TunedReferralClassifierCV(linear(), min_coverage=0.8).fit(X, y)
    before = careful.predict(X)
    with pytest.raises(ValueError, match="min_coverage"):
        careful.set_params(min_coverage=2.0).fit(X, y)
    np.testing.assert_array_equal(careful.set_params(min_coverage=0.8).predict(X), before)
