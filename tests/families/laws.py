"""What every noise family promises about its linear map, as functions of a family object.

`test_posterior_contract.py` holds them for all families in the table, and for the one that
`docs/new-family.md` defines. Where a law is statistical it uses `tests.randomness`.
"""

import copy
import pickle

import numpy as np
import torch
from sklearn.base import clone

from skdropout._inference.draws import evaluate
from skdropout._networks.architecture import Architecture, Member
from skdropout._networks.stack import Stack
from skdropout.families import Noiseless, NoiseSource
from tests.randomness import assert_mean, assert_same_moments, assert_variance

CPU = torch.device("cpu")
RATES = (0.3, 0.5)


def make_linear(family, rates=RATES, n_in=5, n_out=3):
    """A map with weights of both signs, none of them near zero, and its noise as at the start."""
    linear = family.layer(n_in, n_out, rates, [family] * len(rates))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in (linear.weight, linear.bias):
            values = torch.rand(parameter.shape, generator=generator) + 0.5
            parameter.copy_(values * torch.randn(parameter.shape, generator=generator).sign())
        linear.reset_noise()
    return linear


def make_stack(family, rates=RATES):
    members = [Member(7, family, rates), Member(8, family, rates)]
    return Stack(Architecture((5, 4, 2), "relu", None), members)


def raw(plain, x):
    return [out.clone() for _, outs in evaluate(plain, x) for out in outs]


def inputs(n_rows=9):
    return torch.randn(n_rows, 5, generator=torch.Generator().manual_seed(1))


# ---- the laws ----------------------------------------------------------------------------


def noise_off_is_the_plain_network(family):
    """Bit for bit, the weight-scaling rule is the network without noise."""
    stack = make_stack(family)
    silent = make_stack(Noiseless())
    for noisy, plain in zip(stack.linears, silent.linears, strict=True):
        plain.load_state_dict({"weight": noisy.weight, "bias": noisy.bias})
    for ours, theirs in zip(
        raw(stack.plain(), inputs()), raw(silent.plain(), inputs()), strict=True
    ):
        assert torch.equal(ours, theirs)


def without_variance_a_draw_is_the_plain_map(family):
    """A rate of zero, or a learned variance of zero, leaves nothing to draw."""
    linear = make_linear(family, (0.0, 0.0))
    learned = [p for name, p in linear.named_parameters() if name not in ("weight", "bias")]
    for parameter in learned:
        torch.nn.init.constant_(parameter, -1e4)
    drawn = linear.draw(3, [np.random.default_rng(row) for row in (0, 1)])
    plain = linear.plain()
    gain = 1.0 if drawn.gain is None else drawn.gain.unsqueeze(3)
    assert torch.equal(
        (drawn.weight * gain).expand(-1, 3, -1, -1), plain.weight.expand(-1, 3, -1, -1)
    )
    assert torch.equal(drawn.bias, plain.bias)
    x = inputs().expand(2, -1, -1)
    torch.testing.assert_close(
        linear(x, NoiseSource([0, 1], CPU)), torch.baddbmm(linear.bias, x, linear.weight)
    )


def gradients_reach_every_parameter(family):
    stack = make_stack(family)
    for parameter in stack.parameters():
        parameter.grad = torch.zeros_like(parameter)
    source = NoiseSource([0, 1], CPU)
    stack(inputs().expand(2, -1, -1), source).square().sum().backward()
    for linear in stack.linears:
        linear.add_kl_gradient(torch.full((2,), 0.01), source)
    for name, parameter in stack.named_parameters():
        reached = parameter.grad.flatten(1).abs().amax(1) > 0
        assert reached.all(), f"no gradient reaches {name} of a member"


