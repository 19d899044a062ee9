import numpy as np
import pytest
import torch

from skdropout.families import Gaussian, NoiseSource
from tests.randomness import assert_mean, assert_same_moments, assert_variance

CPU = torch.device("cpu")


def _linear(*rates, n_in=200):
    return Gaussian.layer(n_in, 3, rates, [Gaussian()] * len(rates))


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.5, 0.9])
def test_the_factor_has_the_mean_and_variance_of_the_bernoulli_mask(rate):
    linear = _linear(rate)
    training = linear.training_gain(500, NoiseSource([0], CPU)).numpy().ravel()
    drawn = linear.drawn_gain(500, [np.random.default_rng(0)]).ravel()
    for gain in (training.astype(float), drawn.astype(float)):
        assert_mean(gain, 1.0)
        assert_variance(gain, rate / (1 - rate))


def test_rates_of_zero_are_no_noise():
    linear = _linear(0.0)
    assert not linear.noisy
    assert linear.gain(5, NoiseSource([0], CPU)) is None
    assert linear.draw(5, [np.random.default_rng(0)]).shared


def test_a_member_of_rate_zero_beside_a_noisy_one_has_no_noise():
    linear = _linear(0.0, 0.5)
    assert (linear.training_gain(100, NoiseSource([0, 1], CPU))[0] == 1).all()


def test_training_noise_and_draws_have_the_same_moments():
    linear = _linear(0.3, n_in=6)
    torch.nn.init.normal_(linear.weight, generator=torch.Generator().manual_seed(0))
    x = torch.linspace(-1, 2, 6)
    with torch.no_grad():
        trained = linear(x.expand(1, 40_000, 6), NoiseSource([0], CPU))[0].numpy()
    drawn = linear.draw(40_000, [np.random.default_rng(0)])
    plain = ((x * drawn.gain[0]) @ drawn.weight[0, 0] + drawn.bias[0, 0]).numpy()
    assert_same_moments(trained.astype(float), plain.astype(float))
