import numpy as np
import pytest

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor, Uncertainty
from skdropout._predictive.uncertainty import (
    entropy,
    entropy_uncertainty,
    probability_uncertainty,
    regression_uncertainty,
)
from tests.reference import quick

N_DRAWS = 60


@pytest.fixture(params=[2, 3])
def model(request, two_classes, three_classes):
    X, y = two_classes if request.param == 2 else three_classes
    return quick(DropoutMLPClassifier, dropout_rate=0.4, n_draws=N_DRAWS, n_members=2).fit(X, y)


@pytest.fixture
def inputs(two_classes):
    return two_classes[0]


def _parts(uncertainty):
    return uncertainty.total, uncertainty.epistemic, uncertainty.aleatoric


def test_variance_by_its_definition(model, inputs):
    p = model.sample_proba(inputs, n_samples=N_DRAWS)
    got = model.predict_uncertainty(inputs)
    mean = p.mean(0)
    np.testing.assert_allclose(got.mean, mean, rtol=1e-10)
    np.testing.assert_allclose(got.mean, model.predict_proba(inputs), rtol=1e-10)
    np.testing.assert_allclose(got.total, (1 - (mean**2).sum(1)) / 2, atol=1e-12)
    np.testing.assert_allclose(got.aleatoric, ((1 - (p**2).sum(2)) / 2).mean(0), atol=1e-12)
    np.testing.assert_allclose(got.epistemic, p.var(0).sum(1) / 2, atol=1e-12)


def test_two_classes_have_the_bernoulli_variance(two_classes):
    X, y = two_classes
    model = quick(DropoutMLPClassifier, dropout_rate=0.4).fit(X, y)
    p = model.sample_proba(X, n_samples=100)[..., 1]
    total, epistemic, aleatoric = _parts(model.predict_uncertainty(X))
    np.testing.assert_allclose(total, p.mean(0) * (1 - p.mean(0)), atol=1e-12)
    np.testing.assert_allclose(epistemic, p.var(0), atol=1e-12)
    np.testing.assert_allclose(aleatoric, (p * (1 - p)).mean(0), atol=1e-12)


def test_entropy_by_its_definition(model, inputs):
    p = model.sample_proba(inputs, n_samples=N_DRAWS)
    got = model.predict_uncertainty(inputs, measure="entropy")
    mean = p.mean(0)
    np.testing.assert_allclose(got.mean, mean, rtol=1e-10)
    np.testing.assert_allclose(got.total, -(mean * np.log(mean)).sum(1), atol=1e-10)
    np.testing.assert_allclose(got.aleatoric, -(p * np.log(p)).sum(2).mean(0), atol=1e-10)
    divergence = (p * np.log(p / mean)).sum(2).mean(0)
    np.testing.assert_allclose(got.epistemic, divergence, atol=1e-10)


@pytest.mark.parametrize("measure", ["variance", "entropy"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_total_is_the_sum_bit_for_bit(model, inputs, measure, dtype):
    total, epistemic, aleatoric = _parts(
        model.predict_uncertainty(inputs.astype(dtype), measure=measure)
    )
    np.testing.assert_array_equal(total, epistemic + aleatoric)
    assert (epistemic >= 0).all()
    assert (aleatoric >= 0).all()
    assert epistemic.max() > 1e-4


@pytest.mark.parametrize("measure", ["variance", "entropy"])
def test_the_std_of_the_probabilities(model, inputs, measure):
    mean, std = model.predict_proba(inputs, return_std=True)
    p = model.sample_proba(inputs, n_samples=N_DRAWS)
    np.testing.assert_array_equal(mean, model.predict_proba(inputs))
    np.testing.assert_allclose(std, p.std(0), atol=1e-10)


@pytest.mark.parametrize("data", ["real_target", "two_targets"])
def test_regression_in_the_units_of_y(request, data):
    X, y = request.getfixturevalue(data)
    model = quick(DropoutMLPRegressor, dropout_rate=0.3, n_members=3).fit(X, y)
    got = model.predict_uncertainty(X)
    assert all(part.shape == y.shape for part in got)
    np.testing.assert_array_equal(got.total, got.epistemic + got.aleatoric)
    mean, std = model.predict(X, return_std=True)
    np.testing.assert_allclose(mean, got.mean)
    np.testing.assert_allclose(std**2, got.total)
    np.testing.assert_allclose(
        got.aleatoric, np.broadcast_to(np.square(model.noise_std_), y.shape), rtol=1e-6
    )
    assert (got.epistemic > 0).all()


def test_the_law_of_total_variance():
    rng = np.random.default_rng(0)
    means, variances = rng.standard_normal((50, 4, 2)), rng.uniform(1, 2, (50, 1, 2))
    got = regression_uncertainty(means, variances)
    np.testing.assert_allclose(got.mean, means.mean(0))
    np.testing.assert_allclose(got.epistemic, means.var(0))
    np.testing.assert_allclose(got.aleatoric, np.ones((4, 1)) * variances.mean(0))
    np.testing.assert_array_equal(got.total, got.epistemic + got.aleatoric)


@pytest.mark.parametrize("function", [probability_uncertainty, entropy_uncertainty])
def test_draws_that_agree_leave_no_epistemic_part(function):
    p = np.tile(np.array([[0.2, 0.8], [0.5, 0.5], [1.0, 0.0]]), (9, 1, 1))
    got = function(p)
    np.testing.assert_allclose(got.epistemic, 0, atol=1e-15)
    np.testing.assert_allclose(got.total[2], 0, atol=1e-15)


@pytest.mark.parametrize("function", [probability_uncertainty, entropy_uncertainty])
def test_sure_draws_that_disagree_leave_no_aleatoric_part(function):
    p = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    got = function(p)
    np.testing.assert_allclose(got.aleatoric, 0, atol=1e-15)
    expected = 0.25 if function is probability_uncertainty else np.log(2)
    np.testing.assert_allclose(got.epistemic, expected)


def test_entropy_of_a_certain_outcome_is_zero():
    assert entropy(np.array([1.0, 0.0])) == 0
    assert entropy(np.array([0.5, 0.5])) == pytest.approx(np.log(2))


def test_the_fields_and_their_order():
    assert Uncertainty._fields == ("mean", "total", "epistemic", "aleatoric")
