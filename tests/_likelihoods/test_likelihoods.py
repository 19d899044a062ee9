import pytest
import torch
from torch.distributions import Bernoulli, Categorical, Normal, Poisson

from skdropout._likelihoods.base import mixture_log_prob
from skdropout._likelihoods.classes import BinaryLikelihood, CategoricalLikelihood
from skdropout._likelihoods.gaussian import GaussianLikelihood
from skdropout._likelihoods.heteroscedastic import HeteroscedasticLikelihood
from skdropout._likelihoods.labels import MultilabelLikelihood
from skdropout._likelihoods.poisson import PoissonLikelihood

ROWS, MEMBERS = 6, 2


def _gaussian():
    likelihood = GaussianLikelihood(MEMBERS, 3)
    likelihood.variance.copy_(torch.tensor([[[0.5, 1.0, 4.0]], [[2.0, 0.1, 1.0]]]))
    return likelihood


def _heteroscedastic():
    likelihood = HeteroscedasticLikelihood(MEMBERS, 3)
    likelihood.scale.copy_(_gaussian().variance)
    return likelihood


def _half_released():
    """The second member's variance differs from row to row, the first one's does not yet."""
    likelihood = HeteroscedasticLikelihood(MEMBERS, 3, constant_first=True)
    likelihood.scale.copy_(_gaussian().variance)
    likelihood.release(torch.tensor([False, True]))
    return likelihood


def _cases():
    generator = torch.Generator().manual_seed(0)
    binary = torch.randint(2, (1, ROWS), generator=generator).float()
    classes = torch.randint(4, (1, ROWS), generator=generator)
    labels = torch.randint(2, (1, ROWS, 3), generator=torch.Generator().manual_seed(2)).float()
    real = torch.randn(1, ROWS, 3, generator=generator)
    counts = torch.randint(6, (1, ROWS, 3), generator=generator).float()
    return [
        (BinaryLikelihood(), binary),
        (CategoricalLikelihood(4), classes),
        (MultilabelLikelihood(3), labels),
        (_gaussian(), real),
        (_heteroscedastic(), real),
        (_half_released(), real),
        (PoissonLikelihood(MEMBERS, torch.tensor([0.5, 1.0, 4.0])), counts),
    ]


@pytest.fixture(params=_cases(), ids=lambda case: type(case[0]).__name__)
def case(request):
    likelihood, y = request.param
    raw = torch.randn(MEMBERS, ROWS, likelihood.n_raw, generator=torch.Generator().manual_seed(1))
    return likelihood, raw, y


def _log_prob(likelihood, raw, y, member):
    """By torch.distributions, written out."""
    if isinstance(likelihood, BinaryLikelihood):
        return Bernoulli(logits=raw[..., 0]).log_prob(y)
    if isinstance(likelihood, CategoricalLikelihood):
        return Categorical(logits=raw).log_prob(y)
    if isinstance(likelihood, MultilabelLikelihood):
        return Bernoulli(logits=raw).log_prob(y.expand(raw.shape)).sum(-1)
    if isinstance(likelihood, PoissonLikelihood):
        return Poisson(raw.exp() * likelihood.means[member]).log_prob(y).sum(-1)
    if isinstance(likelihood, HeteroscedasticLikelihood):
        mean, shape = raw[..., :3], 3 * (raw[..., 3:] / 3).tanh()
        shape = shape if likelihood.released[member].item() else torch.zeros_like(shape)
        std = (likelihood.scale[member] * shape.exp()).sqrt()
        return Normal(mean, std).log_prob(y.expand(mean.shape)).sum(-1)
    std = likelihood.variance[member, 0].sqrt()
    return Normal(raw, std.expand(raw.shape)).log_prob(y.expand(raw.shape)).sum(-1)


def test_loss_is_minus_the_log_likelihood(case):
    likelihood, raw, y = case
    loss = likelihood.loss(raw, y)
    assert loss.shape == (MEMBERS, ROWS)
    for member in range(MEMBERS):
        torch.testing.assert_close(loss[member], -_log_prob(likelihood, raw[member], y[0], member))


