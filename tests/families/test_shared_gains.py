"""Inputs of one source, such as a column that was encoded, are dropped together."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch

from skdropout import DropoutMLPClassifier
from skdropout._networks.architecture import Architecture, Member
from skdropout._networks.stack import Stack
from skdropout._training.backprop import Backprop
from skdropout.families import (
    BayesByBackprop,
    Bernoulli,
    Concrete,
    Family,
    Gaussian,
    MultiplicativeLinear,
    NoiseSource,
    VariationalGaussian,
)
from tests.families.laws import CPU, RATES, make_linear, raw
from tests.randomness import assert_share, assert_variance
from tests.reference import ESTIMATORS, quick, target

SOURCES = (0, 0, 1, 2, 2)


class UniformLinear(MultiplicativeLinear):
    """A family of a user's, which makes a factor for each input."""

    def training_gain(self, n_rows, source):
        return 1 + source.bits(n_rows, self.weight.shape[1]).float() * 2**-17

    def drawn_gain(self, n_draws, rngs):
        shape = n_draws, self.weight.shape[1]
        return np.stack([0.5 + rng.random(shape, dtype=np.float32) for rng in rngs])


class Uniform(Family):
    layer = UniformLinear


MULTIPLICATIVE = [Bernoulli(), Gaussian(), Concrete(), VariationalGaussian()]


def _shared(family, rates=RATES):
    linear = family.layer(5, 3, rates, [family] * len(rates))
    linear.share_gains(SOURCES)
    linear.reset_noise()
    return linear


def _check_groups(gain):
    """Equal within a source in every pass, and not between sources."""
    for j, k in itertools.combinations(range(5), 2):
        same = (gain[..., j] == gain[..., k]).all()
        assert bool(same) == (SOURCES[j] == SOURCES[k])


@pytest.mark.parametrize("family", [*MULTIPLICATIVE, Uniform()], ids=repr)
def test_inputs_of_a_source_have_one_factor(family):
    linear = _shared(family)
    _check_groups(linear.gain(400, NoiseSource([0, 1], CPU)).detach())
    drawn = linear.draw(400, [np.random.default_rng(k) for k in range(2)]).gain
    assert drawn.shape == (2, 400, 5)
    _check_groups(drawn)


@pytest.mark.parametrize("family", MULTIPLICATIVE, ids=repr)
def test_the_factors_vary_as_those_of_single_inputs(family):
    single = make_linear(family)
    expected = (single.gain_moments().variance.flatten())[[0, -1]].detach()
    linear = _shared(family)
    drawn = linear.draw(20_000, [np.random.default_rng(k) for k in range(2)]).gain
    for member in range(2):
        assert_variance(drawn[member].double().numpy(), float(expected[member]))


@pytest.mark.parametrize("family", MULTIPLICATIVE, ids=repr)
def test_there_is_as_much_divergence_as_there_are_sources(family):
    with torch.no_grad():
        shared, single = _shared(family), family.layer(3, 3, RATES, [family] * 2)
        single.reset_noise()
        torch.testing.assert_close(shared.kl(), single.kl())


def test_weights_have_noise_of_their_own():
    linear = _shared(BayesByBackprop())
    assert not isinstance(linear, MultiplicativeLinear)
    drawn = linear.draw(9, [np.random.default_rng(k) for k in range(2)])
    assert drawn.weight.shape == (2, 9, 5, 3)


def _stack(family, n_members=1, rates=(0.4, 0.0)):
    members = [Member(seed, family, rates) for seed in range(n_members)]
    return Stack(Architecture((5, 6, 2), "tanh", None, SOURCES), members)


def test_training_passes_are_those_of_every_mask_of_the_columns():
    stack, rate = _stack(Bernoulli()), 0.4
    x = torch.randn(1, 5, generator=torch.Generator().manual_seed(0))
    first, last = stack.linears
    possible = []
    with torch.no_grad():
        for kept in itertools.product([0.0, 1.0], repeat=3):
            masked = x * torch.tensor(kept)[list(SOURCES)] / (1 - round(rate * 2**16) / 2**16)
            hidden = torch.tanh(masked @ first.weight[0] + first.bias[0])
            possible.append(hidden @ last.weight[0] + last.bias[0])
        passes = stack(x.expand(1, 4000, -1), NoiseSource([0], CPU))[0]
    apart = (passes.unsqueeze(1) - torch.cat(possible).unsqueeze(0)).abs().amax(2)
    assert (apart.amin(1) < 1e-5).all()
    counts = (apart < 1e-5).sum(0).tolist()
    for count, kept in zip(counts, itertools.product([0, 1], repeat=3), strict=True):
        assert_share(count, 4000, np.prod([1 - rate if k else rate for k in kept]))


