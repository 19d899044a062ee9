"""The evaluation of plain stacks, and what the draws of fitted models are.

The tests that call functions of `tests.randomness` are statistical: see there.
"""

import itertools

import numpy as np
import pytest
import torch

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from skdropout._inference.draws import evaluate, evaluate_together, rows_together
from skdropout._networks.architecture import Architecture, Member
from skdropout._networks.stack import Stack
from skdropout.families import BayesByBackprop, Bernoulli, Gaussian, Noiseless
from tests.randomness import assert_mean, assert_same_moments, assert_variance
from tests.reference import (
    NOISE_MODULES,
    noisy_passes,
    quick,
    raw_outputs,
    sigmoid,
    softmax,
    twin,
)

NORMALIZATIONS = [None, "batch", "layer"]
HIDDEN = [(), (6,), (6, 5), (6, 5, 4)]


def _stack(hidden, normalization=None, family=None, input_rate=0.2, n_members=2):
    rates = (input_rate, *[0.5] * len(hidden))
    members = [Member(seed, family or Bernoulli(), rates) for seed in range(n_members)]
    stack = Stack(Architecture((4, *hidden, 2), "relu", normalization), members)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for norm in stack.norms:
            for values in (norm.scale, norm.shift, *norm.buffers()):
                values.uniform_(0.5, 2, generator=generator)
    return stack


def _inputs(n_rows, dtype=torch.float64):
    return torch.randn(n_rows, 4, generator=torch.Generator().manual_seed(1), dtype=dtype)


def _evaluated(plain, x):
    """All chunks joined: ``(members, draws, rows, raw)``."""
    return torch.cat([torch.stack(raws) for _, raws in evaluate(plain, x)], 2).numpy()


def _by_definition(plain, x):
    """One draw and one layer after the other, in float64 NumPy, nothing left out."""
    results = []
    for member, draw in itertools.product(range(plain.n_members), range(plain.n_draws)):
        h = x.double().numpy()
        for depth, layer in enumerate(plain.layers):
            linear = layer.linear
            weight, bias, gain = (
                values if values is None else values[member, min(draw, values.shape[1] - 1)]
                for values in (linear.weight, linear.bias, linear.gain)
            )
            if gain is not None:
                h = h * gain.double().numpy()
            h = h @ weight.double().numpy() + bias.double().numpy()
            if layer.norm is not None:
                scale, shift = layer.norm.scale[member], layer.norm.shift[member]
                h = (h - h.mean(1, keepdims=True)) / np.sqrt(h.var(1, keepdims=True) + 1e-5)
                h = h * scale.double().numpy() + shift.double().numpy()
            if depth < len(plain.layers) - 1:
                h = np.maximum(h, 0)
        results.append(h)
    return np.stack(results).reshape(plain.n_members, plain.n_draws, len(x), -1)


