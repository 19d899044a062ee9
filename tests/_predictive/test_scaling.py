"""The factor and the temperature that calibrate, each against its definition."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import norm
from sklearn.metrics import log_loss

from skdropout._predictive.normal import NormalMixture
from skdropout._predictive.scaling import (
    OF_LABELS,
    quality_of_logits,
    scale_of_std,
    temperature_of_logits,
)
from skdropout.metrics import expected_calibration_error


def test_the_scale_of_one_normal_distribution_is_a_quantile():
    """For a single normal distribution: the 90 % quantile of the rows' distances in intervals."""
    rng = np.random.default_rng(0)
    y, means = rng.standard_normal((50, 2)) * [3.0, 0.2], np.zeros((1, 50, 2))
    stds = rng.uniform(0.5, 2, (1, 50, 2))
    got = scale_of_std([NormalMixture(means, stds**2)], [y], [np.ones(50)])
    distances = np.sort(np.abs(y / stds[0]), axis=0) / norm.ppf(0.95)
    np.testing.assert_allclose(got, distances[44], rtol=2e-4)
    weight = np.repeat([1.0, 0.0], 25)
    got = scale_of_std([NormalMixture(means, stds**2)], [y], [weight])
    distances = np.sort(np.abs(y / stds[0])[:25], axis=0) / norm.ppf(0.95)
    np.testing.assert_allclose(got, distances[22], rtol=2e-4)


def test_the_scale_of_a_mixture_makes_its_intervals_hold_their_share():
    rng = np.random.default_rng(0)
    means, noise = rng.standard_normal((20, 300, 1)), rng.uniform(0.1, 0.5, (20, 300, 1))
    y = 2 * rng.standard_cauchy((300, 1))
    parts = [slice(0, 100), slice(100, 300)]
    mixtures = [NormalMixture(means[:, part], noise[:, part]) for part in parts]
    scale = scale_of_std(mixtures, [y[part] for part in parts], [np.ones(100), np.ones(200)])
    lower, upper = np.moveaxis(
        NormalMixture(means, noise).scaled(scale).quantiles(np.array([0.05, 0.95])), -1, 0
    )
    assert ((y >= lower) & (y <= upper)).sum() == 270


def doubt_before_any_row(temperature):
    """Nats that a temperature costs: its logarithm is normal, with a deviation of one half."""
    return -norm.logpdf(np.log(temperature), scale=0.5)


def test_ten_rows_that_are_all_right_do_not_make_a_model_certain():
    """The most likely temperature would be zero: the smallest there is."""
    logits = np.tile([2.0, 0.0, -2.0], (1, 10, 1))
    few = temperature_of_logits([logits], [np.zeros(10, int)], [np.ones(10)])
    many = np.tile(logits, (1, 100, 1))
    certain = temperature_of_logits([many], [np.zeros(1000, int)], [np.ones(1000)])
    assert certain < 0.35 < 0.6 < few < 1


def test_the_temperature_has_a_gradient_of_zero():
    rng = np.random.default_rng(0)
    logits = 4 * rng.standard_normal((1, 400, 3))
    y = np.array([rng.choice(3, p=p / p.sum()) for p in np.exp(logits[0] / 2.5)])
    got = temperature_of_logits([logits], [y], [np.ones(400)])

    def slope(temperature, step=1e-4):
        losses = [
            400 * log_loss(y, np.exp(z := logits[0] / t) / np.exp(z).sum(1, keepdims=True))
            + doubt_before_any_row(t)
            for t in (temperature - step, temperature + step)
        ]
        return losses[1] - losses[0]

    assert got == pytest.approx(brentq(slope, 0.5, 10), rel=5e-3)


def test_the_temperature_of_labels_has_a_gradient_of_zero():
    """Of one draw, where the labels of a row are independent: of the sum of their log losses."""
    rng = np.random.default_rng(0)
    logits = 4 * rng.standard_normal((1, 300, 3))
    y = (rng.uniform(size=(300, 3)) < expit(logits[0] / 2.5)).astype(int)
    got = temperature_of_logits([logits], [y], [np.ones(300)], OF_LABELS)

    def slope(temperature, step=1e-4):
        before, after = (
            900 * log_loss(y.ravel(), expit(logits[0] / t).ravel()) + doubt_before_any_row(t)
            for t in (temperature - step, temperature + step)
        )
        return after - before

    assert got == pytest.approx(brentq(slope, 0.5, 10), rel=5e-3)


def test_the_quality_of_labels_counts_rows_jointly_and_answers_one_by_one():
    rng = np.random.default_rng(0)
    logits, y = rng.standard_normal((7, 60, 3)), rng.integers(2, size=(60, 3))
    weight = rng.integers(1, 4, 60)
    got = quality_of_logits("after", [logits], [y], [weight], OF_LABELS)
    p = expit(logits)
    joint = np.where(y == 1, p, 1 - p).prod(-1).mean(0)
    assert got["log_prob_after"] == pytest.approx(np.average(np.log(joint), weights=weight))
    cells = np.repeat(weight, 3)
    has_it = p.mean(0).ravel()
    proba = np.stack([1 - has_it, has_it], 1)
    ece = expected_calibration_error(y.ravel(), proba, sample_weight=cells)
    assert got["ece_after"] == pytest.approx(ece)
