"""Scores: how good predictive distributions were, and how true probabilities.

Nothing is checked here; `skdropout.metrics` has the public functions.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, pdtr, pdtrik

# Rows whose pairs are held in memory at once, times the components: two megabytes of float64.
_CHUNK = 2**18
# Probability in each tail of a counting distribution that is left out of a sum.
_TAIL = 1e-12


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


def poisson_mixture_crps(rates: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Continuous ranked probability score of mixtures of Poisson distributions.

    A sum over counts of the squared difference between the distribution function and the step at
    the target. Time grows with the range of likely counts.

    Parameters
    ----------
    rates : ndarray of shape (n_components, n_samples)
        Expected counts, positive; components have equal weights.
    y : ndarray of shape (n_samples,)
        Counts.

    Returns
    -------
    ndarray of shape (n_samples,)
        Exact but for tails of 1e-12.

    References
    ----------
    Czado, Gneiting and Held (2009). Predictive model assessment for count data. Biometrics 65.
    """
    low = np.maximum(np.floor(np.nan_to_num(pdtrik(_TAIL, rates.min(0)))), 0)
    high = np.ceil(np.nan_to_num(pdtrik(1 - _TAIL, rates.max(0)))) + 1
    # Where the distribution function is zero or one, the step alone counts.
    scores = np.maximum(low - y, 0) + np.maximum(y - high - 1, 0)
    width = high - low
    for offset in range(int(width.max()) + 1):
        count = low + offset
        term = (pdtr(count, rates).mean(0) - (count >= y)) ** 2
        scores += np.where(offset <= width, term, 0.0)
    return scores


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


def mean_of_columns(values: np.ndarray, weight: np.ndarray, missing: np.ndarray) -> float:
    """Weighted mean of each column over its cells, then the plain mean over the columns.

    Parameters
    ----------
    values, missing : ndarray of shape (rows, n_outputs)
        `missing` says of which cells there is no value. A column without any is left out.
    weight : ndarray of shape (rows,)

    Returns
    -------
    float
        NaN if no cell has a value.
    """
    weights = np.where(missing, 0.0, weight[:, None])
    total = weights.sum(0)
    known = total > 0
    if not known.any():
        return float("nan")
    sums = (np.where(missing, 0.0, values) * weights).sum(0)
    return float((sums[known] / total[known]).mean())


def equal_width_bins(stated: np.ndarray, n_bins: int) -> np.ndarray:
    """Bin of each probability over [0, 1], closed on the left, the last one on both sides."""
    return np.minimum((stated * n_bins).astype(int), n_bins - 1)


def binned_error(
    stated: np.ndarray, came_true: np.ndarray, weight: np.ndarray, bins: np.ndarray
) -> float:
    """Mean distance between stated probabilities and shares that came true, over bins of rows."""
    gaps = np.bincount(bins, weight * (stated - came_true))
    return float(np.abs(gaps).sum() / weight.sum())
