"""Referral with a fixed threshold: what is decided, what is referred and why."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError, UndefinedMetricWarning
from sklearn.linear_model import BayesianRidge

import skdropout
from skdropout.decision import (
    FixedReferralClassifier,
    TunedReferralClassifierCV,
    TunedReferralRegressorCV,
)
from tests.reference import ONE_NETWORK
from tests.referral_cases import CANCER, Given, linear, network


@pytest.fixture(scope="module")
def fitted():
    return network().fit(*CANCER)


# ---- a fixed threshold --------------------------------------------------------------------


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
    with pytest.raises(TypeError, match="LogisticRegression neither has"):
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


# ---- reasons ------------------------------------------------------------------------------


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
        (50,),
        dropout_rate=0.5,
        tol=0.003,
        n_iter_no_change=3,
        learning_rate_init=0.001,
        random_state=0,
        **ONE_NETWORK,
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
