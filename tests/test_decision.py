"""Referral: what is decided, what is referred and why."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import NotFittedError, UndefinedMetricWarning
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import BayesianRidge, LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, RepeatedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skdropout
from skdropout.decision import (
    FixedReferralClassifier,
    FixedReferralRegressor,
    TunedReferralClassifierCV,
    TunedReferralRegressorCV,
)

CANCER = load_breast_cancer(return_X_y=True)
IRIS = load_iris(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)


def network(**params):
    params = {"dropout_rate": 0.3, "learning_rate_init": 0.02, "random_state": 0, **params}
    net = skdropout.DropoutMLPClassifier((20,), tol=0.005, n_iter_no_change=3, **params)
    return make_pipeline(StandardScaler(), net)


def linear():
    return make_pipeline(StandardScaler(), LogisticRegression())


@pytest.fixture(scope="module")
def fitted():
    return network().fit(*CANCER)


class Given(ClassifierMixin, BaseEstimator):
    """A classifier whose rows are their own class probabilities."""

    def __init__(self, classes=(0, 1)):
        self.classes = classes

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.array(self.classes)
        self.weight_ = sample_weight
        return self

    def predict_proba(self, X):
        return np.asarray(X)

    def predict(self, X):
        return self.classes_[np.asarray(X).argmax(1)]


# ---- a fixed threshold -----------------------------------------------------------------------


@pytest.mark.parametrize("uncertainty", ["total", "epistemic", "aleatoric", "entropy"])
def test_refers_what_exceeds_the_threshold(fitted, uncertainty):
    X, _ = CANCER
    measure = "entropy" if uncertainty == "entropy" else "variance"
    parts = skdropout.predict_uncertainty(fitted, X, measure=measure)
    doubt = parts.total if uncertainty == "entropy" else getattr(parts, uncertainty)
    threshold = np.quantile(doubt, 0.8)
    careful = FixedReferralClassifier(fitted, threshold=threshold, uncertainty=uncertainty)
    np.testing.assert_allclose(careful.referral_score(X), doubt, rtol=1e-9, atol=1e-12)
    referred = careful.refer(X)
    assert 100 < referred.sum() < 130
    np.testing.assert_array_equal(careful.predict(X)[referred], -1)
    np.testing.assert_array_equal(careful.predict(X)[~referred], fitted.predict(X)[~referred])
    np.testing.assert_array_equal(careful.predict_proba(X), fitted.predict_proba(X))
    np.testing.assert_array_equal(
        careful.predict_uncertainty(X).total, skdropout.predict_uncertainty(fitted, X).total
    )


def test_the_maximum_probability_is_for_every_classifier():
    X, y = CANCER
    model = linear().fit(X, y)
    doubt = 1 - model.predict_proba(X).max(1)
    for uncertainty in ("total", "max_probability"):
        careful = FixedReferralClassifier(model, threshold=0.1, uncertainty=uncertainty)
        np.testing.assert_array_equal(careful.refer(X), doubt > 0.1)
    proba = model.predict_proba(X)
    entropy = FixedReferralClassifier(model, threshold=0.1, uncertainty="entropy")
    np.testing.assert_allclose(
        entropy.referral_score(X), -(proba * np.log(proba + 1e-300)).sum(1), atol=1e-12
    )


@pytest.mark.parametrize("uncertainty", ["epistemic", "aleatoric"])
def test_a_plain_classifier_has_no_parts(uncertainty):
    careful = FixedReferralClassifier(linear(), threshold=0.1, uncertainty=uncertainty)
    with pytest.raises(TypeError, match="LogisticRegression has none"):
        careful.fit(*CANCER).refer(CANCER[0])


def test_a_network_without_noise_says_so():
    careful = FixedReferralClassifier(network(dropout=None), threshold=0.1).fit(*CANCER)
    with pytest.raises(ValueError, match="no noise"):
        careful.predict(CANCER[0])


def test_score_is_the_accuracy_of_what_is_kept(fitted):
    X, y = CANCER
    careful = FixedReferralClassifier(fitted, threshold=0.05)
    kept = ~careful.refer(X)
    weight = np.random.default_rng(0).random(len(y))
    right = fitted.predict(X) == y
    assert careful.score(X, y) == pytest.approx(right[kept].mean())
    assert careful.score(X, y, weight) == pytest.approx(
        np.average(right[kept], weights=weight[kept])
    )


def test_score_without_kept_rows_warns(fitted):
    careful = FixedReferralClassifier(fitted, threshold=-1.0)
    assert careful.refer(CANCER[0]).all()
    with pytest.warns(UndefinedMetricWarning, match="every row is referred"):
        assert np.isnan(careful.score(*CANCER))


@pytest.mark.parametrize(
    ("classes", "label", "expected"),
    [
        ((0, 1), "auto", [0, 1, -1]),
        ((-1, 1), "auto", [-1, 1, -2]),
        ((False, True), "auto", [0, 1, -1]),
        ((1.0, 2.0), "auto", [1.0, 2.0, -1.0]),
        (("no", "ok"), "auto", ["no", "ok", "refer"]),
        (("no", "ok"), "ask a specialist", ["no", "ok", "ask a specialist"]),
        ((0, 1), "refer", [0, 1, "refer"]),
        (("no", "ok"), -1, ["no", "ok", -1]),
    ],
)
def test_refer_labels(classes, label, expected):
    proba = [[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]]
    careful = FixedReferralClassifier(Given(classes), threshold=0.3, refer_label=label)
    predicted = careful.fit(proba, np.array([*classes, classes[0]])).predict(proba)
    assert predicted.tolist() == expected


def test_a_referred_label_may_be_nan_if_asked_for():
    proba = [[0.9, 0.1], [0.5, 0.5]]
    careful = FixedReferralClassifier(Given(), threshold=0.3, refer_label=np.nan)
    np.testing.assert_array_equal(careful.fit(proba, [0, 1]).predict(proba), [0, np.nan])


@pytest.mark.parametrize(
    ("classes", "label"), [((0, 1), 1), (("a", "refer"), "auto"), (("a", "b"), "b"), ((0, 1), [2])]
)
def test_a_refer_label_that_clashes_is_refused(classes, label):
    proba = [[0.9, 0.1], [0.2, 0.8]]
    fixed = FixedReferralClassifier(Given(classes), threshold=0.3, refer_label=label)
    tuned = TunedReferralClassifierCV(
        Given(classes).fit(None, None), min_coverage=0.5, refer_label=label, cv="prefit"
    )
    outside = FixedReferralClassifier(
        Given(classes).fit(None, None), threshold=0.3, refer_label=label
    )
    for use in (fixed.fit, tuned.fit, lambda X, y: outside.predict(X)):
        with pytest.raises(ValueError, match="refer_label"):
            use(proba, np.array(classes))


def test_use_before_fit():
    for careful in (
        FixedReferralClassifier(network(), threshold=0.1),
        TunedReferralClassifierCV(network(), max_risk=0.1),
        TunedReferralRegressorCV(BayesianRidge(), min_coverage=0.5),
    ):
        with pytest.raises(NotFittedError):
            careful.predict(CANCER[0])
        assert not hasattr(careful, "classes_")
    with pytest.raises(NotFittedError):
        TunedReferralClassifierCV(network(), max_risk=0.1, cv="prefit").fit(*CANCER)


# ---- reasons ---------------------------------------------------------------------------------


@pytest.mark.parametrize("uncertainty", ["total", "entropy", "max_probability"])
def test_reason_is_what_is_left_within_single_draws(fitted, uncertainty):
    X, _ = CANCER
    draws = fitted[-1].sample_proba(fitted[:-1].transform(X), 100)
    score = {
        "total": lambda p: (1 - (p**2).sum(-1)) / 2,
        "entropy": lambda p: -(p * np.log(p + 1e-300)).sum(-1),
        "max_probability": lambda p: 1 - p.max(-1),
    }[uncertainty]
    doubt = score(draws.mean(0))
    threshold = np.quantile(doubt, 0.9)
    careful = FixedReferralClassifier(fitted, threshold=threshold, uncertainty=uncertainty)
    settled = score(draws).mean(0)
    expected = np.where(settled > threshold, "aleatoric", "epistemic")
    np.testing.assert_array_equal(
        careful.referral_reason(X), np.where(doubt > threshold, expected, "")
    )
    assert {"aleatoric", "epistemic"} <= set(expected)


def test_rows_far_from_the_data_lack_knowledge():
    # Two clusters along the first input; the second input never varied.
    rng = np.random.default_rng(0)
    X = np.c_[rng.normal(size=400), 0.01 * rng.normal(size=400)]
    y = (X[:, 0] + 0.5 * rng.normal(size=400) > 0).astype(int)
    net = skdropout.DropoutMLPClassifier(
        (50,), dropout_rate=0.5, tol=0.003, n_iter_no_change=3, random_state=0
    ).fit(X, y)
    careful = FixedReferralClassifier(net, threshold=0.2)
    assert careful.referral_reason([[0.0, 0.0]]) == "aleatoric"
    parts = [
        FixedReferralClassifier(net, threshold=0.01, uncertainty=part).referral_reason([[0.0, 30]])
        for part in ("epistemic", "aleatoric")
    ]
    assert [part.item() for part in parts] == ["epistemic", "aleatoric"]


def test_a_plain_model_cannot_give_reasons():
    careful = FixedReferralClassifier(linear().fit(*CANCER), threshold=0.1)
    with pytest.raises(TypeError, match="LogisticRegression"):
        careful.referral_reason(CANCER[0])


# ---- tuned to a risk or a coverage -----------------------------------------------------------


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


# ---- costs -----------------------------------------------------------------------------------


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


# ---- bad input -------------------------------------------------------------------------------


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
    with pytest.raises(ValueError, match="at least one non-zero"):
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


# ---- regression ------------------------------------------------------------------------------


def noisy_regression(n=400):
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, size=(n, 1))
    return X, 3 * X[:, 0] + rng.normal(size=n)


def regression_network():
    net = skdropout.DropoutMLPRegressor(
        (30,), tol=0.02, n_iter_no_change=2, learning_rate_init=0.01, random_state=0
    )
    return make_pipeline(StandardScaler(), net)


@pytest.mark.parametrize("uncertainty", ["expected_error", "interval_width", "total", "epistemic"])
def test_regressor_refers_what_exceeds_the_limit(uncertainty):
    X, y = noisy_regression()
    model = regression_network().fit(X, y)
    careful = FixedReferralRegressor(model, threshold=0.0, uncertainty=uncertainty)
    doubt = careful.referral_score(X)
    careful.set_params(threshold=np.median(doubt))
    referred = careful.refer(X)
    np.testing.assert_array_equal(referred, doubt > np.median(doubt))
    assert np.isnan(careful.predict(X)[referred]).all()
    np.testing.assert_allclose(careful.predict(X)[~referred], model.predict(X)[~referred])
    assert set(careful.referral_reason(X)[referred]) <= {"epistemic", "aleatoric"}


def test_expected_error_and_width_are_in_the_units_of_y():
    X, y = noisy_regression()
    model = BayesianRidge().fit(X, y)
    error = FixedReferralRegressor(model, threshold=1.0).referral_score(X)
    width = FixedReferralRegressor(
        model, threshold=1.0, uncertainty="interval_width", interval_level=0.5
    ).referral_score(X)
    # Unit normal noise: E|e| = 0.798, and half of it within +-0.674.
    np.testing.assert_allclose(error, 0.798, rtol=0.1)
    np.testing.assert_allclose(width / error, 2 * 0.6745 / 0.7979, rtol=1e-3)


def test_tuned_regressor_promises_a_share_of_small_errors():
    X, y = DIABETES
    careful = TunedReferralRegressorCV(BayesianRidge(), max_error=120, max_risk=0.1).fit(X, y)
    error = np.abs(y - cross_val_predict(BayesianRidge(), X, y))
    assert careful.selective_risk_ < careful.risk_bound_ <= 0.1
    assert careful.cv_results_["risk"][-1] == pytest.approx((error > 120).mean())
    covering = TunedReferralRegressorCV(BayesianRidge(), min_coverage=0.6, refer_value=0.0)
    covering.fit(X, y)
    assert covering.selective_coverage_ == pytest.approx(0.6, abs=1 / 442)
    assert covering.cv_results_["risk"][-1] == pytest.approx(error.mean())
    assert np.isnan(covering.risk_bound_)
    assert (covering.predict(X) == 0).sum() == covering.refer(X).sum() > 0
    with pytest.warns(UserWarning, match="no threshold reaches"):
        careful.set_params(max_error=1.0).fit(X, y)
    with pytest.warns(UndefinedMetricWarning, match="fewer than two rows"):
        assert np.isnan(careful.score(X, y))


def test_score_of_a_regressor_is_r2_of_what_is_kept():
    X, y = DIABETES
    careful = TunedReferralRegressorCV(
        GaussianProcessRegressor(alpha=0.1, optimizer=None), min_coverage=0.5
    )
    kept = ~careful.fit(X, y).refer(X)
    assert careful.score(X, y) == pytest.approx(careful.estimator_.score(X[kept], y[kept]))


@pytest.mark.parametrize(
    ("estimator", "params", "error", "match"),
    [
        (BayesianRidge(), {}, ValueError, "give one of max_risk and min_coverage"),
        (BayesianRidge(), {"max_risk": 0.1}, ValueError, "say by max_error"),
        (BayesianRidge(), {"max_risk": 0.1, "max_error": -1}, ValueError, "'max_error'"),
        (BayesianRidge(), {"min_coverage": 0.5, "interval_level": 1.0}, ValueError, "interval_l"),
        (LinearRegression(), {"min_coverage": 0.5}, TypeError, "LinearRegression has no predict"),
        (
            BayesianRidge(),
            {"min_coverage": 0.5, "uncertainty": "epistemic"},
            TypeError,
            "BayesianRidge has no predict_uncertainty",
        ),
    ],
)
def test_bad_regressors_get_a_sentence(estimator, params, error, match):
    with pytest.raises(error, match=match):
        TunedReferralRegressorCV(estimator, **params).fit(*DIABETES)


def test_searches_inside_and_outside():
    X, y = CANCER
    inner = GridSearchCV(linear(), {"logisticregression__C": [0.1, 1.0]}, cv=2)
    careful = TunedReferralClassifierCV(inner, min_coverage=0.8, cv=2)
    outer = GridSearchCV(careful, {"min_coverage": [0.7, 0.9]}, cv=2).fit(X, y)
    assert outer.best_estimator_.estimator_.best_params_["logisticregression__C"] in (0.1, 1.0)
    names = set(outer.best_estimator_.get_params())
    assert {"estimator__estimator__logisticregression__C", "min_coverage"} <= names
