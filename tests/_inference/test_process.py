"""The Gaussian process of random features, held against scikit-learn's and against many draws."""

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct

from skdropout._estimators.distance import _evidence, _gram
from skdropout._inference.moments.outputs import GaussianOutputs
from skdropout._inference.process import GaussianProcess, RandomFeatures, widened
from skdropout._support.compressed import rows_of

RATIO, NOISE = 30.0, 0.05


def features(n_columns=2, n_features=40, length=1.0, seed=0):
    rng = np.random.default_rng(seed)
    frequencies = rng.standard_normal((n_columns, n_features)) / length
    return RandomFeatures(np.arange(n_columns), frequencies, rng.uniform(0, 2 * np.pi, n_features))


def rows(n=60, n_columns=2, seed=1):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, n_columns)))


def given_rows(of, x, weight=None):
    precision = _gram(of, x, weight) + torch.eye(len(of.phases)) / RATIO
    root = np.linalg.inv(np.linalg.cholesky(precision.numpy())).T
    return GaussianProcess(of, root, np.array([NOISE**0.5]))


def by_scikit_learn(of, x, y=None):
    """The exact posterior of a linear model of the same features, at the same fixed scales."""
    kernel = ConstantKernel(RATIO * NOISE) * DotProduct(1e-9)
    process = GaussianProcessRegressor(kernel, alpha=NOISE, optimizer=None)
    return process.fit(of(x).numpy(), np.zeros(len(x)) if y is None else y)


def test_the_variance_is_that_of_bayesian_linear_regression():
    of, x, new = features(), rows(), rows(20, seed=2) * 3
    _, std = by_scikit_learn(of, x).predict(of(new).numpy(), return_std=True)
    got = given_rows(of, x).variance(new)[:, 0].sqrt()
    np.testing.assert_allclose(got, std, rtol=1e-6)


def test_with_many_features_it_is_that_of_a_process_with_a_gaussian_kernel():
    of, x, new = features(n_features=20_000, length=1.5), rows(30), rows(40, seed=2) * 2
    kernel = ConstantKernel(RATIO * NOISE) * RBF(1.5)
    process = GaussianProcessRegressor(kernel, alpha=NOISE, optimizer=None)
    std = process.fit(x.numpy(), np.zeros(30)).predict(new.numpy(), return_std=True)[1]
    phi, other = of(x), of(new)
    inner = RATIO * NOISE * phi @ phi.T + NOISE * torch.eye(30)
    across = RATIO * NOISE * other @ phi.T
    variance = RATIO * NOISE * other.square().sum(1) - (
        across * torch.linalg.solve(inner, across.T).T
    ).sum(1)
    np.testing.assert_allclose(variance.sqrt(), std, atol=0.03)


def test_the_evidence_is_scikit_learns():
    of, x = features(), rows()
    y = torch.sin(x[:, :1] * 2)
    y = (y - y.mean()) / y.std(correction=0)
    found = _evidence(of, x, y, None)
    ours, theirs = [], []
    for ratio in (found.ratio / 10**0.5, found.ratio, found.ratio * 10**0.5):
        noise = float(found.noise[0])
        kernel = ConstantKernel(ratio * noise) * DotProduct(1e-9)
        process = GaussianProcessRegressor(kernel, alpha=noise, optimizer=None)
        theirs.append(process.fit(of(x).numpy(), y[:, 0].numpy()).log_marginal_likelihood_value_)
        ours.append(found.log_evidence - len(x) / 2 * (1 + np.log(2 * np.pi)))
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-8)
    assert theirs[1] >= max(theirs[0], theirs[2])


def test_several_columns_of_y_share_the_prior_and_have_their_own_noise():
    of, x = features(), rows()
    y = torch.cat([torch.sin(x[:, :1]), torch.randn(60, 1, generator=torch.manual_seed(0))], 1)
    both = _evidence(of, x, y.double(), None)
    assert both.noise[0] < 0.1 < both.noise[1]


def test_a_weight_of_two_is_a_row_twice():
    of, x = features(), rows()
    weight = torch.ones(60, dtype=torch.float64)
    weight[:10] = 2
    twice = given_rows(of, torch.cat([x, x[:10]]))
    np.testing.assert_allclose(given_rows(of, x, weight).variance(x), twice.variance(x), rtol=1e-9)


def test_draws_have_the_variance_and_leave_the_mean_where_it_is():
    of, x = features(), rows(seed=2) * 2
    process = given_rows(of, rows())
    values = process.draw(4000, [3, 4])(x)
    assert values.shape == (2, 4000, 60, 1)
    # The relative error of a variance of 4,000 draws is 2.2 %.
    np.testing.assert_allclose(values.var(1)[0] / process.variance(x), torch.ones(60, 1), atol=0.12)
    np.testing.assert_allclose(values.mean(1), np.zeros((2, 60, 1)), atol=1e-12)
    np.testing.assert_array_equal(process.draw(7, [4])(x)[0], process.draw(7, [3, 4])(x)[1])


def test_few_draws_have_the_variance_too():
    of, x = features(), rows(seed=2) * 2
    process = given_rows(of, rows())
    squares = process.draw(2, range(4000))(x).square().mean((0, 1))
    # The two of a seed are opposites, so 4,000 squares count: 2.2 % of relative error.
    np.testing.assert_allclose(squares / process.variance(x), torch.ones(60, 1), atol=0.12)
    alone = process.draw(1, range(4000))(x).square().mean((0, 1))
    np.testing.assert_allclose(alone / process.variance(x), torch.ones(60, 1), atol=0.12)


@pytest.mark.parametrize("n_columns", [5, 10_000])
def test_rows_of_few_entries_are_read_as_dense_ones(n_columns):
    rng = np.random.default_rng(0)
    matrix = sparse.random(
        30, n_columns, density=min(1.0, 20 / n_columns), format="csr", random_state=0
    )
    columns = np.sort(rng.permutation(n_columns)[: n_columns // 2])
    of = RandomFeatures(columns, rng.standard_normal((len(columns), 8)), np.zeros(8))
    compressed, dense = rows_of(matrix), torch.from_numpy(matrix.toarray())
    np.testing.assert_allclose(of(compressed), of(dense), atol=1e-12)


def skewness(values):
    return ((values - values.mean(0)) ** 3).mean(0) / values.std(0) ** 3


def test_a_skewed_output_is_less_skewed_beside_a_process():
    rng = np.random.default_rng(0)
    draws = rng.gamma(4.0, size=(200_000, 1))
    given = GaussianOutputs(
        torch.tensor([[draws.mean()]]),
        torch.tensor([[[draws.var()]]]),
        torch.from_numpy(skewness(draws)[None]),
    )
    got = widened(given, torch.tensor([[3.0]]), None)
    both = draws + 3**0.5 * rng.standard_normal(draws.shape)
    assert got.covariance.item() == pytest.approx(both.var(), rel=0.02)
    assert got.skewness.item() == pytest.approx(skewness(both)[0], rel=0.05)


def test_log_odds_against_a_last_class_have_its_variance_too():
    given = GaussianOutputs(torch.zeros(1, 2), torch.zeros(1, 2, 2))
    directions = torch.tensor([[1.0, 0, -1], [0, 1, -1]])
    got = widened(given, torch.tensor([[1.0, 2, 4]]), directions)
    np.testing.assert_allclose(got.covariance[0], [[5, 4], [4, 6]])
