import numpy as np
import pytest
import torch

from skdropout._inference.draws import evaluate
from skdropout._networks.activations import ACTIVATIONS
from skdropout._networks.architecture import Architecture, Member
from skdropout._networks.stack import Stack
from skdropout.families import Bernoulli, Gaussian, Noiseless, NoiseSource
from tests.reference import raw_outputs, stack_twin

CPU = torch.device("cpu")


def _stack(widths=(3, 5, 4, 2), activation="tanh", family=None, rates=None, seeds=(1, 2)):
    family = family or Noiseless()
    rates = rates or (0.0,) * (len(widths) - 1)
    members = [Member(seed, family, rates) for seed in seeds]
    return Stack(Architecture(widths, activation, None), members)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("widths", [(3, 2), (3, 5, 2), (3, 5, 4, 2)])
def test_without_noise_it_is_the_plain_network(activation, widths):
    stack = _stack(widths, activation)
    X = np.random.default_rng(0).standard_normal((7, 3))
    x = torch.as_tensor(X, dtype=torch.float32).expand(2, -1, -1)
    with torch.no_grad():
        out = stack(x, NoiseSource([0, 1], CPU)).numpy()
        (_, raws), *_ = evaluate(stack.plain(), torch.as_tensor(X))
    for member in range(2):
        expected = raw_outputs(stack_twin(stack, member), X)
        np.testing.assert_allclose(out[member], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(raws[member][0], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("activation", "factor"), [("relu", 6), ("tanh", 6), ("logistic", 2)])
def test_initial_weights_are_glorots(activation, factor):
    stack = _stack((30, 50, 20), activation)
    for linear in stack.linears:
        bound = (factor / sum(linear.weight.shape[1:])) ** 0.5
        for parameter in (linear.weight, linear.bias):
            assert parameter.abs().max() <= bound
            assert parameter.abs().max() > 0.8 * bound


def test_a_member_starts_as_it_would_alone():
    stack, alone = _stack(seeds=(1, 2)), _stack(seeds=(2,))
    for together, single in zip(stack.parameters(), alone.parameters(), strict=True):
        assert torch.equal(together[1], single[0])
        assert not torch.equal(together[0], single[0])


def test_the_seeds_of_a_member_differ():
    assert len({*Member(0, Noiseless(), ()).seeds(), *Member(1, Noiseless(), ()).seeds()}) == 8


@pytest.mark.parametrize("family", [Bernoulli(), Gaussian()])
def test_the_first_draws_of_many_are_those_of_few(family):
    stack = _stack(family=family, rates=(0.1, 0.5, 0.3))
    few, many = stack.draw(3), stack.draw(8)
    for short, long in zip(few.layers, many.layers, strict=True):
        assert torch.equal(short.linear.gain, long.linear.gain[:, :3])


def test_draws_follow_from_the_members_seeds():
    stack = _stack(family=Bernoulli(), rates=(0.1, 0.5, 0.3))
    again, other = stack.draw(20), stack.draw(20, [7, 8])
    gains = [[layer.linear.gain for layer in plain.layers] for plain in (stack.draw(20), again)]
    assert all(torch.equal(a, b) for a, b in zip(*gains, strict=True))
    assert not torch.equal(other.layers[1].linear.gain, gains[0][1])


def test_members_and_layers_have_draws_of_their_own():
    stack = _stack((6, 6, 6, 2), family=Bernoulli(), rates=(0.5, 0.5, 0.5))
    gains = [layer.linear.gain[member] for layer in stack.draw(30).layers for member in range(2)]
    for first in range(len(gains)):
        for second in range(first):
            assert not torch.equal(gains[first], gains[second])


def test_only_a_rate_makes_noise():
    assert not _stack(family=Bernoulli(), rates=(0.0, 0.0, 0.0)).noisy
    noisy = _stack(family=Bernoulli(), rates=(0.0, 0.0, 0.2))
    assert noisy.noisy
    plain = noisy.draw(5)
    assert [layer.linear.shared for layer in plain.layers] == [True, True, False]
    assert (plain.n_members, plain.n_draws) == (2, 5)


def test_fresh_noise_for_every_row_and_pass():
    stack = _stack(family=Gaussian(), rates=(0.3, 0.3, 0.3))
    source = NoiseSource([0, 1], CPU)
    first, second = (stack(torch.ones(2, 9, 3), source) for _ in range(2))
    assert len(torch.unique(first[0, :, 0])) == 9
    assert not torch.equal(first, second)
