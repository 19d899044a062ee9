import itertools
import warnings

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning

from skdropout import DropoutMLPClassifier
from skdropout.families import Gaussian, NoiseSource, Variational, VariationalGaussian
from tests.randomness import assert_mean, assert_same_moments
from tests.reference import ONE_NETWORK, ten_columns_that_decide

CPU = torch.device("cpu")


def _linear(*rates, n_in=4, n_out=2, **parameters):
    families = [VariationalGaussian(**parameters)] * len(rates)
    linear = VariationalGaussian.layer(n_in, n_out, rates, families)
    torch.nn.init.normal_(linear.weight, generator=torch.Generator().manual_seed(0))
    return linear


def _fit(model, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y)


def test_at_the_start_it_is_gaussian_dropout_number_for_number():
    linear = _linear(0.1, 0.4)
    gaussian = Gaussian.layer(4, 2, (0.1, 0.4), [Gaussian()] * 2)
    gaussian.load_state_dict({"weight": linear.weight, "bias": linear.bias})
    x = torch.linspace(-1, 2, 28).view(1, 7, 4).expand(2, -1, -1)
    torch.testing.assert_close(
        linear(x, NoiseSource([0, 1], CPU)), gaussian(x, NoiseSource([0, 1], CPU))
    )
    drawn, expected = (
        one.draw(5, [np.random.default_rng(row) for row in (0, 1)]) for one in (linear, gaussian)
    )
    torch.testing.assert_close(drawn.gain, expected.gain)


def test_weights_that_leave_a_unit_share_its_noise():
    """So outputs of equal weights are equal here, and independent in `Variational`.

    Statistical: the products of two independent outputs' deviations have mean zero.
    """
    x = torch.ones(1, 4_000, 3)
    outs = []
    for family in (VariationalGaussian, Variational):
        linear = family.layer(3, 2, (0.3,), [family()])
        torch.nn.init.ones_(linear.weight)
        linear.reset_noise()
        with torch.no_grad():
            outs.append(linear(x, NoiseSource([0], CPU))[0].T.numpy())
    np.testing.assert_allclose(outs[0][0], outs[0][1], rtol=1e-5)
    assert_same_moments(outs[0].T.astype(float), outs[1].T.astype(float))
    assert_mean(np.prod(outs[1] - outs[1].mean(1, keepdims=True), 0, dtype=float), 0.0)


def _divergence(log_alpha):
    """From the log-uniform prior, up to a constant, by integration."""
    root = np.exp(0.5 * log_alpha)
    # A logarithm of zero at -1 / root; beyond 12 there is no mass.
    edges = sorted({-12.0, max(-12.0, -1 / root), 12.0})
    mean = sum(
        quad(lambda z: norm.pdf(z) * np.log(abs(1 + root * z)), a, b, limit=500)[0]
        for a, b in itertools.pairwise(edges)
    )
    return mean - 0.5 * log_alpha


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.2, 0.4])
def test_the_kl_is_that_of_one_factor_for_each_input(rate):
    log_alphas = [np.log(p / (1 - p)) for p in (rate, 0.3)]
    expected = 4 * (_divergence(log_alphas[0]) - _divergence(log_alphas[1]))
    kl = _linear(rate, 0.3).kl().detach().numpy()
    # Each of the two is a published fit, at most 0.0085 nats off.
    assert kl[0] - kl[1] == pytest.approx(expected, abs=4 * 2 * 0.0085)


def test_alpha_stays_below_its_bound_and_does_not_start_there():
    for most in (0.0, -1.0, 1.5):
        linear = _linear(0.9, max_log_alpha=most)
        np.testing.assert_allclose(linear.alpha().detach(), 0.9 * np.exp(most), rtol=1e-5)
        torch.nn.init.constant_(linear.noise, 50.0)
        np.testing.assert_allclose(linear.alpha().detach(), np.exp(most), rtol=1e-6)


def test_a_rate_of_zero_stays_zero_beside_a_learned_one():
    linear = _linear(0.0, 0.4)
    torch.nn.init.ones_(linear.weight)
    out = linear(torch.ones(2, 50, 4), NoiseSource([0, 1], CPU))
    assert (out[0] == 4).all()
    assert out[1].std() > 0.1
    np.testing.assert_allclose(linear.learned_rates(), [0, 0.4], rtol=1e-6)
    assert linear.kl()[0] == 0
    (linear.kl().sum() + out.square().sum()).backward()
    assert (linear.noise.grad[0] == 0).all()
    assert linear.noise.grad.isfinite().all()


@pytest.fixture(scope="module")
def model():
    X, y = ten_columns_that_decide(400, 50)
    model = DropoutMLPClassifier(
        (20,),
        dropout=VariationalGaussian(noise_speed=10.0),
        dropout_rate=0.1,
        input_dropout_rate=0.1,
        alpha=0.0,
        batch_size=50,
        learning_rate_init=0.005,
        max_iter=100,
        n_iter_no_change=np.inf,
        random_state=0,
        **ONE_NETWORK,
    )
    return _fit(model, X, y)


def test_columns_without_information_get_more_noise(model):
    """With six seeds 59 to 90 times as much."""
    alpha = model.net_.module_.linears[0].alpha().detach().cpu().numpy().ravel()
    assert np.median(alpha[10:]) > 3 * np.median(alpha[:10])


def test_the_rates_are_recorded_each_epoch(model):
    assert model.dropout_rates_curve_.shape == (100, 2)
    np.testing.assert_array_equal(model.dropout_rates_curve_[-1], model.dropout_rates_)
    assert (np.ptp(model.dropout_rates_curve_, axis=0) > 0.01).all()


def test_no_unit_is_ever_off(model):
    assert model.sparsity_ == 0
