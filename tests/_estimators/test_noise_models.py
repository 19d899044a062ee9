"""Observation noise: what each model learns, on data whose noise is known."""

import pickle

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import norm, poisson
from sklearn.linear_model import PoissonRegressor

from skdropout import DropoutMLPRegressor
from skdropout._estimators.answering import functions_of
from tests import randomness
from tests.reference import NETWORKS, ONE_NETWORK, quick

PROBABILITIES = [0.01, 0.05, 0.5, 0.95, 0.99]


def noise_curve(x):
    """Standard deviation at `x` in [-1, 1]: from 0.1 to 0.5."""
    return 0.3 + 0.2 * np.sin(np.pi * x[:, 0])


def sample(n_rows, seed):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (n_rows, 1))
    return x, np.sin(3 * x[:, 0]) + noise_curve(x) * rng.standard_normal(n_rows)


@pytest.fixture(scope="module")
def fits():
    """Heteroscedastic fits on few and on many rows of one source.

    With a posterior over the weights, which narrows as rows come. A fixed rate does not, and its
    noise in the training passes would be a part of what is learned as noise.
    """
    few, many = (
        DropoutMLPRegressor(
            (50,),
            noise="heteroscedastic",
            dropout="bayes_by_backprop",
            learning_rate_init=0.01,
            max_iter=max_iter,
            random_state=0,
            **ONE_NETWORK,
        ).fit(*sample(n_rows, 0))
        for n_rows, max_iter in ((250, 200), (16_000, 60))
    )
    return few, many


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 3))
    return X, rng.poisson(np.exp(1.0 + X @ [0.5, -0.3, 0.2])).astype(float)


def test_the_aleatoric_part_recovers_the_noise_curve(fits):
    """Within 10 per cent: the root mean square of the relative error over the inputs.

    With eight seeds of the network it was 6 to 10 per cent.
    """
    x = np.linspace(-0.95, 0.95, 50)[:, None]
    learned = np.sqrt(fits[1].predict_uncertainty(x).aleatoric)
    assert np.sqrt(np.mean((learned / noise_curve(x) - 1) ** 2)) < 0.1


def test_more_rows_shrink_the_epistemic_part_only(fits):
    """With six seeds it was 0.02 to 0.03 of that of few rows, and the noise 1.00 to 1.05 of it.

    The noise that few rows gave was 1.1 to 1.4 of that.
    """
    x = np.linspace(-0.95, 0.95, 50)[:, None]
    few, many = (model.predict_uncertainty(x) for model in fits)
    assert many.epistemic.mean() < 0.6 * few.epistemic.mean()
    assert many.aleatoric.mean() == pytest.approx(np.mean(noise_curve(x) ** 2), rel=0.1)
    assert few.aleatoric.mean() > 0.7 * many.aleatoric.mean()


def test_the_noise_of_the_training_rows(fits):
    """With six seeds 1.00 to 1.01 of it."""
    x, _ = sample(16_000, 0)
    expected = np.sqrt(np.mean(noise_curve(x) ** 2))
    assert fits[1].noise_std_ == pytest.approx(expected, rel=0.05)


def test_a_constant_noise_is_learned_as_constant():
    """With six seeds 0.99 to 1.05 of it everywhere."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (4000, 1))
    y = 5 * x[:, 0] + 2 * rng.standard_normal(4000)
    options = {"dropout_rate": 0.02, "max_iter": 50, "random_state": 0}
    for noise in ("homoscedastic", "heteroscedastic"):
        model = DropoutMLPRegressor((50,), noise=noise, **options, **ONE_NETWORK).fit(x, y)
        std = np.sqrt(model.predict_uncertainty(x).aleatoric)
        np.testing.assert_allclose(std, 2, rtol=0.15)


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("calibrate", [False, True])
def test_all_predictions_speak_of_one_distribution(fits, outputs, calibrate):
    """Statistical: intervals, density, moments and samples, by the mixture written out."""
    x, y = sample(250, 0)
    y = y if outputs == 1 else np.column_stack([y, 10 * y + x[:, 0]])
    model = quick(
        DropoutMLPRegressor,
        noise="heteroscedastic",
        dropout_rate=0.3,
        n_draws=100,
        **({"cv": 2, "calibrate": True} if calibrate else {"n_members": 2}),
    ).fit(x, y)
    mixture = _mixture(model, x[:4])
    means, stds = mixture.means, np.sqrt(mixture.variances)
    assert np.ptp(stds, axis=1).min() > 0
    target = y[:4].reshape(4, -1)
    density = logsumexp(norm.logpdf(target, means, stds).sum(-1), axis=0) - np.log(100)
    np.testing.assert_allclose(model.log_prob(x[:4], y[:4]), density)
    got = model.predict_uncertainty(x[:4])
    np.testing.assert_array_equal(got.total, got.epistemic + got.aleatoric)
    np.testing.assert_allclose(got.epistemic.reshape(4, -1), means.var(0))
    np.testing.assert_allclose(got.aleatoric.reshape(4, -1), (stds**2).mean(0))
    np.testing.assert_allclose(model.predict(x[:4], return_std=True)[1] ** 2, got.total)
    quantiles = model.predict_quantiles(x[:4], PROBABILITIES).reshape(4, outputs, -1)
    for column, probability in enumerate(PROBABILITIES):
        share = norm.cdf(quantiles[..., column], means, stds).mean(0)
        np.testing.assert_allclose(share, probability, atol=1e-9)
    interval = model.predict_interval(x[:4], 0.9).reshape(4, outputs, 2)
    np.testing.assert_allclose(interval, quantiles[..., [1, 3]], rtol=1e-7)


def _mixture(model, X):
    """What a fitted model predicts for few rows, as the object that its predictions ask."""
    ((_, outputs),) = functions_of(model).over(torch.from_numpy(X))
    return model._predictive(outputs)


@pytest.mark.parametrize("calibrate", [False, True])
def test_new_observations_have_the_noise_of_their_row(calibrate):
    """Statistical: see `tests.randomness`. The prediction's own draws count as exact here."""
    x, y = sample(250, 0)
    model = quick(
        DropoutMLPRegressor,
        noise="heteroscedastic",
        dropout_rate=0.3,
        n_members=2,
        n_draws=80_000,
    ).fit(x, y)
    if calibrate:
        model.calibration_ = {"scale": 1.7}
    mean, std = model.predict(x[:3], return_std=True)
    samples = np.moveaxis(model.sample_y(x[:3], n_samples=4_000, random_state=1), -1, 0)
    randomness.assert_mean(samples, mean)
    randomness.assert_variance(samples, std**2)