def draws_and_training_noise_agree(family):
    """In mean and variance of each output, for one row of inputs."""
    linear = make_linear(family)
    x = inputs()[0]
    with torch.no_grad():
        trained = linear(x.expand(2, 40_000, -1), NoiseSource([0, 1], CPU)).numpy()
    drawn = linear.draw(40_000, [np.random.default_rng(row) for row in (2, 3)])
    noisy = x if drawn.gain is None else x * drawn.gain
    plain = torch.einsum("...i,...io->...o", noisy, drawn.weight) + drawn.bias
    if not linear.noisy:
        torch.testing.assert_close(torch.from_numpy(trained[:, :1]), plain)
        return
    for member in range(2):
        assert_same_moments(trained[member].astype(float), plain[member].double().numpy())


def moments_are_those_of_the_draws(family):
    """Mean and variance of each output for one row of inputs, from the stated moments."""
    linear = make_linear(family)
    stated = linear.moments()
    x = inputs()[0].double()
    drawn = linear.draw(40_000, [np.random.default_rng(row) for row in (2, 3)])
    noisy = x if drawn.gain is None else x * drawn.gain
    plain = torch.einsum("...i,...io->...o", noisy, drawn.weight.double()) + drawn.bias
    weight = stated.weight.double()
    variance = torch.zeros_like(weight) if stated.variance is None else stated.variance.double()
    if stated.gain is not None:
        # Of a product of independent numbers, the gain of mean one and the weight.
        alpha = stated.gain.variance.unsqueeze(2)
        variance = alpha * weight.square() + (1 + alpha) * variance
    mean = torch.einsum("i,mio->mo", x, weight) + stated.bias.detach()
    expected = torch.einsum("i,mio->mo", x.square(), variance)
    if not linear.noisy:
        torch.testing.assert_close(plain[:, 0], mean)
        return
    for member in range(2):
        samples = plain[member].double().numpy()
        assert_mean(samples, mean[member].numpy())
        assert_variance(samples, expected[member].numpy())


def gain_moments_are_those_of_the_gains(family):
    """Third and fourth moments too, where the noise multiplies inputs."""
    linear = make_linear(family)
    gain = linear.moments().gain
    if gain is None:
        return
    drawn = linear.draw(40_000, [np.random.default_rng(row) for row in (2, 3)]).gain
    centred = drawn.double().numpy() - 1
    for member in range(2):
        for power, stated in ((2, gain.variance), (3, gain.third), (4, gain.fourth)):
            assert_mean(centred[member] ** power, stated[member].numpy())


def the_kl_gradient_is_the_slope_of_the_kl(family):
    """Finite differences in float64, along random directions of all parameters at once."""
    linear = make_linear(family).double()
    for parameter in linear.parameters():
        parameter.grad = torch.zeros_like(parameter)
    factors = torch.tensor([0.3, 2.0], dtype=torch.float64)
    (linear.kl() * factors).sum().backward() if linear.kl().requires_grad else None
    parameters = list(linear.parameters())
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        steps = [
            torch.randn(p.shape, generator=generator, dtype=p.dtype) * 1e-5 for p in parameters
        ]
        values = []
        for sign in (1, -1):
            moved = copy.deepcopy(linear)
            with torch.no_grad():
                for parameter, step in zip(moved.parameters(), steps, strict=True):
                    parameter.add_(step, alpha=sign)
                values.append((moved.kl() * factors).sum())
        slope = sum((p.grad * step).sum() for p, step in zip(parameters, steps, strict=True))
        torch.testing.assert_close((values[0] - values[1]) / 2, slope, rtol=1e-5, atol=1e-10)


def the_reverse_pass_is_autograds(family):
    """If the family has one: outputs, all gradients and that of the KL, of two members and one.

    Half of the noise's parameters are moved far up, to where some families bound them.
    """
    for n_members in (2, 1):
        linear = make_linear(family, RATES[:n_members])
        learned = [p for name, p in linear.named_parameters() if name not in ("weight", "bias")]
        with torch.no_grad():
            for parameter in learned:
                parameter.flatten()[::2] += 2.0
        for rectified in (False, True):
            _hold_pass_to_autograd(linear, rectified)


