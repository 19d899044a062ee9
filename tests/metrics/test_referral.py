"""Metrics of referral: hand-computed cases, and the definitions on random data."""

from itertools import permutations

import numpy as np
import pytest
import sklearn
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import BayesianRidge, LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate

import skdropout
from skdropout import metrics
from skdropout.metrics.referral import oracle_curve
from tests.reference import ONE_NETWORK

# Five rows, wrong in the third and the fifth; the second and third are equally uncertain.
Y_TRUE = np.array(["a", "b", "a", "b", "b"])
Y_PRED = np.array(["a", "b", "b", "b", "a"])
UNCERTAINTY = np.array([0.1, 0.2, 0.2, 0.3, 0.4])


def random_case(seed, n=60, n_levels=1000):
    rng = np.random.default_rng(seed)
    y_true, y_pred = rng.integers(3, size=n), rng.integers(3, size=n)
    return y_true, y_pred, rng.integers(n_levels, size=n) / n_levels


def test_curve_by_hand():
    curve = metrics.risk_coverage_curve(Y_TRUE, Y_PRED, UNCERTAINTY)
    np.testing.assert_allclose(curve.threshold, [0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(curve.coverage, [0.2, 0.6, 0.8, 1.0])
    np.testing.assert_allclose(curve.risk, [0, 1 / 3, 1 / 4, 2 / 5])


def test_scores_by_hand():
    # Thresholds of the five rows: 0, 1/3, 1/3, 1/4, 2/5.
    expected = (0 + 1 / 3 + 1 / 3 + 1 / 4 + 2 / 5) / 5
    assert metrics.aurc_score(Y_TRUE, Y_PRED, UNCERTAINTY) == pytest.approx(expected)
    # The oracle refers the two wrong rows first: 0, 0, 0, 1/4, 2/5.
    excess = metrics.excess_aurc_score(Y_TRUE, Y_PRED, UNCERTAINTY)
    assert excess == pytest.approx(expected - (1 / 4 + 2 / 5) / 5)


def test_weights_by_hand():
    weight = [1, 2, 1, 0, 4]
    curve = metrics.risk_coverage_curve(Y_TRUE, Y_PRED, UNCERTAINTY, sample_weight=weight)
    np.testing.assert_allclose(curve.coverage, [1 / 8, 4 / 8, 1])
    np.testing.assert_allclose(curve.risk, [0, 1 / 4, 5 / 8])


def test_risk_at_coverage_and_coverage_at_risk_by_hand():
    case = (Y_TRUE, Y_PRED, UNCERTAINTY)
    # Three quarters of the rows cannot be kept: the next threshold keeps four fifths.
    risks = metrics.risk_at_coverage(*case, coverage=[0.2, 0.6, 0.75, 1.0])
    np.testing.assert_allclose(risks, [0, 1 / 3, 1 / 4, 2 / 5])
    coverages = metrics.coverage_at_risk(*case, max_risk=[0.0, 0.2, 0.3, 0.4, 1.0])
    np.testing.assert_allclose(coverages, [0.2, 0.2, 0.8, 1.0, 1.0])
    assert isinstance(metrics.risk_at_coverage(*case, coverage=0.5), float)
    assert metrics.coverage_at_risk(Y_TRUE[2:3], Y_PRED[2:3], [1.0], max_risk=0.5) == 0.0


def test_coverage_is_reached_in_spite_of_rounding():
    # 0.1 + 0.2 > 0.3 in floating point; the third of ten rows is enough for 30 %.
    y_true, y_pred = np.zeros(10), np.r_[np.zeros(3), 1, np.zeros(6)]
    assert metrics.risk_at_coverage(y_true, y_pred, np.arange(10), coverage=0.1 + 0.2) == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_aurc_is_the_mean_of_the_risks_of_the_most_certain_rows(seed):
    y_true, y_pred, _ = random_case(seed)
    uncertainty = np.random.default_rng(seed + 100).permutation(len(y_true))
    wrong = (y_true != y_pred)[np.argsort(uncertainty)]
    expected = np.mean([wrong[: kept + 1].mean() for kept in range(len(wrong))])
    assert metrics.aurc_score(y_true, y_pred, uncertainty) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_curve_is_the_definition_at_every_threshold(seed):
    y_true, y_pred, uncertainty = random_case(seed, n_levels=7)
    weight = np.random.default_rng(seed).random(len(y_true))
    curve = metrics.risk_coverage_curve(y_true, y_pred, uncertainty, sample_weight=weight)
    for coverage, risk, threshold in zip(*curve, strict=True):
        kept = uncertainty <= threshold
        assert coverage == pytest.approx(weight[kept].sum() / weight.sum())
        assert risk == pytest.approx(np.average(y_true[kept] != y_pred[kept], weights=weight[kept]))


SCORES = [
    metrics.aurc_score,
    lambda *case, **weight: metrics.risk_at_coverage(*case, coverage=0.55, **weight),
    lambda *case, **weight: metrics.coverage_at_risk(*case, max_risk=0.6, **weight),
]


@pytest.mark.parametrize("score", SCORES)
def test_weight_is_repetition_and_order_does_not_matter(score):
    case = random_case(0, n_levels=20)
    rng = np.random.default_rng(1)
    weight, order = rng.integers(4, size=60), rng.permutation(60)
    expected = score(*(np.repeat(part, weight) for part in case))
    assert score(*case, sample_weight=weight) == pytest.approx(expected)
    assert score(*(part[order] for part in case)) == pytest.approx(score(*case))


def test_no_order_beats_the_oracle():
    losses = np.array([0.0, 1.0, 0.0, 1.0, 0.5, 0.0])
    oracle = oracle_curve(losses)
    best = min(
        metrics.aurc_score(np.zeros(6), losses, order, loss="absolute_error")
        for order in permutations(range(6))
    )
    assert best == pytest.approx(np.diff(oracle.coverage, prepend=0) @ oracle.risk)
    assert metrics.excess_aurc_score(
        np.zeros(6), losses, [0, 4, 1, 5, 3, 2], loss="absolute_error"
    ) == pytest.approx(0, abs=1e-15)


def test_oracle_of_many_rows_agrees_with_the_published_limit():
    # Geifman et al. (2019): r + (1 - r) log(1 - r) as the number of rows grows.
    wrong = np.arange(20000) < 6000
    curve = oracle_curve(wrong.astype(float))
    assert curve.risk.mean() == pytest.approx(0.3 + 0.7 * np.log(0.7), abs=1e-4)


def test_an_uncertainty_without_information_scores_the_risk():
    y_true, y_pred, _ = random_case(3)
    risk = np.mean(y_true != y_pred)
    assert metrics.aurc_score(y_true, y_pred, np.zeros(60)) == pytest.approx(risk)


def test_losses_of_regression():
    y_true, y_pred, uncertainty = [1.0, 2.0, 4.0], [1.0, 3.0, 1.0], [0.0, 1.0, 2.0]
    absolute = metrics.risk_coverage_curve(y_true, y_pred, uncertainty, loss="absolute_error")
    squared = metrics.risk_coverage_curve(y_true, y_pred, uncertainty, loss="squared_error")
    own = metrics.risk_coverage_curve(y_true, y_pred, uncertainty, loss=lambda a, b: abs(a - b) > 2)
    np.testing.assert_allclose(absolute.risk, [0, 1 / 2, 4 / 3])
    np.testing.assert_allclose(squared.risk, [0, 1 / 2, 10 / 3])
    np.testing.assert_allclose(own.risk, [0, 0, 1 / 3])


def test_referral_accuracy_counts_kept_and_right_and_referred_and_wrong():
    referred = [False, True, True, False, False]
    assert metrics.referral_accuracy_score(Y_TRUE, Y_PRED, referred) == pytest.approx(3 / 5)
    assert metrics.referral_accuracy_score(Y_TRUE, Y_PRED, Y_TRUE != Y_PRED) == 1.0
    assert metrics.referral_accuracy_score(
        Y_TRUE, Y_PRED, referred, sample_weight=[1, 0, 1, 1, 1]
    ) == pytest.approx(3 / 4)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: metrics.aurc_score([0, 1], [0, 1], [0.1, np.nan]), "uncertainty holds a value"),
        (lambda: metrics.aurc_score([0, 1], [0, 1], [0.1]), "inconsistent numbers"),
        (lambda: metrics.aurc_score([0], [0], [1], loss="hinge"), "loss must be callable or one"),
        (lambda: metrics.aurc_score([0], [np.nan], [1], loss="squared_error"), "gives? a loss"),
        (lambda: metrics.aurc_score([0], [1], [1], loss=lambda a, b: 0.0), "one number for each"),
        (lambda: metrics.aurc_score([0], [1], [1], sample_weight=[-1]), "not negative"),
        (lambda: metrics.aurc_score([0], [1], [1], sample_weight=[0]), "not all zero"),
        (lambda: metrics.risk_at_coverage([0], [1], [1], coverage=0.0), r"coverage must be in"),
        (lambda: metrics.risk_at_coverage([0], [1], [1], coverage=1.1), r"coverage must be in"),
        (lambda: metrics.coverage_at_risk([0], [1], [1], max_risk=-0.1), "max_risk must not be"),
        (lambda: metrics.coverage_at_risk([0], [1], [1], max_risk=np.nan), "max_risk must not be"),
        (lambda: metrics.referral_accuracy_score([0], [1], [1]), "must hold booleans"),
        (
            lambda: metrics.make_referral_scorer(metrics.aurc_score, uncertainty="gut"),
            "must be one",
        ),
        (lambda: metrics.make_referral_scorer(np.mean), "greater_is_better"),
    ],
)
def test_bad_input_gets_a_sentence(call, match):
    with pytest.raises(ValueError, match=match):
        call()


