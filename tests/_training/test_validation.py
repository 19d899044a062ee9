"""Scores of members on rows of their own, against each member by itself."""

import numpy as np
import pytest
import torch

from skdropout._inference.draws import evaluate
from skdropout._likelihoods.base import mixture_log_prob
from skdropout._likelihoods.classes import BinaryLikelihood, CategoricalLikelihood
from skdropout._likelihoods.gaussian import GaussianLikelihood
from skdropout._likelihoods.heteroscedastic import HeteroscedasticLikelihood
from skdropout._likelihoods.poisson import PoissonLikelihood
from skdropout._networks.architecture import Architecture, Member
from skdropout._networks.stack import Stack
from skdropout._training.rows import Rows, join_rows
from skdropout._training.validation import member_scores
from skdropout.families import Bernoulli, Noiseless

MEMBERS = 3


def _gaussian(likelihood_class):
    likelihood = likelihood_class(MEMBERS, 2)
    for name in ("variance", "scale"):
        if hasattr(likelihood, name):
            values = torch.tensor([[0.5, 1.0], [2.0, 0.1], [3.0, 1.0]])
            getattr(likelihood, name).copy_(values.unsqueeze(1))
    return likelihood


LIKELIHOODS = {
    "binary": (BinaryLikelihood(), lambda rng, n: rng.integers(2, size=n).astype("float32")),
    "categorical": (CategoricalLikelihood(4), lambda rng, n: rng.integers(4, size=n)),
    "gaussian": (_gaussian(GaussianLikelihood), lambda rng, n: rng.standard_normal((n, 2), "f4")),
    "heteroscedastic": (
        _gaussian(HeteroscedasticLikelihood),
        lambda rng, n: rng.standard_normal((n, 2), "f4"),
    ),
    "poisson": (
        PoissonLikelihood(MEMBERS, torch.tensor([0.5, 4.0])),
        lambda rng, n: rng.integers(5, size=(n, 2)).astype("float32"),
    ),
}


def _expected(plain, likelihood, parts):
    """One member after the other, by the density of its mixture."""
    scores = []
    for member, rows in enumerate(parts):
        raw = torch.cat([raws[member] for _, raws in evaluate(plain, rows.x)], 1)
        log_prob = mixture_log_prob(likelihood, {member: raw}, rows.y)
        weight = torch.ones(len(rows)) if rows.weight is None else rows.weight
        scores.append((log_prob * weight).sum() / weight.sum())
    return torch.stack(scores)


@pytest.mark.parametrize("kind", LIKELIHOODS)
@pytest.mark.parametrize("weighted", [(), (1,), (0, 1, 2)], ids=str)
@pytest.mark.parametrize(
    ("family", "sizes", "block_size"),
    [
        (Bernoulli(), "shared", None),
        (Bernoulli(), (20, 7, 19), None),
        (Bernoulli(), (150, 149, 1), 17),
        (Noiseless(), (20, 20, 20), 17),
        (Noiseless(), (20, 7, 19), 1),
    ],
    ids=str,
)
def test_members_are_scored_as_if_alone(kind, family, sizes, weighted, block_size):
    likelihood, target = LIKELIHOODS[kind]
    rng = np.random.default_rng(0)
    members = [Member(seed, family, (0.0, 0.3, 0.3)) for seed in range(MEMBERS)]
    stack = Stack(Architecture((4, 6, 5, likelihood.n_raw), "relu", None), members)
    parts = []
    for member, size in enumerate((20,) * 3 if sizes == "shared" else sizes):
        x, y = torch.from_numpy(rng.standard_normal((size, 4), "f4")), target(rng, size)
        weight = torch.from_numpy(rng.uniform(0.1, 3, size).astype("float32"))
        parts.append(Rows(x, torch.from_numpy(y), weight if member in weighted else None))
    if sizes == "shared":
        parts = [parts[1]] * 3
    plain = stack.draw(5)
    with torch.no_grad():
        scores = member_scores(plain, likelihood, join_rows(parts), block_size)
        expected = _expected(plain, likelihood, parts)
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-5)


def test_rows_that_only_fill_up_have_no_say():
    """Not even a row whose density is zero, which is the last one of a member with fewer."""
    stack = Stack(
        Architecture((1, 1), "relu", None), [Member(seed, Noiseless(), (0.0,)) for seed in (0, 1)]
    )
    with torch.no_grad():
        stack.linears[0].weight.fill_(1.0)
        stack.linears[0].bias.zero_()
    long, short = (
        Rows(torch.tensor(x).view(-1, 1), torch.tensor(y))
        for x, y in (([0.0, 1.0, 2.0], [1.0, 1.0, 1.0]), ([0.0, torch.inf], [1.0, 0.0]))
    )
    scores = member_scores(stack.plain(), BinaryLikelihood(), join_rows([long, short]))
    assert scores[0].isfinite()
    assert scores[1] == -torch.inf
