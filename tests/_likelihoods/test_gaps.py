"""Likelihoods of several outputs where single cells of the targets are missing."""

import copy

import pytest
import torch

from skdropout._likelihoods.base import mixture_log_prob
from skdropout._likelihoods.gaussian import GaussianLikelihood
from skdropout._likelihoods.heteroscedastic import HeteroscedasticLikelihood
from tests._likelihoods.test_likelihoods import MEMBERS, ROWS, _cases

GAPS = torch.zeros(1, ROWS, 3, dtype=torch.bool)
GAPS[0, 0, 0] = GAPS[0, 1, 1:] = GAPS[0, 2] = True


@pytest.fixture(
    params=[case for case in _cases() if case[1].ndim == 3], ids=lambda case: type(case[0]).__name__
)
def case(request):
    """A likelihood, raw outputs, and targets without gaps."""
    likelihood, y = request.param
    raw = torch.randn(MEMBERS, ROWS, likelihood.n_raw, generator=torch.Generator().manual_seed(1))
    return likelihood, raw, y


def _told(likelihood):
    """The same one, which expects gaps."""
    likelihood = copy.deepcopy(likelihood)
    likelihood.gaps = True
    return likelihood


def _with_gaps(y):
    return torch.where(GAPS, torch.nan, y)


def _log_densities(likelihood, raw, y, member):
    """Of single cells, by torch.distributions; nothing of those that are missing."""
    cells = likelihood.distribution(raw, member).base_dist.log_prob(y)
    return [cells[..., row, ~GAPS[0, row]].sum(-1) for row in range(ROWS)]


def test_the_loss_of_a_row_is_the_sum_over_the_cells_that_it_has(case):
    likelihood, raw, y = case
    loss = _told(likelihood).loss(raw, _with_gaps(y))
    for member in range(MEMBERS):
        expected = _log_densities(likelihood, raw[member], y[0], member)
        torch.testing.assert_close(loss[member], -torch.stack(expected))


def test_the_gradient_is_autograds_and_zero_where_nothing_is_known(case):
    likelihood, raw, y = case
    leaf, told = raw.clone().requires_grad_(), _told(likelihood)
    (expected,) = torch.autograd.grad(told.objective(leaf, _with_gaps(y)).sum(), leaf)
    gradient = told.gradient(raw.clone(), _with_gaps(y))
    torch.testing.assert_close(gradient, expected)
    missing = GAPS.repeat(MEMBERS, 1, raw.shape[-1] // 3)
    assert (gradient[missing] == 0).all()
    whole = likelihood.gradient(raw.clone(), y)
    torch.testing.assert_close(gradient[~missing], whole[~missing])


def test_the_gradient_is_that_of_finite_differences(case):
    """Of the loss, where training descends on it: with one noise for all rows, and of labels."""
    likelihood, raw, y = (_told(case[0]).double(), case[1].double(), _with_gaps(case[2]).double())
    gradient, step = likelihood.gradient(raw.clone(), y), 1e-6
    for output in range(raw.shape[-1]):
        moved = torch.zeros_like(raw)
        moved[..., output] = step
        # The surrogate holds parts of itself fixed, so it has no differences to compare with.
        slope = (likelihood.loss(raw + moved, y) - likelihood.loss(raw - moved, y)) / (2 * step)
        of_mean = isinstance(likelihood, HeteroscedasticLikelihood) and output < 3
        if of_mean:
            shape = (raw[..., 3 + output] / 3).tanh() * 3 * likelihood.released[:, 0]
            slope = slope * (0.25 * shape).exp()
        torch.testing.assert_close(gradient[..., output], slope, rtol=1e-5, atol=1e-7)


def test_targets_without_gaps_are_as_ever_bit_for_bit(case):
    likelihood, raw, y = case
    told = _told(likelihood)
    assert told.loss(raw, y).equal(likelihood.loss(raw, y))
    assert told.gradient(raw.clone(), y).equal(likelihood.gradient(raw.clone(), y))


def test_members_may_have_their_own_orders_of_rows_with_gaps(case):
    likelihood, raw, y = case
    told, y = _told(likelihood), _with_gaps(y)
    y = torch.cat([y, y.flip(1)])
    losses, gradients = told.loss(raw, y), told.gradient(raw.clone(), y)
    for member in range(MEMBERS):
        own = y[member : member + 1]
        torch.testing.assert_close(losses[member], told.loss(raw, own)[member])
        torch.testing.assert_close(gradients[member], told.gradient(raw.clone(), own)[member])


def test_a_mixture_says_the_density_of_the_cells_that_are_there(case):
    likelihood, _, y = case
    generator = torch.Generator().manual_seed(2)
    raws = {
        member: torch.randn(5, ROWS, likelihood.n_raw, generator=generator)
        for member in range(MEMBERS)
    }
    rows = [
        torch.stack(_log_densities(likelihood, draws, y[0], member), -1)
        for member, draws in raws.items()
    ]
    expected = torch.cat(rows).exp().mean(0).log()
    density = mixture_log_prob(likelihood, raws, _with_gaps(y)[0])
    torch.testing.assert_close(density, expected)
    assert density[2] == 0


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("likelihood_class", [GaussianLikelihood, HeteroscedasticLikelihood])
def test_the_noise_of_a_column_is_that_of_the_rows_that_have_it(likelihood_class, weighted):
    generator = torch.Generator().manual_seed(0)
    n_raw = likelihood_class(2, 3).n_raw
    raw = torch.randn(2, ROWS, n_raw, generator=generator)
    y = torch.randn(1, ROWS, 3, generator=generator)
    weight = torch.rand(1, ROWS, generator=generator) + 0.1 if weighted else None
    together = _told(likelihood_class(2, 3))
    for part in (slice(0, 4), slice(4, ROWS)):
        given = None if weight is None else weight[:, part]
        together.observe(raw[:, part], _with_gaps(y)[:, part], given)
    together.epoch_end()
    for column in range(3):
        alone, rows = likelihood_class(2, 1), ~GAPS[0, :, column]
        given = None if weight is None else weight[:, rows]
        own = raw[:, rows][..., column::3]
        alone.observe(own, y[:, rows, column : column + 1], given)
        alone.epoch_end()
        torch.testing.assert_close(together.variance[..., column], alone.variance[..., 0])


@pytest.mark.parametrize("likelihood_class", [GaussianLikelihood, HeteroscedasticLikelihood])
def test_a_column_without_any_cell_keeps_its_noise(likelihood_class):
    likelihood = _told(likelihood_class(1, 2))
    raw, y = torch.zeros(1, 4, likelihood.n_raw), torch.full((1, 4, 2), 2.0)
    for _ in range(2):
        likelihood.observe(raw, y, None)
        likelihood.epoch_end()
        torch.testing.assert_close(likelihood.variance, torch.full((1, 1, 2), 4.0))
        y = torch.tensor([2.0, torch.nan]).repeat(1, 4, 1)