# ---- scorers ---------------------------------------------------------------------------------


def test_scorer_is_the_metric_of_the_estimators_own_uncertainty():
    X, y = load_breast_cancer(return_X_y=True)
    model = LogisticRegression(max_iter=5000).fit(X[:300], y[:300])
    doubt = 1 - model.predict_proba(X[300:]).max(1)
    expected = metrics.aurc_score(y[300:], model.predict(X[300:]), doubt)
    assert metrics.neg_aurc_scorer(model, X[300:], y[300:]) == pytest.approx(-expected)
    kept = metrics.make_referral_scorer(metrics.coverage_at_risk, max_risk=0.02)
    assert kept(model, X[300:], y[300:]) == pytest.approx(
        metrics.coverage_at_risk(y[300:], model.predict(X[300:]), doubt, max_risk=0.02)
    )
    assert (
        repr(kept) == "make_referral_scorer(coverage_at_risk, uncertainty='total', max_risk=0.02)"
    )


def test_scorer_for_regressors_takes_the_absolute_error():
    X, y = load_diabetes(return_X_y=True)
    model = BayesianRidge().fit(X, y)
    mean, std = model.predict(X, return_std=True)
    expected = metrics.excess_aurc_score(y, mean, std, loss="absolute_error")
    assert metrics.neg_excess_aurc_scorer(model, X, y) == pytest.approx(-expected)


