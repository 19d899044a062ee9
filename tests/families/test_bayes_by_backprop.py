import itertools
import math
import warnings

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning

from skdropout import DropoutMLPRegressor
from skdropout.families import BayesByBackprop, NoiseSource
from tests.randomness import assert_mean, assert_same_moments
from tests.reference import ONE_NETWORK

CPU = torch.device("cpu")
PLACES = [(0.0, -10.0), (0.3, -4.0), (-2.0, 0.5), (1e-3, -1.0)]
MIXTURE = {"prior_std": 1.0, "prior_std2": 0.1, "prior_mix": 0.3}


def _linear(weight, log_sigma2, **parameters):
    """Both may be arrays; one input per value."""
    weight = np.atleast_1d(weight)
    linear = BayesByBackprop.layer(len(weight), 1, (0.0,), [BayesByBackprop(**parameters)])
    linear = linear.double()
    with torch.no_grad():
        linear.weight.copy_(torch.as_tensor(weight).view(1, -1, 1))
        noise = torch.as_tensor(np.atleast_1d(log_sigma2)).view(1, -1, 1) / linear.speed
        linear.noise.copy_(noise.expand(linear.weight.shape))
    return linear


def _numerical_kl(weight, log_sigma2, log_prior):
    sigma = math.exp(log_sigma2 / 2)

    def integrand(w):
        return norm.pdf(w, weight, sigma) * (norm.logpdf(w, weight, sigma) - log_prior(w))

    edges = np.linspace(weight - 10 * sigma, weight + 10 * sigma, 41)
    return sum(quad(integrand, a, b)[0] for a, b in itertools.pairwise(edges))


@pytest.mark.parametrize(("weight", "log_sigma2"), PLACES)
@pytest.mark.parametrize("prior_std", [0.2, 1.0])
def test_the_gaussian_kl_is_its_integral(weight, log_sigma2, prior_std):
    ours = _linear(weight, log_sigma2, prior_std=prior_std).kl().item()
    expected = _numerical_kl(weight, log_sigma2, lambda w: norm.logpdf(w, 0, prior_std))
    assert ours == pytest.approx(expected, rel=1e-6, abs=1e-9)


def _log_mixture(w):
    parts = 0.3 * norm.pdf(w, 0, 1.0) + 0.7 * norm.pdf(w, 0, 0.1)
    return np.log(parts)


@pytest.mark.parametrize(("weight", "log_sigma2"), PLACES)
def test_the_mixtures_kl_is_its_integral(weight, log_sigma2):
    ours = _linear(weight, log_sigma2, **MIXTURE).kl().item()
    assert ours == pytest.approx(_numerical_kl(weight, log_sigma2, _log_mixture), abs=2e-3)


@pytest.mark.parametrize(("weight", "log_sigma2"), PLACES)
def test_the_mixtures_monte_carlo_is_unbiased(weight, log_sigma2):
    linear = _linear(weight, log_sigma2, **MIXTURE)
    source = NoiseSource([0], CPU)
    with torch.no_grad():
        estimates = np.array([linear.kl(source).item() for _ in range(4_000)])
    assert_mean(estimates, _numerical_kl(weight, log_sigma2, _log_mixture))


@pytest.mark.parametrize("log_sigma2", [-10.0, -4.6, -2.0, 0.0])
def test_few_nodes_where_few_suffice(log_sigma2):
    """The integral is as exact with a posterior much narrower than the prior's components."""
    linear = _linear(0.15, log_sigma2, **MIXTURE)
    exact = _numerical_kl(0.15, log_sigma2, _log_mixture)
    assert linear.kl().item() == pytest.approx(exact, abs=1e-4)


def test_a_mixture_of_equals_is_a_gaussian():
    places = np.array(PLACES)
    mixture = _linear(*places.T, prior_std=0.5, prior_std2=0.5)
    torch.testing.assert_close(mixture.kl(), _linear(*places.T, prior_std=0.5).kl())


def test_a_member_with_a_mixture_leaves_one_without_alone():
    families = [BayesByBackprop(), BayesByBackprop(**MIXTURE)]
    together = BayesByBackprop.layer(4, 2, (0.0, 0.0), families)
    for row, family in enumerate(families):
        alone = BayesByBackprop.layer(4, 2, (0.0,), [family])
        torch.testing.assert_close(alone.kl()[0], together.kl()[row])


def test_local_reparameterization_is_a_fresh_weight_for_each_row():
    """Against weights that are drawn one by one, by a loop that knows no trick."""
    linear = BayesByBackprop.layer(3, 2, (0.0,), [BayesByBackprop(log_sigma2=-1.0)])
    torch.nn.init.normal_(linear.weight, generator=torch.Generator().manual_seed(0))
    linear.reset_noise()
    x, n_rows = torch.tensor([1.0, -2.0, 0.5]), 30_000
    with torch.no_grad():
        ours = linear(x.expand(1, n_rows, 3), NoiseSource([0], CPU))[0].double().numpy()
        rng = np.random.default_rng(0)
        weight, sigma = linear.weight[0].numpy(), math.exp(-0.5)
        drawn = weight + sigma * rng.standard_normal((n_rows, 3, 2))
    assert_same_moments(
        ours, np.einsum("i,nio->no", x.numpy(), drawn) + linear.bias[0, 0].detach().numpy()
    )


def test_a_row_of_zeros_has_a_gradient():
    linear = BayesByBackprop.layer(3, 2, (0.0,), [BayesByBackprop()])
    linear(torch.zeros(1, 4, 3), NoiseSource([0], CPU)).sum().backward()
    assert linear.noise.grad.isfinite().all()


def _posterior(n_rows, max_iter, **parameters):
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (n_rows, 1))
    y = X[:, 0] + 0.5 * rng.standard_normal(n_rows)
    model = DropoutMLPRegressor(
        (),
        dropout=BayesByBackprop(noise_speed=3.0, log_sigma2=-5.0, **parameters),
        learning_rate="cooldown",
        learning_rate_init=0.002,
        beta_2=0.99,  # The noise variance falls at first, and the gradient with it.
        batch_size=n_rows,
        max_iter=max_iter,
        n_iter_no_change=np.inf,
        normalize_y=False,
        alpha=0.0,
        random_state=0,
        **ONE_NETWORK,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return X, y, model.fit(X, y)


@pytest.mark.parametrize("n_rows", [20, 200])
def test_the_posterior_of_a_linear_model_is_the_exact_one(n_rows):
    """One weight: the best Gaussian is the posterior itself, which has a closed form.

    With ten seeds the variance was between .84 and 1.11 of it, and the mean within .02 of its
    standard deviations.
    """
    X, y, model = _posterior(n_rows, 3000, prior_std=0.7)
    (linear,) = model.net_.module_.linears
    x, noise = X[:, 0], model.noise_std_**2
    precision = 1 / 0.7**2 + (x @ x) / noise
    variance = linear.log_sigma2.exp().item()
    assert variance == pytest.approx(1 / precision, rel=0.25)
    mean = x @ (y - linear.bias.item()) / noise / precision
    assert linear.weight.item() == pytest.approx(mean, abs=0.1 * precision**-0.5)


def test_a_narrow_prior_pulls_weights_to_zero():
    norms = [
        abs(_posterior(20, 1000, prior_std=std)[2].net_.module_.linears[0].weight.item())
        for std in (1.0, 0.05)
    ]
    assert norms[1] < 0.5 * norms[0]