def _hold_pass_to_autograd(linear, rectified):
    for parameter in linear.parameters():
        parameter.grad = torch.full_like(parameter, 7.0)
    quick = linear.reverse_pass(rectified)
    if quick is None:
        return
    seeds, factors = [5, 6][: len(linear.weight)], torch.tensor([0.3, 2.0])[: len(linear.weight)]
    x = inputs().expand(len(seeds), -1, -1)
    x = (x.relu() if rectified else x).clone().requires_grad_()
    above = torch.linspace(-1, 1, 3).expand(len(seeds), 9, 3)
    parameters, out = list(linear.parameters()), linear(x, NoiseSource(seeds, CPU))
    wanted = torch.autograd.grad(out, [x, *parameters], above, allow_unused=True)
    with torch.no_grad():
        run, source = quick(linear), NoiseSource(seeds, CPU)
        ours, on_inputs = _passed(run, x, run.noise(9, source), above, rectified)
        close(ours.view_as(out), out)
        close(on_inputs.view_as(x), wanted[0] * (x > 0) if rectified else wanted[0])
        for parameter, gradient in zip(parameters, wanted[1:], strict=True):
            close(parameter.grad, gradient)
            parameter.grad.fill_(1.0)
        run.add_kl_gradient(factors, NoiseSource(seeds, CPU))
    slopes = _kl_slopes(linear, factors, NoiseSource(seeds, CPU))
    for parameter, slope in zip(parameters, slopes, strict=True):
        close(parameter.grad, 1.0 + slope)


def _passed(run, x, noise, above, rectified):
    """Outputs, and the gradient of the inputs or of what was rectified to them.

    A stack of one has no axis of members.
    """
    x, noise, above = (
        values if values is None or len(above) > 1 else values[0]
        for values in (x.detach().clone(), noise, above)
    )
    out, kept = run.forward(x, noise)
    out = out.clone()
    run.backward(x, kept, above.clone())
    gradient = run.gradient_of_inputs(x, kept, above.clone())
    # The rectifier's derivative is read off its memory, which the pass may have written to.
    return out, gradient * (x > 0) if rectified else gradient


def _kl_slopes(linear, factors, source):
    parameters, kl = list(linear.parameters()), linear.kl(source)
    slopes = [None] * len(parameters)
    if kl.requires_grad:
        slopes = torch.autograd.grad((kl * factors).sum(), parameters, allow_unused=True)
    return [
        torch.zeros_like(parameter) if slope is None else slope
        for parameter, slope in zip(parameters, slopes, strict=True)
    ]


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-4, atol=1e-5)


def members_keep_their_own_parameters(family):
    """Two members with other rates beside each other are what they are alone."""
    together = make_linear(family, (0.2, 0.6))
    for member, rate in enumerate((0.2, 0.6)):
        alone = make_linear(family, (rate,))
        alone.load_state_dict(
            {name: values[member : member + 1] for name, values in together.state_dict().items()}
        )
        torch.testing.assert_close(alone.kl()[0], together.kl()[member])
        alone_rates, rates = alone.learned_rates(), together.learned_rates()
        assert (rates is None) == (alone_rates is None)
        assert rates is None or np.allclose(rates[member], alone_rates[0])


def seeds_decide_and_pickles_keep(family):
    assert clone(family).get_params() == family.get_params()
    stack = make_stack(family)
    again = pickle.loads(pickle.dumps(stack))
    for ours, theirs in zip(
        raw(stack.draw(4), inputs()), raw(again.draw(4), inputs()), strict=True
    ):
        assert torch.equal(ours, theirs)
    first, other = raw(stack.draw(4, [1, 2]), inputs()), raw(stack.draw(4, [3, 2]), inputs())
    assert stack.noisy != torch.equal(first[0], other[0])
    assert torch.equal(first[1], other[1])


LAWS = [
    noise_off_is_the_plain_network,
    without_variance_a_draw_is_the_plain_map,
    gradients_reach_every_parameter,
    draws_and_training_noise_agree,
    moments_are_those_of_the_draws,
    gain_moments_are_those_of_the_gains,
    the_kl_gradient_is_the_slope_of_the_kl,
    the_reverse_pass_is_autograds,
    members_keep_their_own_parameters,
    seeds_decide_and_pickles_keep,
]
