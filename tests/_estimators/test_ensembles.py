"""What the members of an ensemble say."""

import numpy as np
import pytest

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from tests.reference import quick, target


@pytest.mark.parametrize("estimator_class", [DropoutMLPClassifier, DropoutMLPRegressor])
@pytest.mark.parametrize(
    "options", [{"n_draws": 0}, {"n_draws": 20}, {"n_draws": "auto"}, {"inference": "moments"}]
)
def test_the_mean_over_the_members_is_the_prediction(two_classes, estimator_class, options):
    X, y = two_classes
    model = quick(estimator_class, n_members=3, **options)
    model.fit(X, target(estimator_class, y))
    members = model.predict_members(X)
    classifier = estimator_class is DropoutMLPClassifier
    expected = model.predict_proba(X) if classifier else model.predict(X)
    assert members.shape == (3, *expected.shape)
    np.testing.assert_allclose(members.mean(0), expected, rtol=1e-5, atol=1e-6)
    assert (members.std(0) > 0).all()


@pytest.mark.parametrize("estimator_class", [DropoutMLPClassifier, DropoutMLPRegressor])
@pytest.mark.parametrize("dropout", [None, "bernoulli"])
def test_disagreement_of_members_is_part_of_the_epistemic_variance(
    two_classes, estimator_class, dropout
):
    X, y = two_classes
    model = quick(estimator_class, n_members=4, dropout=dropout, dropout_rate=0.3)
    model.fit(X, target(estimator_class, y))
    between = model.predict_members(X).var(0)
    if estimator_class is DropoutMLPClassifier:
        between = between.sum(-1) / 2
    epistemic = model.predict_uncertainty(X).epistemic
    if dropout is None:
        np.testing.assert_allclose(between, epistemic, rtol=1e-6)
    else:
        assert (between < epistemic).all()


def test_several_outputs(two_targets):
    X, y = two_targets
    model = quick(DropoutMLPRegressor, n_members=3).fit(X, y)
    np.testing.assert_allclose(model.predict_members(X).mean(0), model.predict(X), rtol=1e-9)
