import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import norm
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import r2_score

from skdropout import DropoutMLPRegressor
from skdropout._inference.draws import evaluate
from tests.randomness import assert_mean, assert_variance
from tests.reference import quick


@pytest.fixture(params=["real_target", "two_targets"])
def data(request):
    return request.getfixturevalue(request.param)


def test_shapes(data):
    X, y = data
    model = quick(DropoutMLPRegressor).fit(X, y)
    mean, std = model.predict(X, return_std=True)
    assert type(model.predict(X, return_std=True)) is tuple
    assert mean.shape == std.shape == y.shape
    np.testing.assert_array_equal(mean, model.predict(X))
    assert all(part.shape == y.shape for part in model.predict_uncertainty(X))
    assert model.sample_y(X, n_samples=4).shape == (*y.shape, 4)
    assert model.log_prob(X, y).shape == (len(X),)
    assert np.shape(model.noise_std_) == y.shape[1:]
    assert model.n_outputs_ == (1 if y.ndim == 1 else 2)
    assert not hasattr(model, "predict_proba")


def test_a_column_target(real_target):
    X, y = real_target
    with pytest.warns(DataConversionWarning, match="column-vector"):
        column = quick(DropoutMLPRegressor).fit(X, y[:, None])
    np.testing.assert_array_equal(
        column.predict(X), quick(DropoutMLPRegressor).fit(X, y).predict(X)
    )


@pytest.mark.parametrize("n_draws", [0, 30])
def test_log_prob_is_the_mixture_density_in_the_units_of_y(data, n_draws):
    X, y = data
    model = quick(DropoutMLPRegressor, n_draws=n_draws, dropout_rate=0.3).fit(X, y)
    functions = _functions(model, X, y, n_draws) if n_draws else model.predict(X)[None]
    densities = norm.logpdf(y, functions, model.noise_std_)
    if y.ndim == 2:
        densities = densities.sum(-1)
    expected = logsumexp(densities, axis=0) - np.log(len(densities))
    np.testing.assert_allclose(model.log_prob(X, y), expected, rtol=1e-5)


def _functions(model, X, y, n_draws):
    """The means of the single draws, in the units of y."""
    plain = model.net_.module_.cpu().draw(n_draws)
    raw = torch.cat([raws[0] for _, raws in evaluate(plain, torch.as_tensor(X))], 1).numpy()
    return (raw if y.ndim == 2 else raw[..., 0]) * y.std(0) + y.mean(0)


@pytest.mark.usefixtures("in_float64")
def test_the_units_of_y_make_no_difference(data):
    X, y = data
    model = quick(DropoutMLPRegressor).fit(X, y)
    scaled = quick(DropoutMLPRegressor).fit(X, 1000 * y - 3)
    mean, std = model.predict(X, return_std=True)
    mean_scaled, std_scaled = scaled.predict(X, return_std=True)
    np.testing.assert_allclose(mean_scaled, 1000 * mean - 3, rtol=1e-5, atol=1e-2)
    np.testing.assert_allclose(std_scaled, 1000 * std, rtol=1e-5)
    outputs = 1 if y.ndim == 1 else 2
    np.testing.assert_allclose(
        scaled.log_prob(X, 1000 * y - 3),
        model.log_prob(X, y) - outputs * np.log(1000),
        atol=1e-4,
    )


def test_a_target_far_from_zero_with_small_spread(real_target):
    X, y = real_target
    model = quick(DropoutMLPRegressor).fit(X, 1e6 + y / y.std())
    mean, std = model.predict(X, return_std=True)
    assert np.abs(mean - 1e6).max() < 10
    assert std.max() < 10


def test_without_normalizing_the_network_predicts_y_itself(real_target):
    X, y = real_target
    model = quick(DropoutMLPRegressor, normalize_y=False, n_draws=0).fit(X, y)
    (linear, last), x = model.net_.module_.cpu().linears, X.astype(np.float64)
    w1, b1, w2, b2 = (
        values[0].detach().double().numpy()
        for values in (linear.weight, linear.bias, last.weight, last.bias)
    )
    np.testing.assert_allclose(model.predict(X), (np.maximum(x @ w1 + b1, 0) @ w2 + b2)[:, 0])


def test_new_observations_have_the_predicted_mean_and_variance(data):
    """Statistical: see `tests.randomness`. The prediction's own draws count as exact here."""
    X, y = data
    model = quick(DropoutMLPRegressor, dropout_rate=0.3, n_members=2, n_draws=80_000).fit(X, y)
    mean, std = model.predict(X[:3], return_std=True)
    samples = np.moveaxis(model.sample_y(X[:3], n_samples=4_000, random_state=1), -1, 0)
    assert_mean(samples, mean)
    assert_variance(samples, std**2)


def test_samples_follow_from_the_random_state(data):
    X, y = data
    model = quick(DropoutMLPRegressor).fit(X, y)
    first, second, other, default = (
        model.sample_y(X, 3, random_state=seed) for seed in (1, 1, 2, 0)
    )
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(default, model.sample_y(X, 3))
    assert not np.allclose(first, other)
    assert not np.allclose(
        model.sample_y(X, random_state=None), model.sample_y(X, random_state=None)
    )


def test_gradient_descent_does_not_diverge_as_the_noise_shrinks(real_target):
    X, y = real_target
    model = quick(
        DropoutMLPRegressor,
        hidden_layer_sizes=(50,),
        dropout=None,
        n_draws=0,
        solver="sgd",
        learning_rate_init=0.005,
        max_iter=400,
        n_iter_no_change=390,
    ).fit(X, y)
    assert r2_score(y, model.predict(X)) > 0.99
    # With ten seeds at most 0.012; a step too large is a jump of whole nats.
    assert np.diff(model.loss_curve_).max() < 0.05


def test_the_noise_is_the_residuals_size(real_target):
    X, y = real_target
    model = quick(
        DropoutMLPRegressor,
        hidden_layer_sizes=(50,),
        dropout=None,
        n_draws=0,
        learning_rate_init=0.001,
        max_iter=400,
        n_iter_no_change=390,
        shuffle=False,
        # Steps of one size move whole inputs to and fro by more than the noise.
        learn_input_scale=False,
    ).fit(X, y)
    assert r2_score(y, model.predict(X)) > 0.95
    # Set from the residuals of the last epoch's passes, one of which is the final network's. With
    # six seeds 1.009 to 1.013 times as large.
    assert model.noise_std_ == pytest.approx((y - model.predict(X)).std(), rel=0.1)


def test_frame_columns_number_the_outputs(two_targets):
    X, y = two_targets
    columns = quick(DropoutMLPRegressor).fit(X, y).predict_uncertainty(X, as_frame=True).columns
    assert columns[:3].tolist() == ["mean_0", "mean_1", "total_0"]
    assert len(columns) == 8


def test_partial_fit_keeps_the_scale_of_the_first_call(real_target):
    X, y = real_target
    model = quick(DropoutMLPRegressor).partial_fit(X[:60], y[:60])
    scale = model._target.mean.copy(), model._target.scale.copy()
    model.partial_fit(X[60:], 100 * y[60:])
    np.testing.assert_array_equal((model._target.mean, model._target.scale), scale)
