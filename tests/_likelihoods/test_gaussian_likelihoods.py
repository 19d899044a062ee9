"""What the Gaussian likelihoods have beyond the laws of `test_likelihood.py`."""

import math

import numpy as np
import pytest
import torch

from skdropout._likelihoods.gaussian import GaussianLikelihood
from skdropout._likelihoods.heteroscedastic import HeteroscedasticLikelihood


@pytest.mark.parametrize("weighted", [False, True])
def test_the_noise_variance_is_the_mean_squared_residual_of_the_epoch(weighted):
    rng = np.random.default_rng(0)
    raw, y = rng.standard_normal((2, 10, 3)), rng.standard_normal((1, 10, 3))
    weight = rng.uniform(0.1, 3, (1, 10)) if weighted else np.ones((1, 10))
    likelihood = GaussianLikelihood(2, 3)
    for part in (slice(0, 6), slice(6, 10)):
        given = torch.tensor(weight[:, part], dtype=torch.float32) if weighted else None
        likelihood.observe(
            torch.tensor(raw[:, part], dtype=torch.float32),
            torch.tensor(y[:, part], dtype=torch.float32),
            given,
        )
    likelihood.epoch_end()
    expected = ((raw - y) ** 2 * weight[..., None]).sum(1) / weight.sum(1)[:, None]
    np.testing.assert_allclose(likelihood.variance[:, 0], expected, rtol=1e-5)


def test_the_noise_variance_forgets_the_epoch_before():
    likelihood = GaussianLikelihood(1, 1)
    for residual in (3.0, 2.0):
        likelihood.observe(torch.full((1, 4, 1), residual), torch.zeros(1, 4, 1), None)
        likelihood.epoch_end()
    assert likelihood.variance.item() == pytest.approx(4.0)


def test_interpolation_does_not_drive_the_variance_to_zero():
    likelihood = GaussianLikelihood(1, 1)
    likelihood.observe(torch.zeros(1, 4, 1), torch.zeros(1, 4, 1), None)
    likelihood.epoch_end()
    assert likelihood.variance.item() == pytest.approx(1e-6)
    assert math.isfinite(likelihood.loss(torch.zeros(1, 4, 1), torch.zeros(1, 4, 1)).sum())


def test_the_heteroscedastic_gradient_weighs_the_mean_by_a_root_of_the_variance():
    likelihood = HeteroscedasticLikelihood(1, 1)
    raw = torch.tensor([[[0.3, 1.2], [-0.5, -2.0]]], requires_grad=True)
    y = torch.tensor([[[1.0], [0.2]]])
    (exact,) = torch.autograd.grad(likelihood.loss(raw, y).sum(), raw)
    ours = likelihood.gradient(raw.detach(), y)
    root = (0.25 * 3 * (raw[..., 1] / 3).tanh()).exp()
    torch.testing.assert_close(ours[..., 0], exact[..., 0] * root.detach())
    torch.testing.assert_close(ours[..., 1], exact[..., 1])


def test_the_heteroscedastic_scale_is_the_most_likely_one():
    """Given the network: no other factor on all variances has a higher likelihood."""
    generator = torch.Generator().manual_seed(0)
    likelihood = HeteroscedasticLikelihood(1, 2)
    raw = torch.randn(1, 40, 4, generator=generator)
    y = 3 * torch.randn(1, 40, 2, generator=generator)
    likelihood.observe(raw, y, None)
    likelihood.epoch_end()
    best = likelihood.loss(raw, y).sum()
    mean_variance = (3 * (raw[..., 2:] / 3).tanh()).exp().mean(1, keepdim=True)
    torch.testing.assert_close(likelihood.variance, likelihood.scale * mean_variance)
    for output in range(2):
        for factor in (0.95, 1.05):
            likelihood.scale[..., output] *= factor
            assert likelihood.loss(raw, y).sum() > best
            likelihood.scale[..., output] /= factor
