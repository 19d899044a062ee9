"""Standard errors of what is estimated from draws, because there are finitely many.

To first order every quantity here is a mean over draws of its influence, what one draw adds to
it, so its standard error is that of a mean. The members of an ensemble are what they are: only the
draws within each are random, so the variances are taken within members and added up. Quantities
that curve in the means, such as a variance, are also off by a share of order 1 / n_draws; the
expected size of that is added, as squares, so that an error is not zero where the first order
vanishes.

Shapes are those of `uncertainty.py`; the draws of a member lie side by side. A member that
is one function has no error.
"""

from __future__ import annotations

import numpy as np

from .uncertainty import Uncertainty, entropy


def regression_error(means: np.ndarray, variances: np.ndarray, n_members: int) -> Uncertainty:
    """Standard errors of `regression_uncertainty`.

    Parameters
    ----------
    means : ndarray of shape (n_members * n_draws, n_samples, n_outputs)
    variances : ndarray, broadcastable to `means`
        Variance of the observation noise in each draw.
    n_members : int

    Returns
    -------
    Uncertainty
        Standard errors, fields of shape (n_samples, n_outputs).
    """
    means = np.asarray(means, dtype=np.float64)
    noise = np.broadcast_to(np.asarray(variances, dtype=np.float64), means.shape)
    squares = (means - means.mean(0)) ** 2
    of_mean = variance_of_mean(means, n_members)
    return _errors(of_mean, of_mean, squares, noise, n_members)


def probability_error(probabilities: np.ndarray, n_members: int) -> Uncertainty:
    """Standard errors of `probability_uncertainty`.

    Parameters
    ----------
    probabilities : ndarray of shape (n_members * n_draws, n_samples, n_classes)
    n_members : int

    Returns
    -------
    Uncertainty
        Standard errors; `mean` of shape (n_samples, n_classes), the rest (n_samples,).
    """
    p = np.asarray(probabilities, dtype=np.float64)
    squares = ((p - p.mean(0)) ** 2).sum(-1) / 2
    impurity = (1 - (p**2).sum(-1)) / 2
    of_mean = variance_of_mean(p, n_members)
    return _errors(of_mean, of_mean.sum(-1) / 2, squares, impurity, n_members)


def entropy_error(probabilities: np.ndarray, n_members: int) -> Uncertainty:
    """Standard errors of `entropy_uncertainty`, in nats.

    Parameters
    ----------
    probabilities : ndarray of shape (n_members * n_draws, n_samples, n_classes)
    n_members : int

    Returns
    -------
    Uncertainty
        Standard errors; `mean` of shape (n_samples, n_classes), the rest (n_samples,).
    """
    p = np.asarray(probabilities, dtype=np.float64)
    mean = np.maximum(p.mean(0), np.finfo(np.float64).tiny)
    within = entropy(p)
    # The relative entropy of one draw's classes to those of the mean.
    divergence = -(p * np.log(mean)).sum(-1) - within
    of_mean = variance_of_mean(p, n_members)
    return _errors(of_mean, (of_mean / mean).sum(-1) / 2, divergence, within, n_members)


def variance_of_mean(influence: np.ndarray, n_members: int) -> np.ndarray:
    """Variance of the mean over draws that are drawn anew within each member.

    Parameters
    ----------
    influence : ndarray of shape (n_members * n_draws, ...)
    n_members : int

    Returns
    -------
    ndarray of shape (...)
        Zero for one draw each.
    """
    n_draws = len(influence) // n_members
    if n_draws == 1:
        return np.zeros(influence.shape[1:])
    members = influence.reshape(n_members, n_draws, *influence.shape[1:])
    # From the first draw on: what is the same in all draws has no error, not even by rounding.
    members = members - members[:, :1]
    return members.var(1, ddof=1).sum(0) / (n_draws * n_members**2)


def _errors(
    of_mean: np.ndarray,
    bias: np.ndarray,
    epistemic: np.ndarray,
    aleatoric: np.ndarray,
    n_members: int,
) -> Uncertainty:
    """From the variance of the mean, the bias of total and epistemic, and the influences."""
    return Uncertainty(
        np.sqrt(of_mean),
        np.sqrt(variance_of_mean(epistemic + aleatoric, n_members) + bias**2),
        np.sqrt(variance_of_mean(epistemic, n_members) + bias**2),
        np.sqrt(variance_of_mean(aleatoric, n_members)),
    )
