import itertools
import pickle
import warnings

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from skdropout.families import Gaussian, NoiseSource, Variational
from tests.randomness import assert_share
from tests.reference import ONE_NETWORK, ten_columns_that_decide

CPU = torch.device("cpu")


def _linear(*rates, n_in=6, n_out=2, **parameters):
    linear = Variational.layer(n_in, n_out, rates, [Variational(**parameters)] * len(rates))
    torch.nn.init.normal_(linear.weight, generator=torch.Generator().manual_seed(0))
    linear.reset_noise()
    return linear


def _fit(model, X, y, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y, **kwargs)


def _exact_kl(log_alpha):
    """From the log-uniform prior, by integration; zero where alpha is infinite."""
    root = np.exp(0.5 * log_alpha)

    def integrand(z):
        return norm.pdf(z) * np.log(abs(1 + root * z))

    # A logarithm of zero at -1 / root; beyond 12 there is no mass.
    edges = [-12.0, max(-12.0, -1 / root), 12.0]
    expected = sum(
        quad(integrand, a, b, limit=500)[0] for a, b in itertools.pairwise(edges) if a < b
    )
    at_infinity = -(np.euler_gamma + np.log(2)) / 2
    return expected - 0.5 * log_alpha - at_infinity


@pytest.mark.parametrize("log_alpha", np.linspace(-8, 8, 17))
def test_the_kl_is_within_the_approximations_error(log_alpha):
    linear = _linear(0.5, n_in=1, n_out=1).double()
    with torch.no_grad():
        linear.noise.copy_((log_alpha + linear.weight.square().log()) / linear.speed)
    # Molchanov's curve is a fit. Its largest error, measured here on a fine grid, is 0.0085.
    assert linear.kl().item() == pytest.approx(_exact_kl(log_alpha), abs=0.01)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_with_a_fixed_and_shared_alpha_it_is_gaussian_dropout(rate):
    """Kingma, Salimans and Welling (2015), section 3: each output has the same distribution."""
    variational = _linear(rate)
    alpha = rate / (1 - rate)
    np.testing.assert_allclose(variational.log_alpha.detach(), np.log(alpha), rtol=1e-4, atol=1e-5)
    gaussian = Gaussian.layer(6, 2, [rate], [Gaussian()])
    gaussian.load_state_dict({"weight": variational.weight, "bias": variational.bias})
    x, n_rows = torch.linspace(-1, 2, 6), 40_000
    weight = variational.weight[0].detach().double().numpy()
    mean = x.numpy() @ weight + variational.bias[0, 0].detach().numpy()
    std = np.sqrt(alpha * (x.numpy() ** 2 @ weight**2))
    for linear, seed in ((variational, 0), (gaussian, 1)):
        with torch.no_grad():
            out = linear(x.expand(1, n_rows, 6), NoiseSource([seed], CPU))[0].numpy()
        for share in (0.02, 0.1, 0.3, 0.5, 0.8, 0.95):
            below = (out < mean + std * norm.ppf(share)).sum(0)
            for count in below:
                assert_share(count, n_rows, share)


def test_learning_starts_at_the_rates():
    np.testing.assert_allclose(_linear(0.3, 0.5).learned_rates(), [0.3, 0.5], rtol=1e-4)
    np.testing.assert_allclose(_linear(0.0).log_alpha.detach(), -8.0, rtol=1e-4)


def test_weights_above_the_threshold_are_off_in_every_draw():
    linear = _linear(0.2, 0.2, threshold=1.0)
    with torch.no_grad():
        linear.noise[:, :3] += 5.0 / linear.speed
    alive = linear.alive()
    assert alive.any()
    assert torch.equal(alive, linear.log_alpha <= 1.0)
    assert not alive.all()
    drawn = linear.draw(5, [np.random.default_rng(row) for row in range(2)])
    assert torch.equal(drawn.weight != 0, alive.unsqueeze(1).expand(-1, 5, -1, -1))
    assert torch.equal(linear.plain().weight[:, 0] != 0, alive)


