import warnings

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from skdropout._networks.architecture import Architecture, Member
from skdropout._networks.stack import Stack
from skdropout._training.backprop import Backprop
from skdropout.families import Concrete, NoiseSource
from tests.randomness import assert_mean, assert_variance
from tests.reference import ONE_NETWORK, ten_columns_that_decide

CPU = torch.device("cpu")


def _linear(*rates, n_in=4, n_out=1, **parameters):
    return Concrete.layer(n_in, n_out, rates, [Concrete(**parameters)] * len(rates))


def _fit(model, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "(.*) collapsed to (.*)")
        return model.fit(X, y)


def _relaxed_moment(rate, temperature, power):
    """Moment of the relaxed gain by integration over the uniform number behind it."""

    def gain(u):
        logit = np.log(u) - np.log1p(-u) - np.log(rate) + np.log1p(-rate)
        return (1 / (1 + np.exp(-logit / temperature)) / (1 - rate)) ** power

    return quad(gain, 0, 1, points=[rate], limit=500)[0]


@pytest.mark.parametrize(("temperature", "mean"), [(0.1, 0.998), (2 / 3, 0.945)])
def test_the_relaxed_mask_has_the_moments_of_its_integral(temperature, mean):
    rate = 0.3
    expected = _relaxed_moment(rate, temperature, 1)
    assert expected == pytest.approx(mean, abs=1e-3)
    linear = _linear(rate, n_in=200, temperature=temperature)
    with torch.no_grad():
        gain = linear.training_gain(2_000, NoiseSource([0], CPU)).double().numpy().ravel()
    assert_mean(gain, expected)
    assert_variance(gain, _relaxed_moment(rate, temperature, 2) - expected**2)


def test_draws_are_hard_masks_at_the_learned_rate():
    linear = _linear(0.1, 0.1, n_in=400)
    with torch.no_grad():
        linear.noise.copy_(torch.tensor([-1.0, 0.5]).view(2, 1, 1))
    rates = torch.tensor([-1.0, 0.5]).sigmoid().numpy()
    np.testing.assert_allclose(linear.learned_rates(), rates, rtol=1e-6)
    gain = linear.drawn_gain(300, [np.random.default_rng(row) for row in range(2)])
    for member, rate in enumerate(rates):
        values = np.unique(gain[member])
        np.testing.assert_allclose(values, [0, 1 / (1 - rate)], rtol=1e-6)
        assert_mean(gain[member].ravel().astype(float), 1.0)


def test_the_kl_is_that_of_a_two_spike_posterior_up_to_a_constant():
    """Gal's posterior of a weight: a narrow Gaussian at zero or at ``weight / (1 - rate)``."""
    length_scale, width = 0.7, 1e-2

    def numerical(rate, weight):
        centre = weight / (1 - rate)

        def integrand(w):
            density = rate * norm.pdf(w, 0, width) + (1 - rate) * norm.pdf(w, centre, width)
            return density * (np.log(density) - norm.logpdf(w, 0, 1 / length_scale))

        pieces = [quad(integrand, at - 12 * width, at + 12 * width)[0] for at in (0, centre)]
        return sum(pieces)

    def ours(rate, weight):
        linear = _linear(rate, n_in=1, length_scale=length_scale)
        torch.nn.init.constant_(linear.weight, weight)
        return linear.kl().item()

    first, second = (0.2, 1.5), (0.6, -0.8)
    expected = numerical(*first) - numerical(*second)
    assert ours(*first) - ours(*second) == pytest.approx(expected, abs=1e-5)


def test_a_rate_of_zero_stays_zero_beside_a_learned_one():
    linear = _linear(0.0, 0.4)
    x = torch.ones(2, 50, 4)
    torch.nn.init.ones_(linear.weight)
    out = linear(x, NoiseSource([0, 1], CPU))
    assert (out[0] == 4).all()
    assert out[1].std() > 0.1
    np.testing.assert_allclose(linear.learned_rates(), [0, 0.4], rtol=1e-6)


def test_it_trains_through_autograd():
    members = [Member(0, Concrete(), (0.1, 0.1))]
    assert not Backprop.supports(Stack(Architecture((3, 4, 1), "relu", None), members))


@pytest.fixture(scope="module")
def table():
    return ten_columns_that_decide(800, 100)


def _rates(X, y, steps=800):
    model = DropoutMLPClassifier(
        (20,),
        dropout=Concrete(noise_speed=10.0),
        input_dropout_rate=0.1,
        batch_size=50,
        learning_rate_init=0.005,
        max_iter=steps * 50 // len(X),
        n_iter_no_change=np.inf,
        random_state=0,
        **ONE_NETWORK,
    )
    return _fit(model, X, y)


def test_the_more_data_the_lower_the_rates(table):
    """With six seeds each doubling took 0.07 to 0.2 off the inputs' rate.

    The hidden layer's is noise once it is near zero: from 200 rows on it was 0.03 to 0.28 of what
    it had been with the fewest.
    """
    X, y = table
    rates = np.array([_rates(X[:n], y[:n]).dropout_rates_ for n in (100, 200, 400, 800)])
    assert (np.diff(rates[:, 0]) < 0).all(), rates
    assert (rates[1:, 1] < rates[0, 1] / 3).all(), rates


def test_columns_without_information_raise_the_input_rate(table):
    """With six seeds to 0.30 to 0.35, and below 0.001 without them."""
    X, y = table[0][:200], table[1][:200]
    all_columns, informative = _rates(X, y), _rates(X[:, :10], y)
    assert all_columns.dropout_rates_[0] > 2 * 0.1
    assert informative.dropout_rates_[0] < 0.1


def test_the_rates_are_recorded_each_epoch(table):
    X, y = table
    model = _fit(
        DropoutMLPClassifier(
            (5,), dropout="concrete", input_dropout_rate=0.2, max_iter=4, **ONE_NETWORK
        ),
        X,
        y,
    )
    assert model.dropout_rates_curve_.shape == (4, 2)
    np.testing.assert_array_equal(model.dropout_rates_curve_[-1], model.dropout_rates_)
    assert (np.ptp(model.dropout_rates_curve_, axis=0) > 0).all()


def test_without_an_input_rate_the_inputs_have_none(table):
    X, y = table
    model = _fit(DropoutMLPClassifier((5,), dropout="concrete", max_iter=2, **ONE_NETWORK), X, y)
    assert model.dropout_rates_.shape == (1,)


@pytest.mark.filterwarnings("ignore:(.*)maximum iterations")
def test_a_collapse_is_said():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50, 2))
    model = DropoutMLPRegressor(
        (5,),
        dropout=Concrete(noise_speed=1e3),
        max_iter=40,
        random_state=0,
        **ONE_NETWORK,
    )
    with pytest.warns(UserWarning, match="inputs of layer 2: a learned dropout rate collapsed to"):
        model.fit(X, X[:, 0])