def test_distribution_has_the_density_of_the_loss(case):
    likelihood, raw, y = case
    for member in range(MEMBERS):
        log_prob = likelihood.distribution(raw[member], member).log_prob(y[0])
        torch.testing.assert_close(log_prob, -likelihood.loss(raw, y)[member])


def test_gradient_is_autograds(case):
    likelihood, raw, y = case
    leaf = raw.clone().requires_grad_()
    (expected,) = torch.autograd.grad(likelihood.objective(leaf, y).sum(), leaf)
    torch.testing.assert_close(likelihood.gradient(raw.clone(), y), expected)


def test_members_may_have_their_own_orders_of_the_rows(case):
    likelihood, raw, y = case
    y = torch.cat([y, y.flip(1)])
    both = likelihood.loss(raw, y), likelihood.gradient(raw.clone(), y)
    for member in range(MEMBERS):
        own = y[member : member + 1]
        torch.testing.assert_close(both[0][member], likelihood.loss(raw, own)[member])
        torch.testing.assert_close(both[1][member], likelihood.gradient(raw.clone(), own)[member])


def test_mixture_is_the_mean_of_the_densities(case):
    likelihood, _, y = case
    generator = torch.Generator().manual_seed(2)
    raws = {
        member: torch.randn(5, ROWS, likelihood.n_raw, generator=generator)
        for member in range(MEMBERS)
    }
    density = torch.stack(
        [
            _log_prob(likelihood, draw, y[0], member).exp()
            for member, draws in raws.items()
            for draw in draws
        ]
    ).mean(0)
    torch.testing.assert_close(mixture_log_prob(likelihood, raws, y[0]), density.log())


def test_extreme_logits_have_finite_losses():
    raw = torch.tensor([[[1e4], [-1e4]]])
    loss = BinaryLikelihood().loss(raw, torch.tensor([[0.0, 1.0]]))
    torch.testing.assert_close(loss, torch.tensor([[1e4, 1e4]]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "likelihood", [BinaryLikelihood(), CategoricalLikelihood(4), MultilabelLikelihood(3)]
)
def test_probabilities_are_those_of_the_distribution(likelihood, dtype):
    """Also far from zero, where exponentials overflow; memory is overwritten only where asked."""
    generator = torch.Generator().manual_seed(0)
    raw = torch.randn(5, ROWS, likelihood.n_raw, generator=generator, dtype=dtype) * 3
    raw[0] *= 1e3
    expected = likelihood.distribution(raw, 0)
    expected = getattr(expected, "base_dist", expected).probs.view_as(raw)
    before = raw.clone()
    tolerance = {"rtol": 100 * torch.finfo(dtype).eps, "atol": 1e-30}
    torch.testing.assert_close(likelihood.probabilities(raw), expected, **tolerance)
    assert raw.equal(before)
    torch.testing.assert_close(likelihood.probabilities(raw, out=raw), expected, **tolerance)
    torch.testing.assert_close(raw, expected, **tolerance)


def test_several_labels_are_as_many_models_of_two_classes():
    generator = torch.Generator().manual_seed(0)
    raw = torch.randn(MEMBERS, ROWS, 3, generator=generator) * 3
    y = torch.randint(2, (MEMBERS, ROWS, 3), generator=generator).float()
    labels, binary = MultilabelLikelihood(3), BinaryLikelihood()
    pairs = [(raw[..., k : k + 1], y[..., k]) for k in range(3)]
    losses = sum(binary.loss(*pair) for pair in pairs)
    torch.testing.assert_close(labels.loss(raw, y), losses)
    gradient = torch.cat([binary.gradient(one.clone(), own) for one, own in pairs], -1)
    torch.testing.assert_close(labels.gradient(raw.clone(), y), gradient)
    probabilities = torch.cat([binary.probabilities(one) for one, _ in pairs], -1)
    torch.testing.assert_close(labels.probabilities(raw), probabilities)