@pytest.mark.parametrize("family", [Bernoulli(), Gaussian(), Noiseless()], ids=str)
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("hidden", HIDDEN, ids=str)
@pytest.mark.parametrize("input_rate", [0.0, 0.2])
@pytest.mark.parametrize("n_rows", [1, 150])
def test_evaluation_is_the_definition(family, normalization, hidden, input_rate, n_rows):
    plain = _stack(hidden, normalization, family, input_rate).draw(7)
    x = _inputs(n_rows)
    np.testing.assert_allclose(
        _evaluated(plain, x), _by_definition(plain, x), rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize(
    "family", [Bernoulli(), Gaussian(), Noiseless(), BayesByBackprop(log_sigma2=-2.0)], ids=str
)
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("hidden", [(), (6,), (6, 5, 4), (120, 3)], ids=str)
@pytest.mark.parametrize("input_rate", [0.0, 0.2])
@pytest.mark.parametrize("n_rows", [1, 150])
def test_members_on_rows_of_their_own(family, normalization, hidden, input_rate, n_rows):
    plain = _stack(hidden, normalization, family, input_rate).draw(7)
    x = _inputs(2 * n_rows, torch.float32).view(2, n_rows, 4)
    raw = evaluate_together(plain, x)
    expected = [_by_definition(plain, rows)[member] for member, rows in enumerate(x)]
    np.testing.assert_allclose(raw, np.stack(expected), rtol=1e-4, atol=1e-5)
    same = evaluate_together(plain, x[:1])
    np.testing.assert_allclose(same, _by_definition(plain, x[0]), rtol=1e-4, atol=1e-5)


def test_rows_together_are_bounded():
    small, large = (_stack((width, width)).draw(50) for width in (10, 2000))
    assert rows_together(small) > 100 * rows_together(large) > 0
    assert rows_together(large) * 2 * 50 * 2000 * 4 <= 2**25


def test_rows_come_in_chunks_that_cover_them():
    plain = _stack((6, 5)).draw(3)
    x = _inputs(5000)
    slices = [rows for rows, _ in evaluate(plain, x)]
    assert len(slices) > 1
    assert slices[0].start == 0
    assert slices[-1].stop == 5000
    assert all(a.stop == b.start for a, b in itertools.pairwise(slices))
    np.testing.assert_allclose(_evaluated(plain, x), _by_definition(plain, x), atol=1e-11)


def test_a_draw_that_drops_every_unit_of_a_layer():
    plain = _stack((3, 3)).draw(300)
    assert (plain.layers[1].linear.gain == 0).all(2).any()
    for n_rows in (5, 120):
        x = _inputs(n_rows)
        np.testing.assert_allclose(_evaluated(plain, x), _by_definition(plain, x), atol=1e-12)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("hidden", HIDDEN, ids=str)
def test_few_and_many_rows_agree(hidden, normalization):
    plain = _stack(hidden, normalization).draw(50)
    x = _inputs(200)
    many = _evaluated(plain, x)
    few = np.concatenate([_evaluated(plain, part) for part in x.split(40)], 2)
    np.testing.assert_allclose(many, few, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("n_rows", [5, 150])
def test_float32_is_about_float64(normalization, n_rows):
    plain = _stack((6, 5), normalization).draw(20)
    x = _inputs(n_rows, torch.float32)
    single = _evaluated(plain, x)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, _by_definition(plain, x), rtol=1e-4, atol=1e-4)


# ---- fitted models ---------------------------------------------------------------------------


def _two_unit_masks(model, X, rate):
    """Probabilities of the second class under each of the four masks, and the masks' chances."""
    first, last = model.net_.module_.cpu().linears
    w1, b1 = first.weight[0].detach().double().numpy(), first.bias[0].detach().double().numpy()
    w2, b2 = last.weight[0].detach().double().numpy(), last.bias[0].detach().double().numpy()
    units = np.maximum(X @ w1 + b1, 0)
    masks = np.array(list(itertools.product([0, 1], repeat=2)))
    raw = np.stack([(units * mask / (1 - rate)) @ w2 + b2 for mask in masks])[..., 0]
    chances = np.prod(np.where(masks, 1 - rate, rate), axis=1)
    return sigmoid(raw), chances


@pytest.mark.parametrize("rate", [0.25, 0.5])
@pytest.mark.parametrize("n_rows", [4, 120])
def test_two_units_are_the_enumeration_of_their_masks(two_classes, rate, n_rows):
    X, y = two_classes
    model = quick(DropoutMLPClassifier, hidden_layer_sizes=(2,), dropout_rate=rate).fit(X, y)
    X = X[:n_rows]
    values, chances = _two_unit_masks(model, X, rate)
    draws = model.sample_proba(X, n_samples=10_000)[..., 1]
    # Exact: each draw is one of the four networks, the same one for all rows.
    gaps = np.abs(draws[:, None] - values[None]).max(2)
    assert (gaps.min(1) < 1e-6).all()
    mean = np.einsum("m,mr->r", chances, values)
    # Statistical: they come as often as they should.
    counts = np.eye(4)[gaps.argmin(1)]
    assert_mean(counts, chances)
    assert_mean(draws, mean)
    assert_variance(draws, np.einsum("m,mr->r", chances, (values - mean) ** 2))


@pytest.mark.parametrize("family", NOISE_MODULES)
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_draws_have_the_moments_of_a_plain_loop(two_classes, family, depth, normalization):
    X, y = two_classes
    model = quick(
        DropoutMLPClassifier,
        hidden_layer_sizes=(6,) * depth,
        dropout=family,
        dropout_rate=0.3,
        input_dropout_rate=0.1,
        normalization=normalization,
    ).fit(X, y)
    draws = model.sample_proba(X[:5], n_samples=10_000)[..., 1]
    passes = noisy_passes(twin(model), X[:5], 10_000, seed=depth)[..., 0]
    assert_same_moments(draws, sigmoid(passes))


@pytest.mark.parametrize("family", NOISE_MODULES)
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_draws_of_many_rows_have_the_moments_of_a_plain_loop(three_classes, family, depth):
    X, y = three_classes
    model = quick(DropoutMLPClassifier, hidden_layer_sizes=(6,) * depth, dropout=family)
    model.set_params(dropout_rate=0.3).fit(X, y)
    # More than 96 rows go through the thinned networks, one draw at a time.
    draws = model.sample_proba(X[:100], n_samples=3_000)
    passes = noisy_passes(twin(model), X[:100], 3_000, seed=depth)
    assert_same_moments(draws, softmax(passes))


@pytest.mark.parametrize("family", NOISE_MODULES)
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_regression_has_the_moments_of_a_plain_loop(real_target, family, depth):
    X, y = real_target
    model = quick(
        DropoutMLPRegressor, hidden_layer_sizes=(6,) * depth, dropout=family, dropout_rate=0.3
    )
    model.fit(X, y).set_params(n_draws=10_000)
    plain = model.net_.module_.cpu().draw(10_000)
    functions = _evaluated(plain, torch.as_tensor(X[:5]))[0, ..., 0] * y.std() + y.mean()
    passes = noisy_passes(twin(model), X[:5], 10_000, seed=depth)[..., 0] * y.std() + y.mean()
    assert_same_moments(functions, passes)
    uncertainty = model.predict_uncertainty(X[:5])
    np.testing.assert_allclose(uncertainty.mean, functions.mean(0), rtol=1e-9)
    np.testing.assert_allclose(uncertainty.epistemic, functions.var(0), rtol=1e-9)
    np.testing.assert_allclose(uncertainty.aleatoric, model.noise_std_**2, rtol=1e-6)


@pytest.mark.parametrize("hidden", HIDDEN, ids=str)
@pytest.mark.parametrize("n_rows", [3, 120])
def test_no_draws_are_the_network_in_eval_mode(two_classes, real_target, hidden, n_rows):
    X, y = two_classes
    model = quick(DropoutMLPClassifier, hidden_layer_sizes=hidden, dropout_rate=0.4).fit(X, y)
    model.set_params(n_draws=0)
    expected = sigmoid(raw_outputs(twin(model), X[:n_rows]))[:, 0]
    np.testing.assert_allclose(model.predict_proba(X[:n_rows])[:, 1], expected, atol=1e-12)

    X, y = real_target
    model = quick(DropoutMLPRegressor, hidden_layer_sizes=hidden, dropout_rate=0.4).fit(X, y)
    model.set_params(n_draws=0)
    expected = raw_outputs(twin(model), X[:n_rows])[:, 0] * y.std() + y.mean()
    np.testing.assert_allclose(model.predict(X[:n_rows]), expected, rtol=1e-10)


def test_the_first_of_a_thousand_draws_are_those_of_a_hundred(two_classes):
    X, y = two_classes
    model = quick(DropoutMLPClassifier, hidden_layer_sizes=(8, 8), dropout_rate=0.3).fit(X, y)
    few = model.sample_proba(X, n_samples=100, random_state=None)
    many = model.sample_proba(X, n_samples=1000, random_state=None)
    np.testing.assert_allclose(many[:100], few, rtol=1e-12)
    np.testing.assert_allclose(model.predict_proba(X), few.mean(0), rtol=1e-12)
    model.set_params(n_draws=1000)
    np.testing.assert_allclose(model.predict_proba(X), many.mean(0), rtol=1e-12)
