"""Modules for networks of one's own do what their papers say."""

import numpy as np
import pytest
import torch
from torch import nn

from skdropout._modules.interception import FreshNoise, Generators, Interception
from skdropout.nn import ConcreteDropout, ConvNet, GaussianDropout
from tests.randomness import assert_mean, assert_variance


def noisy(module, shape, seed=0):
    """A module in training on ones, with noise of the package's generators."""
    generators = Generators(seed)
    with torch.no_grad(), Interception(FreshNoise(generators), generators):
        return module.train()(torch.ones(shape)).numpy()


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_gaussian_noise_has_the_mean_and_variance_of_dropout(rate):
    """Statistical."""
    gains = noisy(GaussianDropout(rate), (200_000,))
    assert_mean(gains, 1.0)
    assert_variance(gains, rate / (1 - rate))


def test_gaussian_dropout_alone_is_a_module_of_torch():
    """Statistical: in a loop of one's own it takes torch's global generator."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        gains = GaussianDropout(0.2)(torch.ones(200_000)).numpy()
    assert_mean(gains, 1.0)
    assert_variance(gains, 0.25)
    x = torch.ones(3)
    assert GaussianDropout(0.2).eval()(x) is x


@pytest.mark.parametrize("rate", [0.1, 0.3])
def test_a_relaxed_mask_drops_about_as_much_as_the_rate_says(rate):
    """At temperature 0.1 its mean over the rate's is within half a per cent (by quadrature)."""
    gains = noisy(ConcreteDropout(rate), (100_000, 1))
    number = (np.arange(100_000) + 0.5) / 100_000
    logit = np.log(number / (1 - number)) - np.log(rate / (1 - rate))
    expected = 1 / (1 + np.exp(-logit / 0.1)) / (1 - rate)
    assert_mean(gains, expected.mean())
    assert expected.mean() == pytest.approx(1.0, abs=0.005)


def test_a_learned_rate_has_a_gradient_and_an_entropy():
    module = ConcreteDropout(0.2, channels=True)
    module(torch.ones(5, 7, 3, 3)).sum().backward()
    assert module.logit.grad.abs() > 0
    assert module.n_units == 7
    entropy = -(0.2 * np.log(0.2) + 0.8 * np.log(0.8))
    assert module.kl().item() == pytest.approx(-7 * entropy, rel=1e-5)
    module(torch.ones(5, 7, 3, 3))
    ConcreteDropout.forward(module.eval(), torch.ones(2, 9, 1))
    assert module.n_units == 7


def test_channels_are_dropped_as_a_whole():
    gains = noisy(ConcreteDropout(0.5, channels=True), (50, 4, 3, 3))
    np.testing.assert_array_equal(gains, np.broadcast_to(gains[:, :, :1, :1], gains.shape))
    assert gains.std() > 0.5
    single = noisy(ConcreteDropout(0.5), (50, 4, 3, 3))
    assert single.std((2, 3)).min() > 0


def test_rates_are_reset_with_the_weights():
    module = ConcreteDropout(0.2)
    with torch.no_grad():
        module.logit += 1
    module.reset_parameters()
    assert module.rate.item() == pytest.approx(0.2)


def test_a_convnet_has_the_rates_of_the_literature_and_none_at_the_outputs():
    net = ConvNet((3, 4), (8, 6), input_shape=(2, 9, 11), n_outputs=5)
    rates = [part.p for part in net.modules() if isinstance(part, nn.Dropout)]
    assert rates == [0.25, 0.25, 0.5, 0.5]
    assert isinstance(list(net.modules())[-1], nn.Linear)
    assert net(torch.zeros(3, 2, 9, 11)).shape == (3, 5)
    spatial = ConvNet((3,), (), spatial=True, input_shape=(4, 4), n_outputs=1)
    assert [part.p for part in spatial.modules() if isinstance(part, nn.Dropout2d)] == [0.25]
    assert spatial(torch.zeros(3, 4, 4)).shape == (3, 1)


def test_small_images_are_not_pooled_away():
    assert ConvNet((3, 3, 3), 8, input_shape=(4, 2), n_outputs=1)(torch.zeros(2, 4, 2)).shape == (
        2,
        1,
    )


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: GaussianDropout(1.0), r"GaussianDropout: rate must be a float in \[0, 1\), got 1"),
        (lambda: ConcreteDropout(0.0), r"ConcreteDropout: rate must be a float in \(0, 1\), got 0"),
        (lambda: ConcreteDropout(temperature=0), "temperature must be a positive float, got 0"),
        (lambda: ConvNet(input_shape=(5,), n_outputs=1), r"images.*got input_shape=\(5,\)"),
        (
            lambda: ConvNet((4, 0), input_shape=(5, 5), n_outputs=1),
            r"ConvNet: n_channels must be positive ints, got \(4, 0\)",
        ),
        (
            lambda: ConvNet(hidden_layer_sizes="a", input_shape=(5, 5), n_outputs=1),
            "ConvNet: hidden_layer_sizes must be positive ints, got 'a'",
        ),
    ],
)
def test_what_cannot_be_has_a_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
