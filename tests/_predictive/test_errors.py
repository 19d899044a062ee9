"""Standard errors of what is estimated from draws: against draws that are taken anew.

Statistical tests draw many independent sets. The mean squared error of the estimates must be the
mean of the squared standard errors; the two differ by terms of order 1 / n_draws, far below
the tolerance of `randomness`.
"""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skdropout
from skdropout import DropoutMLPClassifier, DropoutMLPRegressor, Uncertainty
from skdropout._inference.functions import Draws, reduce
from skdropout._predictive.errors import (
    entropy_error,
    probability_error,
    regression_error,
    variance_of_mean,
)
from skdropout._predictive.uncertainty import (
    entropy_uncertainty,
    probability_uncertainty,
    regression_uncertainty,
)
from tests import randomness
from tests.reference import ESTIMATORS, quick, target

N_SETS, N_DRAWS, N_MEMBERS = 1500, 150, 3


def flat(uncertainty):
    return np.concatenate([np.ravel(part) for part in uncertainty])


def assert_errors(estimates, errors, truth):
    """The squared errors have the mean that the standard errors say."""
    randomness.assert_mean((estimates - truth) ** 2 - errors**2, 0.0)


def skewed_means(rng, n_sets):
    """Three members of different centre and width, skewed: (draws, sets, 2)."""
    parts = [
        centre + width * rng.gamma(2.0, size=(N_DRAWS, n_sets, 2))
        for centre, width in ((0, 1), (1, 0.3), (-2, 0.6))
    ]
    return np.concatenate(parts)


def dirichlet_draws(rng, n_sets):
    """Three members that disagree: (draws, sets, classes)."""
    members = ([4, 2, 1], [1, 1, 1], [0.5, 0.1, 3])
    return np.concatenate([rng.dirichlet(alpha, size=(N_DRAWS, n_sets)) for alpha in members])


def test_errors_of_regression_with_several_members():
    """Statistical: 1,500 sets of 150 draws from each of three members."""
    rng = np.random.default_rng(0)
    means = skewed_means(rng, N_SETS)
    # Noise that goes with the means, so that total is not the sum of independent parts.
    noise = 0.5 + 0.1 * means**2
    estimate = regression_uncertainty(means, noise)
    error = regression_error(means, noise, N_MEMBERS)
    pooled = skewed_means(rng, 10000).reshape(-1, 1, 2)
    truth = regression_uncertainty(pooled, 0.5 + 0.1 * pooled**2)
    for ours, its_error, true in zip(estimate, error, truth, strict=True):
        assert_errors(ours, its_error, true)


@pytest.mark.parametrize(
    ("decompose", "errors"),
    [(probability_uncertainty, probability_error), (entropy_uncertainty, entropy_error)],
)
def test_errors_of_probabilities_with_several_members(decompose, errors):
    """Statistical: 1,500 sets of 150 draws from each of three members."""
    rng = np.random.default_rng(0)
    draws = dirichlet_draws(rng, N_SETS)
    estimate, error = decompose(draws), errors(draws, N_MEMBERS)
    truth = decompose(dirichlet_draws(rng, 10000).reshape(-1, 1, 3))
    for ours, its_error, true in zip(estimate, error, truth, strict=True):
        assert_errors(ours, its_error, true)


def test_the_error_of_a_mean_by_hand():
    draws = np.array([1.0, 2.0, 6.0, 10.0, 20.0, 30.0])
    alone = variance_of_mean(draws, 1)
    assert alone == pytest.approx(draws.var(ddof=1) / 6)
    # Two members of three draws: what divides them is not random.
    two = (draws[:3].var(ddof=1) + draws[3:].var(ddof=1)) / (3 * 4)
    assert variance_of_mean(draws, 2) == pytest.approx(two)
    assert variance_of_mean(draws, 6) == 0.0


def test_an_error_does_not_vanish_where_the_first_order_does():
    """Probabilities of 0.2 and 0.8, as often: the variance of every single draw is the same."""
    p = np.array([0.2, 0.8] * 50)[:, None, None]
    draws = np.concatenate([p, 1 - p], axis=-1)
    for error in (probability_error(draws, 1), entropy_error(draws, 1)):
        assert error.epistemic[0] > 0
        assert error.total[0] > 0


# ---- estimators --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("estimator_class", "measure"),
    [
        (DropoutMLPRegressor, None),
        (DropoutMLPClassifier, "variance"),
        (DropoutMLPClassifier, "entropy"),
    ],
)
def test_the_errors_of_a_fitted_model_are_those_of_new_draws(two_classes, estimator_class, measure):
    """Statistical: 400 sets of 100 draws from each of two members, for 6 rows."""
    X, y = two_classes
    model = quick(estimator_class, dropout_rate=0.4, n_members=2, n_draws=200)
    model.fit(X, target(estimator_class, y))
    options = {} if measure is None else {"measure": measure}

    def both(raws):
        predictive = model._predictive(raws)
        return (*predictive.uncertainty(**options), *predictive.error(2, **options))

    def drawn(n_draws, seed):
        with torch.inference_mode():
            plain = model.net_.module_.draw(n_draws, [2 * seed, 2 * seed + 1])
        parts = reduce(Draws(plain), X[:6], both)
        return flat(parts[:4]), flat(parts[4:])

    estimates, errors = map(
        np.array, zip(*(drawn(100, seed) for seed in range(1, 401)), strict=True)
    )
    truth = drawn(100_000, 0)[0]
    assert_errors(estimates, errors, truth)
    uncertainty, error = model.predict_uncertainty(X[:6], return_error=True, **options)
    assert isinstance(uncertainty, Uncertainty)
    assert isinstance(error, Uncertainty)
    for part, its_error in zip(uncertainty, error, strict=True):
        assert part.shape == its_error.shape
    # The model's own error is of the size of the others.
    randomness.assert_one_more(flat(error), errors)