@pytest.mark.parametrize("normalization", [None, "layer"])
def test_noise_grows_to_its_bound_and_not_beyond(table, normalization):
    X, y, *_ = table
    family = Variational(kl_weight=3.0, kl_warmup=2, max_log_alpha=-1.0)
    model = _classifier(family, max_iter=20, normalization=normalization)
    _fit(model, X, y)
    for linear in model.net_.module_.cpu().linears:
        log_alpha = linear.log_alpha.detach()
        assert log_alpha.max() <= -1.0 + 1e-4
        assert (log_alpha > -1.001).float().mean() > 0.5
        np.testing.assert_allclose(linear.sigma2(), linear.log_sigma2.detach().exp(), rtol=1e-4)
    assert model.sparsity_ == 0.0


def test_members_with_and_without_a_bound():
    families = [Variational(), Variational(max_log_alpha=-2.0), Variational(max_log_alpha=0.0)]
    linear = Variational.layer(4, 3, [0.3] * 3, families)
    torch.nn.init.normal_(linear.weight, generator=torch.Generator().manual_seed(0))
    linear.reset_noise()
    with torch.no_grad():
        linear.noise += 5.0
    largest = linear.log_alpha.detach().amax((1, 2))
    np.testing.assert_allclose(largest, [np.log(0.3 / 0.7) + 50.0, -2.0, 0.0], atol=1e-4)


# ---- sparsity ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table():
    X, y = ten_columns_that_decide(2500, 100)
    return X[:1000], y[:1000], X[1000:], y[1000:]


def _classifier(dropout, **kwargs):
    options = {
        "batch_size": 50,
        "learning_rate_init": 0.002,
        "max_iter": 150,
        "n_iter_no_change": np.inf,
        "random_state": 0,
    }
    return DropoutMLPClassifier((20,), dropout=dropout, **{**options, **kwargs}, **ONE_NETWORK)


@pytest.fixture(scope="module")
def sparse(table):
    return _fit(_classifier(Variational(noise_speed=25.0)), *table[:2])


def test_it_switches_off_the_columns_that_say_nothing(table, sparse):
    """With six seeds 96 to 97 % of their weights, and the score was better by 0.017 to 0.031."""
    alive = sparse.net_.module_.linears[0].alive()[0]
    off = 1 - alive[10:].double().mean().item()
    assert off >= 0.95, off
    assert alive[:10].any(1).all(), "an informative column was lost"
    dense = _fit(_classifier("bernoulli"), *table[:2])
    assert sparse.score(*table[2:]) > dense.score(*table[2:])


def test_sparsity_is_the_share_of_weights_that_are_off(sparse):
    counts = [
        (int((~linear.alive()).sum()), linear.weight.numel())
        for linear in sparse.net_.module_.linears
    ]
    np.testing.assert_allclose(sparse.sparsity_per_layer_, [off / size for off, size in counts])
    off, size = np.sum(counts, 0)
    assert sparse.sparsity_ == pytest.approx(off / size)


def test_the_sparse_model_predicts_the_same(table, sparse):
    X = table[2]
    small = sparse.sparsify()
    assert type(small) is type(sparse)
    assert small.get_params() == sparse.get_params()
    widths = small.net_.module_.architecture.widths
    assert widths[0] < 100
    assert widths[1] <= 20
    for n_draws in (0, 30):
        for model in (small, sparse):
            model.set_params(n_draws=n_draws)
        np.testing.assert_allclose(small.predict_proba(X), sparse.predict_proba(X), atol=1e-12)
    np.testing.assert_allclose(
        small.sample_proba(X, 7, random_state=3),
        sparse.sample_proba(X, 7, random_state=3),
        atol=1e-12,
    )
    assert small.sparsity_ < sparse.sparsity_


