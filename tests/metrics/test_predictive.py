"""Scores of predictive distributions: against integrals of their definitions, and by hand."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtr
from scipy.stats import norm, poisson

from skdropout import metrics
from skdropout._predictive.normal import NormalMixture
from skdropout._predictive.poisson import PoissonMixture
from tests import randomness


def random_mixture(n_components=5, n_samples=4, seed=0):
    rng = np.random.default_rng(seed)
    means = 3 * rng.standard_normal((n_components, n_samples))
    stds = 0.2 + rng.random((n_components, n_samples))
    return means, stds, 4 * rng.standard_normal(n_samples)


def integrated_crps(distribution, y):
    """The definition: the squared distance to the step at the target, in two pieces."""
    below = quad(lambda x: distribution(x) ** 2, -60, y, limit=500, epsabs=1e-11)[0]
    above = quad(lambda x: (1 - distribution(x)) ** 2, y, 60, limit=500, epsabs=1e-11)[0]
    return below + above


# ---- CRPS --------------------------------------------------------------------------------------


def test_crps_of_mixtures_is_the_integral_of_its_definition():
    means, stds, y = random_mixture()
    for row in range(len(y)):
        mean, std = means[:, row], stds[:, row]
        expected = integrated_crps(lambda x, m=mean, s=std: ndtr((x - m) / s).mean(), y[row])
        ours = metrics.crps_loss(y[[row]], means[:, [row]], stds[:, [row]])
        assert ours == pytest.approx(expected, rel=1e-8)


def test_crps_of_one_normal_has_the_published_form():
    means, stds, y = random_mixture(1)
    z = (y - means[0]) / stds[0]
    published = stds[0] * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))
    assert metrics.crps_loss(y, means[0], stds[0]) == pytest.approx(published.mean(), rel=1e-12)


def test_crps_of_poisson_mixtures_is_the_sum_over_counts():
    rng = np.random.default_rng(0)
    rates = np.concatenate([rng.gamma(2, 5, (7, 5)), np.full((7, 1), 1e-3)], axis=1)
    y = np.array([0.0, 3.0, 10.0, 40.0, 500.0, 2.0])
    counts = np.arange(2000)[:, None]
    distribution = np.mean([poisson.cdf(counts, rate) for rate in rates], axis=0)
    expected = ((distribution - (counts >= y)) ** 2).sum(0)
    ours = PoissonMixture(rates[..., None]).crps(y[:, None])
    assert ours.shape == (6, 1)
    np.testing.assert_allclose(ours[:, 0], expected, rtol=1e-9)


def test_crps_of_points_is_that_of_samples():
    """Components without spread are samples; the pairs against the sorted formula."""
    means, _, y = random_mixture(40)
    assert metrics.crps_loss(y, means, 0.0) == pytest.approx(
        metrics.sample_crps_loss(y, means.T), rel=1e-12
    )


def test_crps_of_samples_by_pairs():
    means, _, y = random_mixture(30)
    samples = 1e6 + means.T
    pairs = np.abs(samples[:, :, None] - samples[:, None, :]).mean((1, 2))
    expected = np.abs(samples - 1e6 - y[:, None]).mean(1) - pairs / 2
    assert metrics.sample_crps_loss(y + 1e6, samples) == pytest.approx(expected.mean(), rel=1e-9)


def test_samples_of_a_mixture_score_as_the_mixture():
    """Statistical: 400 batches of 250 samples, whose score is too great by its known bias."""
    means, stds, y = random_mixture()
    mixture = NormalMixture(means[..., None], stds[..., None] ** 2)
    rng = np.random.RandomState(0)
    samples = np.concatenate([mixture.sample(rng)[..., 0] for _ in range(20000)])
    batches = samples.reshape(400, 250, -1)
    scores = np.array(
        [
            [metrics.sample_crps_loss(y[[k]], batch[:, k][None]) for k in range(len(y))]
            for batch in batches
        ]
    )
    exact = mixture.crps(y[:, None])[:, 0]
    # Stratified over components, so pairs within a batch are a little too far apart at most;
    # the bias is the mean distance of a pair over 2 S, measured on the samples.
    distance = np.abs(np.diff(batches[:, ::3], axis=1)).mean((0, 1))
    bias = distance / (2 * 250)
    within = scores - exact
    assert (np.abs(within.mean(0)) < bias + randomness.Z * within.std(0) / 20).all()


def test_memory_of_many_components_stays_small():
    """Chunks of rows change nothing."""
    means, stds, y = random_mixture(3000, 300)
    some = slice(130, 190)
    whole = NormalMixture(means[:600, :, None], stds[:600, :, None] ** 2).crps(y[:, None])
    part = NormalMixture(means[:600, some, None], stds[:600, some, None] ** 2).crps(y[some, None])
    np.testing.assert_allclose(whole[some], part, rtol=1e-12)


# ---- density -----------------------------------------------------------------------------------


def test_log_predictive_density_is_that_of_the_mixture():
    means, stds, y = random_mixture()
    expected = np.log(norm.pdf(y, means, stds).mean(0)).mean()
    assert metrics.log_predictive_density_score(y, means, stds) == pytest.approx(expected)


# ---- intervals ---------------------------------------------------------------------------------


def test_interval_coverage_by_hand():
    y = [0.0, 1.0, 2.0, 3.0]
    interval = np.array([[0, 1], [0, 0.5], [1, 3], [4, 5]])
    assert metrics.interval_coverage_score(y, interval) == 0.5
    assert metrics.interval_coverage_score(y, interval, sample_weight=[3, 1, 1, 0]) == 0.8
    levels = np.stack([interval, interval + np.array([0, 2])], axis=-1)
    np.testing.assert_allclose(metrics.interval_coverage_score(y, levels), [0.5, 0.75])


def test_interval_score_by_hand():
    y, interval = [0.0, 1.0, 2.0], [[0, 1], [2, 4], [-1, 1]]
    # Widths 1, 2, 2; misses 0, 1, 1 cost 20 each at 90 %.
    assert metrics.interval_score_loss(y, interval) == pytest.approx((1 + 22 + 22) / 3)
    both = np.stack([interval, interval], axis=-1)
    scores = metrics.interval_score_loss(y, both, confidence_level=[0.9, 0.5])
    np.testing.assert_allclose(scores, [15, (1 + 6 + 6) / 3])


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_the_true_quantiles_have_the_least_expected_interval_score(level):
    """The expectation is an integral over the truth, not a mean over random numbers."""

    def expected(lower, upper):
        grid = norm.ppf((np.arange(20000) + 0.5) / 20000)
        ends = np.broadcast_to([lower, upper], (len(grid), 2))
        return metrics.interval_score_loss(grid, ends, confidence_level=level)

    tail = (1 - level) / 2
    best = expected(norm.ppf(tail), norm.ppf(1 - tail))
    for shift in (-0.3, -0.05, 0.05, 0.3):
        assert expected(norm.ppf(tail) + shift, norm.ppf(1 - tail)) > best
        assert expected(norm.ppf(tail), norm.ppf(1 - tail) + shift) > best


# ---- what all share ----------------------------------------------------------------------------


def cases():
    means, stds, y = random_mixture(6, 30)
    ends = np.sort(means[:2].T, axis=1)
    return {
        "density": (metrics.log_predictive_density_score, y, (means, stds)),
        "crps": (metrics.crps_loss, y, (means, stds)),
        "samples": (lambda y, s, **w: metrics.sample_crps_loss(y, s.T, **w), y, (means,)),
        "interval": (lambda y, e, **w: metrics.interval_score_loss(y, e.T, **w), y, (ends.T,)),
        "coverage": (lambda y, e, **w: metrics.interval_coverage_score(y, e.T, **w), y, (ends.T,)),
    }


@pytest.mark.parametrize("name", cases())
def test_weight_is_repetition_and_order_does_not_matter(name):
    score, y, arrays = cases()[name]
    weight = np.random.default_rng(0).integers(4, size=len(y))
    repeated = (np.repeat(y, weight), *(np.repeat(a, weight, axis=-1) for a in arrays))
    assert score(y, *arrays, sample_weight=weight) == pytest.approx(score(*repeated))
    backwards = (y[::-1], *(a[..., ::-1] for a in arrays))
    assert score(*backwards) == pytest.approx(score(y, *arrays))


def test_several_outputs_are_averaged():
    means, stds, y = random_mixture(6, 30)
    mean2, std2, y2 = (part.reshape(*part.shape[:-1], 15, 2) for part in (means, stds, y))
    for score in (metrics.crps_loss, metrics.log_predictive_density_score):
        columns = [score(y2[:, k], mean2[..., k], std2[..., k]) for k in range(2)]
        assert score(y2, mean2, std2) == pytest.approx(np.mean(columns))
    ends = np.stack([y2 - 1, y2 + np.array([0.5, -0.5])], axis=-1)
    assert metrics.interval_coverage_score(y2, ends) == 0.5


BAD = {
    "y shape": (lambda: metrics.crps_loss([[[1.0]]], [0.0], 1.0), r"crps_loss: y_true must have"),
    "no rows": (lambda: metrics.crps_loss([], [], 1.0), "at least one row"),
    "y NaN": (lambda: metrics.crps_loss([np.nan], [0.0], 1.0), "y_true holds a value"),
    "mean shape": (lambda: metrics.crps_loss([0.0, 1.0], [0.0], 1.0), r"\(2,\), or an axis"),
    "no draws": (lambda: metrics.crps_loss([0.0], np.empty((0, 1)), 1.0), "one component"),
    "mean NaN": (lambda: metrics.crps_loss([0.0], [np.nan], 1.0), "mean holds a value"),
    "negative": (lambda: metrics.crps_loss([0.0], [0.0], -1.0), "std must not be negative, got -1"),
    "zero": (lambda: metrics.log_predictive_density_score([0.0], [0.0], 0.0), "positive, got 0"),
    "std shape": (lambda: metrics.crps_loss([0.0], [0.0], [1.0, 2.0]), "cannot be broadcast"),
    "samples": (lambda: metrics.sample_crps_loss([0.0, 1.0], [0.0, 1.0]), "an axis of draws"),
    "interval": (lambda: metrics.interval_coverage_score([0.0], [0.0, 1.0]), "followed|then 2"),
    "crossed": (lambda: metrics.interval_coverage_score([0.0], [[1.0, 0.0]]), "below its lower"),
    "level": (
        lambda: metrics.interval_score_loss([0.0], [[0.0, 1.0]], confidence_level=1.0),
        r"interval_score_loss: confidence_level must be in \(0, 1\).*got 1\.0",
    ),
    "levels": (
        lambda: metrics.interval_score_loss([0.0], [[0.0, 1.0]], confidence_level=[0.5, 0.9]),
        "each of the 1 levels",
    ),
    "weight": (lambda: metrics.crps_loss([0.0], [0.0], 1.0, sample_weight=[-1]), "not negative"),
    "weights": (
        lambda: metrics.crps_loss([0.0], [0.0], 1.0, sample_weight=[1, 1]),
        "inconsistent numbers",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_a_sentence(name):
    call, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        call()