def test_scorers_search_over_a_network():
    X, y = load_breast_cancer(return_X_y=True)
    X = (X - X.mean(0)) / X.std(0)
    net = skdropout.DropoutMLPClassifier(
        (10,), tol=0.1, n_iter_no_change=1, random_state=0, **ONE_NETWORK
    )
    scorer = metrics.make_referral_scorer(metrics.aurc_score, uncertainty="epistemic")
    search = GridSearchCV(net, {"dropout_rate": [0.1, 0.5]}, scoring=scorer, cv=2).fit(X, y)
    best = search.best_estimator_
    expected = metrics.aurc_score(y, best.predict(X), best.predict_uncertainty(X).epistemic)
    assert search.score(X, y) == pytest.approx(-expected)


def test_sample_weight_reaches_the_scorer_by_metadata_routing():
    X, y = load_breast_cancer(return_X_y=True)
    X = (X - X.mean(0)) / X.std(0)
    weight = np.random.default_rng(0).random(len(y))
    scorer = metrics.neg_aurc_scorer.set_score_request(sample_weight=True)
    folds = [(np.arange(300), np.arange(300, len(y)))]
    with sklearn.config_context(enable_metadata_routing=True):
        model = LogisticRegression().set_fit_request(sample_weight=False)
        result = cross_validate(
            model,
            X,
            y,
            cv=folds,
            scoring=scorer,
            params={"sample_weight": weight},
            return_estimator=True,
        )
    held_out = (result["estimator"][0], X[300:], y[300:])
    weighted = metrics.neg_aurc_scorer(*held_out, sample_weight=weight[300:])
    assert result["test_score"][0] == pytest.approx(weighted)
    assert weighted != pytest.approx(metrics.neg_aurc_scorer(*held_out), rel=1e-3)