def test_the_sparse_model_is_a_model_of_its_own(table, sparse):
    X, y, X_test, _ = table
    before = sparse.predict_proba(X_test)
    small = sparse.sparsify()
    again = pickle.loads(pickle.dumps(small))
    assert np.array_equal(again.predict_proba(X_test), small.predict_proba(X_test))
    np.testing.assert_allclose(small.sparsify().predict_proba(X_test), before, atol=1e-12)
    small.partial_fit(X, y)
    assert small.n_iter_ == sparse.n_iter_ + 1
    assert not np.array_equal(small.predict_proba(X_test), before)
    assert np.array_equal(sparse.predict_proba(X_test), before)


@pytest.mark.parametrize("normalization", ["batch", "layer"])
def test_it_leaves_the_functions_with_normalization(table, normalization):
    X, y, X_test, _ = table
    model = _classifier(
        Variational(noise_speed=100.0, kl_warmup=2),
        max_iter=10,
        normalization=normalization,
        n_members=2,
        n_draws=5,
    )
    model.set_params(hidden_layer_sizes=(20, 10), learning_rate_init=0.01)
    _fit(model, X, y)
    small = model.sparsify()
    np.testing.assert_allclose(small.predict_proba(X_test), model.predict_proba(X_test), atol=1e-9)
    assert small.net_.module_.architecture.widths[0] < 100
    hidden = small.net_.module_.architecture.widths[1:-1]
    assert (hidden == (20, 10)) == (normalization == "layer")


def test_a_unit_that_is_always_on_stays():
    """No weight enters it, but its bias does reach the outputs, through weights with noise."""
    X = np.random.default_rng(0).standard_normal((40, 3))
    model = DropoutMLPRegressor(
        (4,), dropout="variational", max_iter=2, random_state=0, **ONE_NETWORK
    )
    _fit(model, X, X[:, 0])
    first, last = model.net_.module_.linears
    with torch.no_grad():
        first.noise[:, :, :2] = 100.0
        first.bias[:, :, :2] = torch.tensor([1.0, -1.0])
        first.noise[:, 0] = 100.0
        last.noise[:, 3] = 100.0
    small = model.sparsify()
    # Unit 1 is silent, unit 3 is not listened to, input 0 is not read.
    assert small.net_.module_.architecture.widths == (2, 2, 1)
    np.testing.assert_allclose(small.predict(X), model.predict(X), atol=1e-12)
    mean, std = model.predict(X, return_std=True)
    np.testing.assert_allclose(small.predict(X, return_std=True), (mean, std), atol=1e-12)


def test_a_network_that_is_off_altogether_still_predicts():
    X = np.random.default_rng(0).standard_normal((40, 3))
    model = DropoutMLPRegressor(
        (4,), dropout="variational", max_iter=2, random_state=0, **ONE_NETWORK
    )
    _fit(model, X, X[:, 0])
    with torch.no_grad():
        for linear in model.net_.module_.linears:
            linear.noise.fill_(100.0)
    small = model.sparsify()
    assert model.sparsity_ < 1
    assert small.sparsity_ == 1
    np.testing.assert_allclose(small.predict(X), model.predict(X), atol=1e-12)


def test_the_sparse_model_draws_few_weights(sparse):
    """With six seeds 42 to 56 of 100 columns and 6 to 9 of 20 units were left."""
    dense, small = (
        sum(linear.weight.numel() for linear in model.net_.module_.linears)
        for model in (sparse, sparse.sparsify())
    )
    assert small < dense / 2


def test_there_is_no_sparsify_without_something_to_remove():
    X = np.random.default_rng(0).standard_normal((40, 3))
    model = DropoutMLPRegressor((4,), max_iter=2, **ONE_NETWORK)
    assert not hasattr(model, "sparsify")
    _fit(model, X, X[:, 0])
    with pytest.raises(AttributeError, match="no attribute 'sparsify'") as raised:
        model.sparsify()
    assert "switches no weights off" in str(raised.value.__cause__)
    assert model.sparsity_ == 0