@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("family", [Bernoulli(), Gaussian()], ids=repr)
def test_the_gradient_is_autograds(family, n_members):
    stack = _stack(family, n_members)
    assert Backprop.supports(stack)
    for parameter in stack.parameters():
        parameter.grad = torch.zeros_like(parameter)
    x = torch.randn(n_members, 11, 5, generator=torch.Generator().manual_seed(0))
    made = stack(x, NoiseSource(range(n_members), CPU))
    expected = torch.autograd.grad(made.sum(), list(stack.parameters()))
    backprop = Backprop(stack)
    ((batch, noise),) = backprop.batches(x, 11, NoiseSource(range(n_members), CPU))
    with torch.no_grad():
        ours, tape = backprop.forward(batch, noise)
        backprop.backward(tape, torch.ones_like(ours))
    torch.testing.assert_close(ours, made.detach())
    for parameter, gradient in zip(stack.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-5)


def test_a_stack_keeps_it_when_members_are_selected():
    stack = _stack(Gaussian(), 3)
    some = stack.select(torch.tensor([0, 2]))
    x = torch.randn(9, 5, generator=torch.Generator().manual_seed(0))
    whole = raw(stack.draw(7), x)
    for ours, theirs in zip(raw(some.draw(7), x), [whole[0], whole[2]], strict=True):
        torch.testing.assert_close(ours, theirs)


# ---- in the estimators ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_columns():
    rng = np.random.default_rng(0)
    age = np.where(rng.random(200) < 0.2, np.nan, rng.uniform(20, 80, 200))
    town = rng.choice(["Bonn", "Kiel", "Ulm"], 200)
    return pd.DataFrame({"age": age, "town": town}), ((age > 50) ^ (town == "Ulm")).astype(int)


@pytest.mark.parametrize("estimator_class", ESTIMATORS)
@pytest.mark.parametrize("encoding", ["scale", "piecewise", "cumulative"])
def test_draws_are_those_of_every_mask_of_the_columns(two_columns, estimator_class, encoding):
    X, y = two_columns[0], target(estimator_class, two_columns[1])
    options = {"dropout_rate": 0.0, "input_dropout_rate": 0.25, "n_draws": 400}
    model = quick(estimator_class, input_encoding=encoding, **options).fit(X, y)
    encoder, stack = model._encoder.set_params(sparse_output=False), model.net_.module_
    encoded = torch.from_numpy(encoder.transform(X[:20]))
    possible = []
    for kept in itertools.product([0.0, 1.0], repeat=2):
        h = encoded * torch.tensor(kept)[encoder.column_of_feature_] / 0.75
        for depth, linear in enumerate(stack.linears):
            h = torch.relu(h) if depth else h
            h = h @ linear.weight[0].detach().double() + linear.bias[0].detach().double()
        possible.append(h)
    (drawn,) = raw(stack.draw(400), encoded)
    apart = (drawn.unsqueeze(1) - torch.stack(possible)).abs().amax((2, 3))
    assert (apart.amin(1) < 1e-5).all()
    # All four occur, the gap's indicator with its column.
    assert set(apart.argmin(1).tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("family", [*MULTIPLICATIVE, BayesByBackprop()], ids=repr)
def test_every_family_drops_columns(two_columns, family):
    X, y = two_columns
    model = quick(
        DropoutMLPClassifier, dropout=family, input_encoding="scale", input_dropout_rate=0.2
    ).fit(X, y)
    assert model.predict_uncertainty(X).epistemic.min() > 0
    assert model.partial_fit(X, y).dropout_rates_.shape == (2,)


@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_moments_of_columns_that_are_dropped_are_refused(two_columns, estimator_class):
    X, y = two_columns[0], target(estimator_class, two_columns[1])
    options = {"input_encoding": "scale", "inference": "moments", "input_dropout_rate": 0.2}
    model = quick(estimator_class, **options).fit(X, y)
    with pytest.raises(ValueError, match="encoded column that is dropped drops several together"):
        model.predict(X)
    # Where each column is one number there is nothing to drop together.
    numbers = X[["age"]].fillna(50)
    quick(estimator_class, **options).fit(numbers, y).predict(numbers)
    quick(estimator_class, **options | {"input_dropout_rate": 0.0}).fit(X, y).predict(X)
