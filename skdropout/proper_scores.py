"""Proper scores of each row: how good a predictive distribution was. NumPy and SciPy only.

Nothing is checked here; `skdropout.metrics` has the public functions.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp, ndtr

# Rows whose pairs are held in memory at once, times the components: two megabytes of float64.
_CHUNK = 2**18
_LOG_SQRT_TAU = 0.5 * np.log(2 * np.pi)


def normal_mixture_log_density(means: np.ndarray, stds: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Log density of mixtures of normal distributions with equal weights.

    Parameters
    ----------
    means, stds : ndarray of shape (n_components, n_samples)
        Standard deviations are positive.
    y : ndarray of shape (n_samples,)

    Returns
    -------
    ndarray of shape (n_samples,)
        In nats, per unit of y.
    """
    parts = -0.5 * ((y - means) / stds) ** 2 - np.log(stds) - _LOG_SQRT_TAU
    return logsumexp(parts, axis=0) - np.log(len(parts))


def normal_mixture_crps(means: np.ndarray, stds: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Continuous ranked probability score of mixtures of normal distributions, exact.

    ``CRPS(F, y) = E|Y - y| - E|Y - Y'| / 2``. A difference of two normal variables is normal, so
    both means are sums of ``E|N(m, s^2)|``, over components and over pairs of them.

    Parameters
    ----------
    means, stds : ndarray of shape (n_components, n_samples)
        Components have equal weights; a standard deviation may be zero.
    y : ndarray of shape (n_samples,)

    Returns
    -------
    ndarray of shape (n_samples,)
        In the units of y.

    References
    ----------
    Grimit, Gneiting, Berrocal and Johnson (2006). The continuous ranked probability score for
    circular variables and its application to mesoscale forecast ensemble verification. Quarterly
    Journal of the Royal Meteorological Society 132.
    """
    n_components, n_samples = means.shape
    scores = np.empty(n_samples)
    step = max(1, _CHUNK // n_components)
    for start in range(0, n_samples, step):
        rows = slice(start, start + step)
        mean, std, variance = means[:, rows], stds[:, rows], stds[:, rows] ** 2
        distance = mean_absolute_normal(y[rows] - mean, std).mean(0)
        # Each component with itself, then each pair twice.
        spread = mean_absolute_normal(np.zeros_like(std), np.sqrt(2.0) * std).sum(0)
        for first in range(n_components - 1):
            others = slice(first + 1, None)
            between = np.sqrt(variance[first] + variance[others])
            spread += 2 * mean_absolute_normal(mean[first] - mean[others], between).sum(0)
        scores[rows] = distance - spread / (2 * n_components**2)
    return scores


def mean_absolute_normal(mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """``E|N(mean, std^2)|``, the mean of a folded normal distribution."""
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(std > 0, mean / std, 0.0)
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    return np.where(std > 0, mean * (2 * ndtr(z) - 1) + 2 * std * density, np.abs(mean))


def sample_crps(samples: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Continuous ranked probability score of the distribution that gives all samples equal weight.

    The mean distance between two samples is a weighted sum of the sorted ones, so no pairs are
    formed.

    Parameters
    ----------
    samples : ndarray of shape (n_samples, n_draws)
    y : ndarray of shape (n_samples,)

    Returns
    -------
    ndarray of shape (n_samples,)
        In the units of y.

    References
    ----------
    Jordan, Krueger and Lerch (2019). Evaluating probabilistic forecasts with scoringRules.
    Journal of Statistical Software 90.
    """
    n_draws = samples.shape[1]
    distance = np.abs(samples - y[:, None]).mean(1)
    # Centred first: the weights sum to zero, so this only keeps digits.
    ordered = np.sort(samples - samples.mean(1, keepdims=True), axis=1)
    weight = 2 * np.arange(1, n_draws + 1) - n_draws - 1
    return distance - ordered @ weight / n_draws**2


def interval_loss(lower: np.ndarray, upper: np.ndarray, y: np.ndarray, level: float) -> np.ndarray:
    """Width of an interval, plus a penalty where it misses: the interval score.

    Parameters
    ----------
    lower, upper, y : ndarray of one shape
    level : float
        Probability of the interval, in (0, 1).

    Returns
    -------
    ndarray of that shape
        In the units of y.

    References
    ----------
    Gneiting and Raftery (2007). Strictly proper scoring rules, prediction, and estimation. Journal
    of the American Statistical Association 102, equation 43.
    """
    missed = np.maximum(lower - y, 0) + np.maximum(y - upper, 0)
    return upper - lower + 2 / (1 - level) * missed
