import numpy as np
import pytest
import torch

from skdropout.families import Bernoulli, NoiseSource
from tests.randomness import assert_same_moments, assert_share

CPU = torch.device("cpu")
RATES = [1e-9, 0.001, 0.05, 0.1, 0.3, 0.5, 0.9, 0.999]


def _linear(*rates, n_in=200):
    return Bernoulli.layer(n_in, 3, rates, [Bernoulli()] * len(rates))


@pytest.mark.parametrize("rate", RATES)
def test_share_of_dropped_units_while_training(rate):
    gain = _linear(rate).training_gain(1000, NoiseSource([0], CPU)).numpy()
    # Rates are multiples of 2**-16, and never zero.
    level = max(round(rate * 2**16), 1) / 2**16
    assert_share(int((gain == 0).sum()), gain.size, level)


@pytest.mark.parametrize("rate", RATES)
def test_share_of_dropped_units_in_draws(rate):
    gain = _linear(rate).drawn_gain(1000, [np.random.default_rng(0)])
    level = max(round(rate * 2**16), 1) / 2**16
    assert_share(int((gain == 0).sum()), gain.size, level)


@pytest.mark.parametrize("rate", RATES)
def test_kept_units_are_divided_by_the_keep_rate(rate):
    linear = _linear(rate)
    level = max(round(rate * 2**16), 1) / 2**16
    training = linear.training_gain(50, NoiseSource([0], CPU)).numpy()
    drawn = linear.drawn_gain(50, [np.random.default_rng(0)])
    for gain in (training, drawn):
        np.testing.assert_allclose(gain[gain != 0], 1 / (1 - level), rtol=1e-6)


def test_a_tiny_rate_never_becomes_zero_nor_a_large_one_one():
    linear = _linear(1e-12, 1 - 1e-12)
    assert linear.noisy
    assert (linear.rates > 0).all()
    assert (linear.rates < 1).all()


def test_rates_of_zero_are_no_noise():
    linear = _linear(0.0, 0.0)
    assert not linear.noisy
    assert linear.gain(5, NoiseSource([0, 1], CPU)) is None
    assert linear.draw(5, [np.random.default_rng(0)] * 2).shared


def test_a_member_of_rate_zero_beside_a_noisy_one_drops_nothing():
    linear = _linear(0.0, 0.5)
    assert (linear.training_gain(100, NoiseSource([0, 1], CPU))[0] == 1).all()
    assert (linear.drawn_gain(100, [np.random.default_rng(s) for s in (0, 1)])[0] == 1).all()


def test_members_have_their_own_rates_also_from_one_stream():
    gain = _linear(0.2, 0.7).training_gain(500, NoiseSource([3, 3], CPU)).numpy()
    for member, rate in enumerate((0.2, 0.7)):
        level = round(rate * 2**16) / 2**16
        assert_share(int((gain[member] == 0).sum()), gain[member].size, level)


def test_training_noise_and_draws_have_the_same_moments():
    linear = _linear(0.3, n_in=6)
    torch.nn.init.normal_(linear.weight, generator=torch.Generator().manual_seed(0))
    x = torch.linspace(-1, 2, 6)
    with torch.no_grad():
        trained = linear(x.expand(1, 40_000, 6), NoiseSource([0], CPU))[0].numpy()
    drawn = linear.draw(40_000, [np.random.default_rng(0)])
    plain = ((x * drawn.gain[0]) @ drawn.weight[0, 0] + drawn.bias[0, 0]).numpy()
    assert_same_moments(trained.astype(float), plain.astype(float))
