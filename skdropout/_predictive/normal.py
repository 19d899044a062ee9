"""Mixtures of normal distributions."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from scipy.special import ndtr, ndtri

from .errors import regression_error
from .mixture import Mixture, flat, log_mean_exp, of_cells
from .scores import normal_mixture_crps
from .target_columns import TargetColumns
from .uncertainty import Uncertainty, regression_uncertainty

_ITERATIONS = 60
_TOLERANCE = 1e-10


class NormalComponents(Mixture):
    """A mixture of normal distributions, without what correlation between outputs changes.

    Parameters
    ----------
    means : ndarray of shape (n_components, rows, n_outputs)
    noise : ndarray, broadcastable to `means`
        Variance of the observation noise of each component.
    spread : ndarray, broadcastable to `means`
        Variance of the function itself within a component.
    """

    def __init__(self, means: np.ndarray, noise: np.ndarray, spread: np.ndarray | float):
        self.means = np.asarray(means, dtype=np.float64)
        self.noise = np.asarray(noise, dtype=np.float64)
        self.spread = np.asarray(spread, dtype=np.float64)

    @property
    def n_components(self) -> int:
        return len(self.means)

    @property
    def variances(self) -> np.ndarray:
        """Of the components: ``(n_components, rows, n_outputs)``."""
        return np.broadcast_to(self.noise + self.spread, self.means.shape)

    def mean(self) -> np.ndarray:
        return self.means.mean(0)

    def uncertainty(self, measure: str = "variance") -> Uncertainty:
        return regression_uncertainty(self.means, self.noise, self.spread)

    def error(self, n_members: int, measure: str = "variance") -> Uncertainty:
        return regression_error(self.means, self.noise, n_members)

    def crps(self, y: np.ndarray) -> np.ndarray:
        means, stds = self.means, np.sqrt(self.variances)
        return normal_mixture_crps(flat(means), flat(stds), y.ravel()).reshape(y.shape)

    def quantiles(self, probabilities: np.ndarray) -> np.ndarray:
        _, *shape = self.means.shape
        quantiles = normal_mixture_quantiles(
            flat(self.means), flat(np.sqrt(self.variances)), probabilities
        )
        return quantiles.reshape(*shape, -1)

    def cdf(self, y: np.ndarray) -> np.ndarray:
        """Distribution function of each output: ``(rows, n_outputs)``."""
        return ndtr((y - self.means) / np.sqrt(self.variances)).mean(0)

    @abstractmethod
    def scaled(
        self, scale: np.ndarray | float, centre: np.ndarray | None = None
    ) -> NormalComponents:
        """All standard deviations multiplied, of the components and between them.

        Parameters
        ----------
        scale : float or ndarray of shape (n_outputs,)
        centre : ndarray of shape (rows, n_outputs), optional
            Where the means are drawn from or to; the mixture's mean by default.
        """

    @abstractmethod
    def shifted(self, by: np.ndarray) -> NormalComponents:
        """With the means of the components elsewhere, by ``(n_components, rows, n_outputs)``."""

    @abstractmethod
    def widened(self, columns: TargetColumns, noise: float) -> NormalComponents:
        """As in `Mixture`."""

    def _scaled_means(self, scale: np.ndarray | float, centre: np.ndarray | None) -> np.ndarray:
        centre = self.mean() if centre is None else centre
        return centre + scale * (self.means - centre)


class NormalMixture(NormalComponents):
    """Normal components whose outputs are independent.

    Parameters
    ----------
    means : ndarray of shape (n_components, rows, n_outputs)
    noise : ndarray, broadcastable to `means`
        Variance of the observation noise of each component.
    spread : ndarray, broadcastable to `means`, default=0
        Variance of the function itself within a component. A draw is one function, so it is zero;
        a component that stands for all draws of a member has one.
    """

    def __init__(self, means: np.ndarray, noise: np.ndarray, spread: np.ndarray | float = 0.0):
        super().__init__(means, noise, spread)

    def log_prob(self, y: np.ndarray) -> np.ndarray:
        variances = self.variances
        squares = (y - self.means) ** 2 / variances
        return log_mean_exp(-0.5 * of_cells(squares + np.log(2 * np.pi * variances), y).sum(-1))

    def scaled(self, scale: np.ndarray | float, centre: np.ndarray | None = None) -> NormalMixture:
        if np.all(scale == 1):
            return self
        square, means = np.square(scale), self._scaled_means(scale, centre)
        return NormalMixture(means, self.noise * square, self.spread * square)

    def shifted(self, by: np.ndarray) -> NormalMixture:
        return NormalMixture(self.means + by, self.noise, self.spread)

    def take(self, components: np.ndarray) -> NormalMixture:
        noise, spread = (np.broadcast_to(v, self.means.shape) for v in (self.noise, self.spread))
        return NormalMixture(self.means[components], noise[components], spread[components])

    def widened(self, columns: TargetColumns, noise: float) -> NormalMixture:
        if not columns.constant.any():
            return self
        given, spread = (np.broadcast_to(v, self.means.shape) for v in (self.noise, self.spread))
        means = columns.fill(self.means, columns.values)
        return NormalMixture(means, columns.fill(given, noise), columns.fill(spread, 0.0))

    def sample(self, rng: np.random.RandomState) -> np.ndarray:
        return self.means + np.sqrt(self.variances) * rng.standard_normal(self.means.shape)


class CorrelatedNormalMixture(NormalComponents):
    """Components with normal noise whose function's values at one row are correlated.

    Parameters
    ----------
    means : ndarray of shape (n_components, rows, n_outputs)
    noise : ndarray, broadcastable to `means`
        Variance of the observation noise of each component.
    covariance : ndarray of shape (n_components, rows, n_outputs, n_outputs)
        Of the function's values within a component.
    """

    def __init__(self, means: np.ndarray, noise: np.ndarray, covariance: np.ndarray):
        super().__init__(means, noise, np.diagonal(covariance, axis1=-2, axis2=-1))
        self.covariance = covariance

    def log_prob(self, y: np.ndarray) -> np.ndarray:
        root = self._root(np.isnan(y))
        scaled = np.linalg.solve(root, of_cells(y - self.means, y)[..., None])[..., 0]
        log_sizes = np.log(2 * np.pi * np.diagonal(root, axis1=-2, axis2=-1) ** 2)
        return log_mean_exp(-0.5 * (scaled**2 + log_sizes).sum(-1))

    def scaled(
        self, scale: np.ndarray | float, centre: np.ndarray | None = None
    ) -> CorrelatedNormalMixture:
        if np.all(scale == 1):
            return self
        factors = np.broadcast_to(scale, self.means.shape[-1:])
        covariance = self.covariance * np.outer(factors, factors)
        means = self._scaled_means(scale, centre)
        return CorrelatedNormalMixture(means, self.noise * np.square(scale), covariance)

    def shifted(self, by: np.ndarray) -> CorrelatedNormalMixture:
        return CorrelatedNormalMixture(self.means + by, self.noise, self.covariance)

    def take(self, components: np.ndarray) -> CorrelatedNormalMixture:
        noise = np.broadcast_to(self.noise, self.means.shape)[components]
        return CorrelatedNormalMixture(self.means[components], noise, self.covariance[components])

    def widened(self, columns: TargetColumns, noise: float) -> CorrelatedNormalMixture:
        if not columns.constant.any():
            return self
        given = columns.fill(np.broadcast_to(self.noise, self.means.shape), noise)
        means = columns.fill(self.means, columns.values)
        return CorrelatedNormalMixture(means, given, columns.fill_covariance(self.covariance))

    def sample(self, rng: np.random.RandomState) -> np.ndarray:
        normal = rng.standard_normal(self.means.shape)
        return self.means + np.einsum("crkl,crl->crk", self._root(), normal)

    def _root(self, missing: np.ndarray | None = None) -> np.ndarray:
        """Cholesky's factor of the covariance of a new observation.

        Parameters
        ----------
        missing : ndarray of bool of shape (rows, n_outputs), optional
            Targets that the density is not of. Alone, with a variance of 1 / (2 pi) and no
            residual, each adds nothing to its logarithm.
        """
        noise = np.broadcast_to(self.noise, self.means.shape)
        covariance = self.covariance + noise[..., None] * np.eye(noise.shape[-1])
        if missing is not None and missing.any():
            alone = missing[:, :, None] | missing[:, None, :]
            covariance = np.where(alone, np.eye(noise.shape[-1]) / (2 * np.pi), covariance)
        return np.linalg.cholesky(covariance)


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
        Standard deviations; one of zero is a point.
    probabilities : ndarray of shape (n_quantiles,)
        In (0, 1).

    Returns
    -------
    ndarray of shape (n_samples, n_quantiles)
        Correct to about 1e-10 in probability, and monotone in `probabilities`.
    """
    means = np.asarray(means, dtype=np.float64)[..., None]
    # A point is the limit of ever narrower distributions.
    stds = np.maximum(np.asarray(stds, dtype=np.float64), np.finfo(np.float64).tiny)
    stds = np.broadcast_to(stds, means.shape[:-1])[..., None]
    # The mixture's quantile lies between the smallest and the largest of its parts'.
    parts = means + stds * ndtri(probabilities)
    low, high = parts.min(0), parts.max(0)
    x = (low + high) / 2
    for _ in range(_ITERATIONS):
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            z = (x - means) / stds
            error = ndtr(z).mean(0) - probabilities
            density = (np.exp(-0.5 * z**2) / stds).mean(0) / np.sqrt(2 * np.pi)
            newton = x - error / density
        open_ = np.abs(error) >= _TOLERANCE
        if not open_.any():
            break
        low, high = np.where(error < 0, x, low), np.where(error < 0, high, x)
        # Newton's step where it stays inside the bracket, bisection elsewhere.
        inside = (newton > low) & (newton < high)
        step = np.where(inside, newton, (low + high) / 2)
        # What is done stays: a row's result does not depend on the rows beside it.
        x = np.where(open_, step, x)
    order = np.argsort(probabilities, kind="stable")
    x[:, order] = np.maximum.accumulate(x[:, order], axis=1)
    return x
