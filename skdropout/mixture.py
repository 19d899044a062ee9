"""Quantiles of the predictive mixture. NumPy and SciPy only."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri

_ITERATIONS = 60
_TOLERANCE = 1e-10


def normal_mixture_quantiles(
    means: np.ndarray, stds: np.ndarray, probabilities: np.ndarray
) -> np.ndarray:
    """Quantiles of mixtures of normal distributions with equal weights.

    They are the mixture's own, found on its distribution function, not those of a normal
    distribution with the mixture's mean and variance.

    Parameters
    ----------
    means : ndarray of shape (n_draws, n_samples)
    stds : ndarray, broadcastable to `means`
        Standard deviations, positive.
    probabilities : ndarray of shape (n_quantiles,)
        In (0, 1).

    Returns
    -------
    ndarray of shape (n_samples, n_quantiles)
        Correct to about 1e-10 in probability, and monotone in `probabilities`.
    """
    means = np.asarray(means, dtype=np.float64)[..., None]
    stds = np.broadcast_to(np.asarray(stds, dtype=np.float64), means.shape[:-1])[..., None]
    # The mixture's quantile lies between the smallest and the largest of its parts'.
    parts = means + stds * ndtri(probabilities)
    low, high = parts.min(0), parts.max(0)
    x = (low + high) / 2
    for _ in range(_ITERATIONS):
        z = (x - means) / stds
        error = ndtr(z).mean(0) - probabilities
        open_ = np.abs(error) >= _TOLERANCE
        if not open_.any():
            break
        low, high = np.where(error < 0, x, low), np.where(error < 0, high, x)
        density = (np.exp(-0.5 * z**2) / stds).mean(0) / np.sqrt(2 * np.pi)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            newton = x - error / density
        # Newton's step where it stays inside the bracket, bisection elsewhere.
        inside = (newton > low) & (newton < high)
        step = np.where(inside, newton, (low + high) / 2)
        # What is done stays: a row's result does not depend on the rows beside it.
        x = np.where(open_, step, x)
    order = np.argsort(probabilities, kind="stable")
    x[:, order] = np.maximum.accumulate(x[:, order], axis=1)
    return x