@pytest.mark.parametrize(("dropout", "normalization"), NETWORKS)
@pytest.mark.parametrize("options", [{"noise": "heteroscedastic"}, {"loss": "poisson"}])
def test_every_family_and_the_way_back_from_a_file(counts, dropout, options, normalization):
    X, y = counts
    y = np.column_stack([y, 2 * y])
    model = quick(
        DropoutMLPRegressor, dropout=dropout, normalization=normalization, n_members=2, **options
    ).partial_fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    for ours, theirs in zip(
        model.predict_uncertainty(X), again.predict_uncertainty(X), strict=True
    ):
        assert ours.shape == y.shape
        np.testing.assert_array_equal(ours, theirs)
    before = model.log_prob(X, y).mean()
    for _ in range(5):
        again.partial_fit(X, y)
    assert again.log_prob(X, y).mean() > before
    again.set_params(warm_start=True, learning_rate="cooldown", max_iter=3).fit(X, y)
    assert np.isfinite(again.log_prob(X, y)).all()


def test_switched_off_weights_leave_the_noise_as_it_is(counts):
    X, y = counts
    model = quick(
        DropoutMLPRegressor, dropout="variational", noise="heteroscedastic", dropout_rate=0.9
    ).fit(X, y)
    sparse = model.sparsify()
    np.testing.assert_allclose(sparse.log_prob(X, y), model.log_prob(X, y), rtol=1e-4, atol=1e-4)


# ---- counts ----------------------------------------------------------------------------------


def test_counts_without_a_hidden_layer_are_a_generalized_linear_model(counts):
    """To 1 per cent, the noise of Adam's steps. With six seeds it was at most 0.1 per cent."""
    X, y = counts
    model = DropoutMLPRegressor(
        (),
        loss="poisson",
        dropout=None,
        alpha=0.0,
        max_iter=300,
        tol=0.0,
        random_state=0,
        **ONE_NETWORK,
    ).fit(X, y)
    glm = PoissonRegressor(alpha=0.0, tol=1e-10).fit(X, y)
    np.testing.assert_allclose(model.predict(X), glm.predict(X), rtol=0.01)


def test_the_predictive_distribution_of_counts(counts):
    """By the mixture of Poisson distributions written out."""
    X, y = counts
    model = quick(DropoutMLPRegressor, loss="poisson", dropout_rate=0.3, n_draws=40).fit(X, y)
    rates = _mixture(model, X).rates[..., 0]
    np.testing.assert_allclose(model.predict(X), rates.mean(0))
    got = model.predict_uncertainty(X)
    np.testing.assert_allclose(got.epistemic, rates.var(0))
    np.testing.assert_allclose(got.aleatoric, rates.mean(0))
    mass = logsumexp(poisson.logpmf(y, rates), axis=0) - np.log(40)
    np.testing.assert_allclose(model.log_prob(X, y), mass)
    quantiles = model.predict_quantiles(X, PROBABILITIES)
    assert (np.diff(quantiles, axis=1) >= 0).all()
    np.testing.assert_array_equal(quantiles, np.round(quantiles))
    for column, probability in enumerate(PROBABILITIES):
        reached = poisson.cdf(quantiles[:, column], rates).mean(0)
        before = poisson.cdf(quantiles[:, column] - 1, rates).mean(0)
        assert (reached >= probability).all()
        assert (before < probability).all()
    samples = model.sample_y(X, 5)
    assert samples.shape == (len(X), 5)
    np.testing.assert_array_equal(samples, np.round(samples))
    assert samples.min() >= 0


def test_new_counts_have_the_predicted_mean_and_variance(counts):
    """Statistical: see `tests.randomness`."""
    X, y = counts
    model = quick(DropoutMLPRegressor, loss="poisson", dropout_rate=0.3, n_draws=40_000).fit(X, y)
    mean, std = model.predict(X[:3], return_std=True)
    samples = np.moveaxis(model.sample_y(X[:3], n_samples=4_000, random_state=1), -1, 0)
    randomness.assert_mean(samples, mean)
    randomness.assert_variance(samples, std**2)


def test_large_counts(counts):
    X, y = counts
    model = DropoutMLPRegressor((), loss="poisson", random_state=0, **ONE_NETWORK).fit(X, 1000 * y)
    assert model.predict(X).mean() == pytest.approx(1000 * y.mean(), rel=0.1)
