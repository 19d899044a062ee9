"""Labels that a row has or has not: each for itself is a model of two classes."""

import numpy as np
import pytest
import torch

from skdropout._inference.classes import ClassMixture
from skdropout._inference.labels import LabelMixture
from skdropout._inference.moments.outputs import GaussianOutputs
from skdropout._likelihoods.classes import BinaryLikelihood
from skdropout._likelihoods.labels import MultilabelLikelihood

MEMBERS, DRAWS, ROWS, LABELS = 2, 50, 6, 3


def _draws():
    generator = torch.Generator().manual_seed(0)
    shape = (DRAWS, ROWS, LABELS)
    return [2 * torch.randn(shape, generator=generator).double() for _ in range(MEMBERS)]


def _gaussians():
    generator = torch.Generator().manual_seed(1)

    def one():
        mean = 2 * torch.randn(ROWS, LABELS, generator=generator).double()
        root = torch.randn(ROWS, LABELS, LABELS, generator=generator).double()
        return GaussianOutputs(mean, root @ root.mT)

    return [one() for _ in range(MEMBERS)]


def _of_label(outputs, k):
    """The same functions, of one label alone."""
    one = slice(k, k + 1)
    if isinstance(outputs, GaussianOutputs):
        return GaussianOutputs(outputs.mean[:, one], outputs.covariance[:, one, one])
    return outputs[..., one]


@pytest.fixture(params=[_draws(), _gaussians()], ids=["draws", "moments"])
def mixtures(request):
    outputs = request.param
    together = LabelMixture(outputs, MultilabelLikelihood(LABELS))
    alone = [
        ClassMixture([_of_label(member, k) for member in outputs], BinaryLikelihood())
        for k in range(LABELS)
    ]
    return together, alone


def test_probabilities_and_their_spread_are_those_of_two_classes(mixtures):
    together, alone = mixtures
    mean = np.stack([one.mean()[:, 1] for one in alone], 1)
    np.testing.assert_allclose(together.mean(), mean, rtol=1e-12)
    std = np.stack([one.std()[:, 1] for one in alone], 1)
    np.testing.assert_allclose(together.std(), std, rtol=1e-9)
    members = np.stack([one.members(MEMBERS)[..., 1] for one in alone], -1)
    np.testing.assert_allclose(together.members(MEMBERS), members, rtol=1e-12)
    np.testing.assert_allclose(members.mean(0), mean, rtol=1e-12)


@pytest.mark.parametrize("measure", ["variance", "entropy"])
def test_uncertainty_of_each_label_is_that_of_two_classes(mixtures, measure):
    together, alone = mixtures
    got = together.uncertainty(measure)
    for k, one in enumerate(alone):
        expected = one.uncertainty(measure)
        np.testing.assert_allclose(got.mean[:, k], expected.mean[:, 1], rtol=1e-12)
        for part, of_two in zip(got[1:], expected[1:], strict=True):
            assert part.shape == (ROWS, LABELS)
            np.testing.assert_allclose(part[:, k], of_two, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(got.total, got.epistemic + got.aleatoric, rtol=1e-15)


def test_the_variance_is_that_of_a_coin():
    mixture = LabelMixture(_draws(), MultilabelLikelihood(LABELS))
    p, got = mixture.mean(), mixture.uncertainty()
    np.testing.assert_allclose(got.total, p * (1 - p))
    np.testing.assert_allclose(got.epistemic, mixture.std() ** 2)
    got = mixture.uncertainty("entropy")
    np.testing.assert_allclose(got.total, -p * np.log(p) - (1 - p) * np.log(1 - p))


@pytest.mark.parametrize("measure", ["variance", "entropy"])
def test_errors_of_each_label_are_those_of_two_classes(measure):
    outputs = _draws()
    got = LabelMixture(outputs, MultilabelLikelihood(LABELS)).error(MEMBERS, measure)
    for k in range(LABELS):
        one = ClassMixture([_of_label(member, k) for member in outputs], BinaryLikelihood())
        expected = one.error(MEMBERS, measure)
        np.testing.assert_allclose(got.mean[:, k], expected.mean[:, 1])
        for part, of_two in zip(got[1:], expected[1:], strict=True):
            np.testing.assert_allclose(part[:, k], of_two)


def test_log_prob_is_of_all_labels_together():
    outputs = _draws()
    y = np.random.default_rng(0).integers(2, size=(ROWS, LABELS)).astype(np.float32)
    mixture = LabelMixture(outputs, MultilabelLikelihood(LABELS))
    p = torch.cat(outputs).sigmoid().numpy()
    joint = np.where(y == 1, p, 1 - p).prod(-1).mean(0)
    np.testing.assert_allclose(mixture.log_prob(y), np.log(joint))


def test_log_prob_of_gaussians_is_that_of_very_many_draws():
    """Labels depend on each other through what is not known, which their marginals do not say."""
    mean = torch.zeros(1, 2, dtype=torch.float64)
    covariance = torch.tensor([[[4.0, 3.6], [3.6, 4.0]]], dtype=torch.float64)
    gaussians = LabelMixture([GaussianOutputs(mean, covariance)], MultilabelLikelihood(2))
    draws = np.random.default_rng(0).multivariate_normal([0, 0], covariance[0].numpy(), 200_000)
    many = LabelMixture([torch.from_numpy(draws[:, None])], MultilabelLikelihood(2))
    for y in ([1.0, 1.0], [1.0, 0.0]):
        target = np.array([y], dtype=np.float32)
        np.testing.assert_allclose(gaussians.log_prob(target), many.log_prob(target), atol=0.05)
        assert abs(gaussians.log_prob(target)[0] - np.log(0.25)) > 0.2
