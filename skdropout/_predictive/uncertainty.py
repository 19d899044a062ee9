"""Decompositions of predictive uncertainty, and the numbers they are made from."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Uncertainty(NamedTuple):
    """What a model says about each row, and how sure it is.

    Attributes
    ----------
    mean : ndarray of shape (n_samples,), (n_samples, n_outputs) or (n_samples, n_classes)
        Regressor: predicted mean, in the units of y. Classifier: class probabilities, or with
        several labels per row the probability of each, (n_samples, n_labels).
    total : ndarray of shape (n_samples,), (n_samples, n_outputs) or (n_samples, n_labels)
        ``epistemic + aleatoric``. Regressor: variance of a new observation, in squared units of
        y. Classifier: half the Gini impurity of the mean probabilities (for two classes
        ``p (1 - p)``), or with ``measure="entropy"`` the predictive entropy in nats.
    epistemic : ndarray, shape of `total`
        Knowledge that the model lacks: what the draws disagree about. More data shrinks it.
    aleatoric : ndarray, shape of `total`
        Noise in the data: what is left in every single draw. More data does not shrink it.
    """

    mean: Any
    total: Any
    epistemic: Any
    aleatoric: Any


def regression_uncertainty(
    means: np.ndarray, variances: np.ndarray, spread: np.ndarray | float = 0.0
) -> Uncertainty:
    """Law of total variance over draws.

    Parameters
    ----------
    means : ndarray of shape (n_draws, n_samples, n_outputs)
    variances : ndarray, broadcastable to `means`
        Variance of the observation noise in each draw.
    spread : ndarray, broadcastable to `means`, default=0
        Variance of the function within each part, where a part is more than one draw.

    Returns
    -------
    Uncertainty
        Fields of shape (n_samples, n_outputs), float64.
    """
    within = np.broadcast_to(spread, means.shape).mean(0, dtype=np.float64)
    epistemic = means.var(0, dtype=np.float64) + within
    noise = np.broadcast_to(variances, means.shape).mean(0, dtype=np.float64)
    return Uncertainty(means.mean(0, dtype=np.float64), epistemic + noise, epistemic, noise)


def probability_uncertainty(
    probabilities: np.ndarray, shares: np.ndarray | None = None
) -> Uncertainty:
    """Decomposition of the classes' variance.

    ``total = (1 - sum p_mean^2) / 2``, ``aleatoric`` its mean within the draws, ``epistemic``
    half the variance of the probabilities over the draws. For two classes these are
    ``p (1 - p)``, ``E[p (1 - p)]`` and ``Var[p]``.

    Parameters
    ----------
    probabilities : ndarray of shape (n_draws, n_samples, n_classes)
    shares : ndarray of shape (n_draws,), default=None
        What each draw counts, of sum one. None is the same for all.

    Returns
    -------
    Uncertainty
        `mean` of shape (n_samples, n_classes), the rest (n_samples,), float64.
    """
    mean = _mean(probabilities, shares)
    if shares is None:
        epistemic = probabilities.var(0, dtype=np.float64).sum(-1) / 2
        squares = np.einsum("dnc,dnc->n", probabilities, probabilities, dtype=np.float64)
        aleatoric = (1 - squares / len(probabilities)) / 2
    else:
        epistemic = _mean((probabilities - mean) ** 2, shares).sum(-1) / 2
        aleatoric = (1 - _mean(probabilities**2, shares).sum(-1)) / 2
    return Uncertainty(mean, epistemic + aleatoric, epistemic, aleatoric)


def entropy_uncertainty(probabilities: np.ndarray, shares: np.ndarray | None = None) -> Uncertainty:
    """Predictive entropy as mutual information plus expected entropy, in nats.

    Parameters
    ----------
    probabilities : ndarray of shape (n_draws, n_samples, n_classes)
    shares : ndarray of shape (n_draws,), default=None
        What each draw counts, of sum one. None is the same for all.

    Returns
    -------
    Uncertainty
        `total` is the predictive entropy, `epistemic` the mutual information between class and
        network, `aleatoric` the expected entropy; `mean` of shape (n_samples, n_classes).

    References
    ----------
    Depeweg, Hernandez-Lobato, Doshi-Velez and Udluft (2018). Decomposition of uncertainty in
    Bayesian deep learning for efficient and risk-sensitive learning. ICML.
    """
    mean = _mean(probabilities, shares)
    predictive_entropy = entropy(mean)
    expected_entropy = _mean(entropy(probabilities), shares)
    # Rounding can make the difference of two nearly equal entropies a little negative.
    mutual_information = np.maximum(predictive_entropy - expected_entropy, 0.0)
    return Uncertainty(
        mean, mutual_information + expected_entropy, mutual_information, expected_entropy
    )


def _mean(values: np.ndarray, shares: np.ndarray | None) -> np.ndarray:
    """Mean over the draws, in float64."""
    if shares is None:
        return values.mean(0, dtype=np.float64)
    return np.einsum("d,d...->...", shares, values, dtype=np.float64)


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """Entropy over the last axis, in nats."""
    tiny = np.finfo(probabilities.dtype).tiny
    return -(probabilities * np.log(np.maximum(probabilities, tiny))).sum(-1)
