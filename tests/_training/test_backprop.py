import pytest
import torch

from skdropout._networks.activations import ACTIVATIONS
from skdropout._networks.architecture import Architecture, Member
from skdropout._networks.stack import Stack
from skdropout._training.backprop import Backprop
from skdropout.families import (
    BayesByBackprop,
    Bernoulli,
    Gaussian,
    Noiseless,
    NoiseSource,
    Variational,
    VariationalGaussian,
)

CPU = torch.device("cpu")
FAMILIES = {
    "bernoulli": Bernoulli(),
    "gaussian": Gaussian(),
    "none": Noiseless(),
    "variational": Variational(noise_speed=2.0),
    "bounded variational": Variational(noise_speed=2.0, max_log_alpha=-0.5),
    "variational_gaussian": VariationalGaussian(noise_speed=2.0),
    "bayes_by_backprop": BayesByBackprop(log_sigma2=-2.0, noise_speed=2.0),
}


def _stack(widths, activation, n_members, family, rate, normalization=None):
    rates = (0.2, *[rate] * (len(widths) - 2))
    members = [Member(seed, FAMILIES[family], rates) for seed in range(n_members)]
    stack = Stack(Architecture(widths, activation, normalization), members)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in stack.named_parameters():
        parameter.grad = torch.zeros_like(parameter)
        if name.endswith("noise"):
            # So that some variances are at their bounds and others are not.
            with torch.no_grad():
                parameter.add_(torch.randn(parameter.shape, generator=generator))
    return stack


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [(), (6,), (6, 5, 4)])
@pytest.mark.parametrize(("n_members", "rate"), [(1, 0.4), (3, 0.4), (3, 0.0)])
def test_the_gradient_is_autograds(family, activation, hidden, n_members, rate):
    stack = _stack((3, *hidden, 2), activation, n_members, family, rate)
    assert Backprop.supports(stack)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n_members, 11, 3, generator=generator)
    above = torch.randn(n_members, 11, 2, generator=generator)

    raw = stack(x, NoiseSource(range(n_members), CPU))
    expected = torch.autograd.grad(raw, list(stack.parameters()), above)

    backprop = Backprop(stack)
    ((batch, noise),) = backprop.batches(x, 11, NoiseSource(range(n_members), CPU))
    with torch.no_grad():
        ours, tape = backprop.forward(batch, noise)
        backprop.backward(tape, above.clone())
    torch.testing.assert_close(ours, raw.detach())
    for parameter, gradient in zip(stack.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("hidden", [(), (6, 12, 12)])
def test_steps_that_write_to_the_same_memory(family, activation, n_members, hidden):
    """Raw outputs of a block are looked at together: they outlive the steps that follow."""
    stack = _stack((3, *hidden, 12), activation, n_members, family, 0.4)
    x = torch.randn(n_members, 11, 3, generator=torch.Generator().manual_seed(0))

    def passes(backprop):
        batches = backprop.batches(x, 4, NoiseSource(range(n_members), CPU))
        with torch.no_grad():
            for batch in batches:
                raw, tape = backprop.forward(*batch)
                backprop.backward(tape, torch.ones_like(raw))
                yield raw, [parameter.grad.clone() for parameter in stack.parameters()]

    expected = list(passes(Backprop(stack)))
    backprop = Backprop(stack, held_bytes=0)
    ours = list(passes(backprop))
    assert len(backprop.scratch.memory) == 2 * len(hidden)
    for (raw, gradients), (other, others) in zip(ours, expected, strict=True):
        assert torch.equal(raw, other)
        for gradient, before in zip(gradients, others, strict=True):
            assert torch.equal(gradient, before)


@pytest.mark.parametrize("family", ["none", "bayes_by_backprop"])
def test_the_gradient_is_overwritten_not_added(family):
    stack = _stack((3, 4, 2), "relu", 1, family, 0.0)
    backprop = Backprop(stack)
    results = []
    for _ in range(2):
        batches = backprop.batches(torch.ones(1, 5, 3), 5, NoiseSource([0], CPU))
        with torch.no_grad():
            for batch, noise in batches:
                raw, tape = backprop.forward(batch, noise)
                backprop.backward(tape, torch.ones_like(raw))
        results.append([parameter.grad.clone() for parameter in stack.parameters()])
    assert all(torch.equal(first, second) for first, second in zip(*results, strict=True))


@pytest.mark.parametrize("family", ["variational", "bayes_by_backprop"])
def test_a_row_of_zeros_has_a_gradient(family):
    stack = _stack((3, 4, 2), "relu", 1, family, 0.3)
    backprop = Backprop(stack)
    for batch, noise in backprop.batches(torch.zeros(1, 5, 3), 5, NoiseSource([0], CPU)):
        with torch.no_grad():
            raw, tape = backprop.forward(batch, noise)
            backprop.backward(tape, torch.ones_like(raw))
    assert all(parameter.grad.isfinite().all() for parameter in stack.parameters())


@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_kls_gradient_is_added(family, n_members):
    stack = _stack((3, 4, 2), "relu", n_members, family, 0.3)
    factors = torch.linspace(0.5, 2.0, n_members)
    kl = stack.kl()
    if kl.requires_grad:
        (kl * factors).sum().backward()
    expected = [parameter.grad.clone() + 1 for parameter in stack.parameters()]
    for parameter in stack.parameters():
        parameter.grad.zero_()
    backprop = Backprop(stack)
    x, source = torch.ones(n_members, 5, 3), NoiseSource(range(n_members), CPU)
    with torch.no_grad():
        for batch, noise in backprop.batches(x, 5, source):
            backprop.forward(batch, noise)
            for parameter in stack.parameters():
                parameter.grad.fill_(1.0)
            backprop.add_kl_gradient(factors, source)
    for parameter, gradient in zip(stack.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("normalization", ["batch", "layer"])
def test_normalized_stacks_are_left_to_autograd(normalization):
    assert not Backprop.supports(_stack((3, 4, 2), "relu", 1, "bernoulli", 0.5, normalization))