@pytest.fixture(params=ESTIMATORS)
def fitted(request, two_classes):
    X, y = two_classes
    model = quick(request.param, dropout_rate=0.3)
    return model.fit(X, target(request.param, y)), X


def test_asking_for_errors_changes_no_uncertainty(fitted):
    model, X = fitted
    uncertainty, _ = model.predict_uncertainty(X, return_error=True)
    for ours, theirs in zip(uncertainty, model.predict_uncertainty(X), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_errors_are_the_same_in_any_batch_and_call(fitted):
    model, X = fitted
    X = np.vstack([X, X + 0.1])  # more rows than are evaluated side by side
    _, together = model.predict_uncertainty(X, return_error=True)
    _, again = model.predict_uncertainty(X, return_error=True)
    _, some = model.predict_uncertainty(X[7:9], return_error=True)
    for whole, twice, alone in zip(together, again, some, strict=True):
        np.testing.assert_array_equal(whole, twice)
        np.testing.assert_allclose(alone, whole[7:9], rtol=1e-9)


def test_four_times_the_draws_halve_the_errors(fitted):
    """Statistical: the median over 120 rows. With six seeds of the network it was 1.95 to 2.08."""
    model, X = fitted
    few, many = (
        model.set_params(n_draws=n_draws).predict_uncertainty(X, return_error=True)[1]
        for n_draws in (400, 1600)
    )
    for less, more in zip(few, many, strict=True):
        if less.max() > 1e-12:  # One noise for all draws has no error but rounding.
            rows = less > 0  # Where no unit is on, nothing is drawn.
            assert np.median(less[rows] / more[rows]) == pytest.approx(2, rel=0.25)


def test_an_ensemble_without_noise_has_no_errors(two_classes):
    X, y = two_classes
    model = quick(DropoutMLPClassifier, dropout=None, n_members=3).fit(X, y)
    uncertainty, error = model.predict_uncertainty(X, return_error=True)
    assert uncertainty.epistemic.max() > 0
    assert not flat(error).any()


def test_one_draw_has_no_error_to_show(fitted):
    model, X = fitted
    message = (
        r"return_error=True needs two draws of each network and the model has 1, got n_draws=1"
    )
    with pytest.raises(ValueError, match=message):
        model.set_params(n_draws=1).predict_uncertainty(X, return_error=True)


def test_return_error_is_a_boolean(fitted):
    model, X = fitted
    with pytest.raises(ValueError, match=f"'return_error'.*{type(model).__name__} must be.*'yes'"):
        model.predict_uncertainty(X, return_error="yes")


def test_a_frame_has_columns_for_the_errors(fitted):
    model, X = fitted
    frame = model.predict_uncertainty(X, as_frame=True)
    with_errors = model.predict_uncertainty(X, as_frame=True, return_error=True)
    names = list(frame.columns)
    assert list(with_errors.columns) == [*names, *(f"{name}_error" for name in names)]
    pd.testing.assert_frame_equal(with_errors[names], frame)
    _, error = model.predict_uncertainty(X, return_error=True)
    np.testing.assert_array_equal(with_errors["epistemic_error"], error.epistemic)


@pytest.mark.parametrize("data", ["real_target", "two_targets"])
def test_errors_through_pipelines_and_linear_target_transforms(request, data):
    X, y = request.getfixturevalue(data)
    inner = quick(DropoutMLPRegressor).fit(StandardScaler().fit_transform(X), 3 - 10 * y)
    wrapped = TransformedTargetRegressor(
        make_pipeline(StandardScaler(), quick(DropoutMLPRegressor)),
        func=lambda y: 3 - 10 * y,
        inverse_func=lambda t: (3 - t) / 10,
    ).fit(X, y)
    pairs = skdropout.predict_uncertainty(wrapped, X, return_error=True)
    theirs = inner.predict_uncertainty(StandardScaler().fit_transform(X), return_error=True)
    np.testing.assert_allclose(pairs[1].mean, theirs[1].mean / 10, rtol=1e-6)
    for part in ("total", "epistemic", "aleatoric"):
        for ours, other in zip(pairs, theirs, strict=True):
            expected = getattr(other, part) / 100
            np.testing.assert_allclose(getattr(ours, part), expected, rtol=1e-5, atol=1e-12)
