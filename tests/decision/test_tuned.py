"""Thresholds found on unseen rows: risk, coverage, costs."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import cross_val_predict

from skdropout.decision import (
    TunedReferralClassifierCV,
)
from tests.referral_cases import CANCER, IRIS, Given, linear, network


@pytest.fixture(scope="module")
def fitted():
    return network().fit(*CANCER)


# ---- tuned to a risk or a coverage --------------------------------------------------------


def test_what_is_reported_is_what_unseen_rows_show():
    X, y = CANCER
    careful = TunedReferralClassifierCV(linear(), max_risk=0.02).fit(X, y)
    proba = cross_val_predict(linear(), X, y, method="predict_proba")
    kept = 1 - proba.max(1) <= careful.threshold_
    assert careful.selective_coverage_ == pytest.approx(kept.mean())
    assert careful.selective_risk_ == pytest.approx((proba.argmax(1) != y)[kept].mean())
    assert careful.selective_risk_ < careful.risk_bound_ <= 0.02
    results = careful.cv_results_
    assert set(results) == {"threshold", "coverage", "risk", "n_kept", "n_wrong"}
    np.testing.assert_allclose(results["risk"], results["n_wrong"] / results["n_kept"])
    assert results["threshold"][results["coverage"] == kept.mean()] == careful.threshold_


@pytest.mark.parametrize("min_coverage", [0.01, 0.5, 0.9, 1.0])
def test_coverage_is_kept_and_no_more(min_coverage):
    careful = TunedReferralClassifierCV(network(), min_coverage=min_coverage, cv=3).fit(*CANCER)
    assert min_coverage <= careful.selective_coverage_ < min_coverage + 1 / 500
    assert careful.selective_risk_ < careful.risk_bound_
    if min_coverage == 1.0:
        assert not careful.refer(CANCER[0] * 1e3).any()


def test_a_held_out_part_is_judged_by_the_model_that_predicts():
    X, y = CANCER
    careful = TunedReferralClassifierCV(network(), min_coverage=0.7, cv=0.4, random_state=3)
    careful.fit(X, y)
    again = clone(careful).fit(X, y)
    assert again.threshold_ == careful.threshold_
    n_held_out = careful.cv_results_["n_kept"][-1]
    assert n_held_out == 228
    # The scores of its rows are all among those of the model that predicts.
    scores = careful.referral_score(X)
    distance = np.abs(careful.cv_results_["threshold"][:-1, None] - scores).min(1)
    np.testing.assert_allclose(distance, 0, atol=1e-9)


def test_prefit_and_frozen(fitted):
    X, y = CANCER
    prefit = TunedReferralClassifierCV(fitted, max_risk=0.05, cv="prefit").fit(X, y)
    frozen = TunedReferralClassifierCV(FrozenEstimator(fitted), max_risk=0.05, cv=4).fit(X, y)
    assert prefit.estimator_ is fitted
    # Summation order within a batch of rows may differ.
    assert frozen.selective_coverage_ == pytest.approx(prefit.selective_coverage_, abs=0.01)
    with pytest.raises(ValueError, match="prefit"):
        prefit.fit(X, y, check_input=True)


def test_a_risk_out_of_reach_refers_everything_and_warns():
    X, y = CANCER
    shuffled = np.random.default_rng(0).permutation(y)
    careful = TunedReferralClassifierCV(linear(), max_risk=0.05, refer_label=7)
    with pytest.warns(UserWarning, match="no threshold reaches max_risk=0.05"):
        careful.fit(X, shuffled)
    assert careful.threshold_ == -np.inf
    assert careful.selective_coverage_ == 0
    assert np.isnan([careful.selective_risk_, careful.risk_bound_]).all()
    np.testing.assert_array_equal(careful.predict(X), 7)


def test_warns_if_only_one_class_is_ever_decided():
    rng = np.random.default_rng(0)
    sure = np.r_[np.full(150, 0.99), np.full(50, 0.55)]
    y = np.r_[np.zeros(150), rng.integers(2, size=50)].astype(int)
    careful = TunedReferralClassifierCV(Given().fit(None, None), max_risk=0.05, cv="prefit")
    with pytest.warns(UserWarning, match="predicted to be"):
        careful.fit(np.c_[sure, 1 - sure], y)
    assert careful.selective_coverage_ == 0.75


def test_weights_count_for_coverage_and_not_for_the_bound():
    proba = np.linspace(0.99, 0.51, 100)
    X, y = np.c_[proba, 1 - proba], np.zeros(100, dtype=int)
    weight = np.where(np.arange(100) < 10, 9.0, 1.0)
    careful = TunedReferralClassifierCV(Given().fit(None, None), min_coverage=0.5, cv="prefit")
    careful.fit(X, y, sample_weight=weight)
    assert careful.selective_coverage_ == pytest.approx(0.5)
    assert (~careful.refer(X)).sum() == 10
    assert careful.risk_bound_ == pytest.approx(1 - 0.05 ** (1 / 10))
    careful.fit(X, y, sample_weight=np.arange(100) >= 40)
    assert careful.cv_results_["n_kept"][-1] == 60


# ---- costs --------------------------------------------------------------------------------


def test_chows_rule():
    X, y = IRIS
    careful = TunedReferralClassifierCV(linear(), refer_cost=0.1).fit(X, y)
    proba = careful.predict_proba(X)
    assert careful.threshold_ == 0
    np.testing.assert_array_equal(careful.refer(X), 1 - proba.max(1) > 0.1)
    kept = ~careful.refer(X)
    np.testing.assert_array_equal(careful.predict(X)[kept], proba.argmax(1)[kept])


def test_every_decision_has_the_least_expected_cost():
    X, y = IRIS
    matrix, refer = np.array([[0, 1, 5], [2, 0, 3], [9, 4, 0]]), np.array([0.2, 0.5, 0.7])
    careful = TunedReferralClassifierCV(network(), cost_matrix=matrix, refer_cost=refer).fit(X, y)
    draws = careful.estimator_[-1].sample_proba(careful.estimator_[0].transform(X), 100)
    options = np.concatenate([draws @ matrix, (draws @ refer)[..., None]], axis=-1)
    best = options.mean(0).argmin(1)
    np.testing.assert_array_equal(careful.predict(X), np.where(best == 3, -1, best))
    assert 0 < careful.refer(X).sum() < len(y)


def test_reported_cost_is_what_the_decisions_cost():
    proba = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.97, 0.03]])
    y = np.array([0, 1, 1, 1])
    careful = TunedReferralClassifierCV(
        Given().fit(None, None), cost_matrix=[[0, 1], [10, 0]], refer_cost=0.5, cv="prefit"
    ).fit(proba, y)
    # Expected costs of saying 0: 1, 4, 8, 0.3; of saying 1: 0.9, 0.6, 0.2, 0.97.
    assert careful.predict(proba).tolist() == [-1, -1, 1, 0]
    assert careful.mean_cost_ == pytest.approx((0.5 + 0.5 + 0 + 10) / 4)
    assert careful.selective_risk_ == pytest.approx(10 / 2)
    assert careful.selective_coverage_ == 0.5


def test_another_uncertainty_gets_the_cheapest_threshold():
    X, y = CANCER
    careful = TunedReferralClassifierCV(
        network(), cost_matrix=[[0, 3], [1, 0]], refer_cost=0.2, uncertainty="total"
    ).fit(X, y)
    assert careful.mean_cost_ == careful.cv_results_["mean_cost"].min() < 0.2
    chosen = careful.cv_results_["threshold"] == careful.threshold_
    assert careful.cv_results_["mean_cost"][chosen] == careful.mean_cost_
    free = TunedReferralClassifierCV(linear(), refer_cost=-1, uncertainty="total").fit(X, y)
    assert free.refer(X).all()
    assert free.mean_cost_ == -1


def test_reasons_of_expected_costs():
    X, y = CANCER
    matrix = np.array([[0, 5.0], [1.0, 0]])
    careful = TunedReferralClassifierCV(network(), cost_matrix=matrix, refer_cost=0.3).fit(X, y)
    draws = careful.estimator_[-1].sample_proba(careful.estimator_[0].transform(X), 100)
    settled = (draws @ matrix).min(-1).mean(0)
    referred = careful.refer(X)
    expected = np.where(settled > 0.3, "aleatoric", "epistemic")
    np.testing.assert_array_equal(careful.referral_reason(X)[referred], expected[referred])
    assert set(expected[referred]) == {"aleatoric", "epistemic"}


def test_folds_that_lack_a_class():
    X, y = IRIS
    folds = [(np.arange(100), np.arange(100, 150)), (np.arange(50, 150), np.arange(50))]
    careful = TunedReferralClassifierCV(linear(), refer_cost=0.4, cv=folds).fit(X, y)
    # Each fold's model has never seen the class it judges, and says so with confidence.
    assert careful.cv_results_["risk"][-1] == 1.0
    with pytest.raises(ValueError, match="was not fitted to"):
        TunedReferralClassifierCV(linear(), refer_cost=0.4, cv=folds[:1]).fit(X, y)
