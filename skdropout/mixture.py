"""The predictive distribution: a mixture of equally likely components. NumPy and SciPy only.

A component is one function with its observation noise. Where it comes from does not matter here:
it may be a draw, a member of an ensemble, or a member's closed-form mean and variance.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from scipy.special import gammaln, logsumexp, ndtr, ndtri, pdtr, pdtrik, xlogy

from .monte_carlo import regression_error
from .proper_scores import normal_mixture_crps, poisson_mixture_crps
from .target_columns import TargetColumns
from .uncertainty import Uncertainty, regression_uncertainty

_ITERATIONS = 60
_TOLERANCE = 1e-10


class Mixture(ABC):
    """Predictive distribution of some rows, in the units of y.

    Everything that a regressor predicts is asked of it. Outputs are independent given the
    component.
    """

    @property
    @abstractmethod
    def n_components(self) -> int:
        """How many there are; those of one member together."""

    @abstractmethod
    def mean(self) -> np.ndarray:
        """Mean of a new observation: ``(rows, n_outputs)``."""

    @abstractmethod
    def uncertainty(self) -> Uncertainty:
        """Mean and variance of a new observation, the variance split by cause."""

    @abstractmethod
    def error(self, n_members: int) -> Uncertainty:
        """Standard errors of `uncertainty`, for components that are draws.

        Parameters
        ----------
        n_members : int
            Networks that the components are drawn from, as many from each, side by side.
        """

    @abstractmethod
    def log_prob(self, y: np.ndarray) -> np.ndarray:
        """Log density, or mass, of all outputs jointly: ``(rows,)``.

        Parameters
        ----------
        y : ndarray of shape (rows, n_outputs)
        """

    @abstractmethod
    def crps(self, y: np.ndarray) -> np.ndarray:
        """Continuous ranked probability score of each output: ``(rows, n_outputs)``.

        Parameters
        ----------
        y : ndarray of shape (rows, n_outputs)
        """

    @abstractmethod
    def quantiles(self, probabilities: np.ndarray) -> np.ndarray:
        """Quantiles of each output: ``(rows, n_outputs, n_quantiles)``.

        Parameters
        ----------
        probabilities : ndarray of shape (n_quantiles,)
            In (0, 1).
        """

    @abstractmethod
    def take(self, components: np.ndarray) -> Mixture:
        """The mixture of these components, by index; one may be there more than once."""

    @abstractmethod
    def widened(self, columns: TargetColumns, noise: float) -> Mixture:
        """The mixture of all columns of y, given that of the learned ones.

        Parameters
        ----------
        columns : TargetColumns
        noise : float
            Variance of a constant column.
        """

    @abstractmethod
    def sample(self, rng: np.random.RandomState) -> np.ndarray:
        """One new observation from each component: ``(n_components, rows, n_outputs)``."""


class NormalMixture(Mixture):
    """Components with normal noise.

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

    def uncertainty(self) -> Uncertainty:
        return regression_uncertainty(self.means, self.noise, self.spread)

    def error(self, n_members: int) -> Uncertainty:
        return regression_error(self.means, self.noise, n_members)

    def log_prob(self, y: np.ndarray) -> np.ndarray:
        variances = self.variances
        squares = (y - self.means) ** 2 / variances
        return _log_mean_exp(-0.5 * (squares + np.log(2 * np.pi * variances)).sum(-1))

    def crps(self, y: np.ndarray) -> np.ndarray:
        means, stds = self.means, np.sqrt(self.variances)
        return normal_mixture_crps(_flat(means), _flat(stds), y.ravel()).reshape(y.shape)

    def quantiles(self, probabilities: np.ndarray) -> np.ndarray:
        n_components, *shape = self.means.shape
        stds = np.sqrt(self.variances).reshape(n_components, -1)
        flat = normal_mixture_quantiles(self.means.reshape(n_components, -1), stds, probabilities)
        return flat.reshape(*shape, -1)

    def scaled(self, scale: np.ndarray | float, centre: np.ndarray | None = None) -> NormalMixture:
        """All standard deviations multiplied, of the components and between them.

        Parameters
        ----------
        scale : float or ndarray of shape (n_outputs,)
        centre : ndarray of shape (rows, n_outputs), optional
            Where the means are drawn from or to; the mixture's mean by default.
        """
        if np.all(scale == 1):
            return self
        centre = self.mean() if centre is None else centre
        square = np.square(scale)
        means = centre + scale * (self.means - centre)
        return NormalMixture(means, self.noise * square, self.spread * square)

    def cdf(self, y: np.ndarray) -> np.ndarray:
        """Distribution function of each output: ``(rows, n_outputs)``."""
        return ndtr((y - self.means) / np.sqrt(self.variances)).mean(0)

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


class CorrelatedNormalMixture(NormalMixture):
    """Components with normal noise whose function's values at one row are correlated.

    Parameters
    ----------
    means, noise
        As in `NormalMixture`.
    covariance : ndarray of shape (n_components, rows, n_outputs, n_outputs)
        Of the function's values within a component.
    """

    def __init__(self, means: np.ndarray, noise: np.ndarray, covariance: np.ndarray):
        super().__init__(means, noise, np.diagonal(covariance, axis1=-2, axis2=-1))
        self.covariance = covariance

    def log_prob(self, y: np.ndarray) -> np.ndarray:
        root = self._root()
        scaled = np.linalg.solve(root, (y - self.means)[..., None])[..., 0]
        log_sizes = np.log(2 * np.pi * np.diagonal(root, axis1=-2, axis2=-1) ** 2)
        return _log_mean_exp(-0.5 * (scaled**2 + log_sizes).sum(-1))

    def scaled(
        self, scale: np.ndarray | float, centre: np.ndarray | None = None
    ) -> CorrelatedNormalMixture:
        marginal = super().scaled(scale, centre)
        factors = np.broadcast_to(scale, self.means.shape[-1:])
        covariance = self.covariance * np.outer(factors, factors)
        return CorrelatedNormalMixture(marginal.means, marginal.noise, covariance)

    def take(self, components: np.ndarray) -> CorrelatedNormalMixture:
        noise = np.broadcast_to(self.noise, self.means.shape)[components]
        return CorrelatedNormalMixture(self.means[components], noise, self.covariance[components])

    def widened(self, columns: TargetColumns, noise: float) -> CorrelatedNormalMixture:
        if not columns.constant.any():
            return self
        marginal = super().widened(columns, noise)
        covariance = columns.fill_covariance(self.covariance)
        return CorrelatedNormalMixture(marginal.means, marginal.noise, covariance)

    def sample(self, rng: np.random.RandomState) -> np.ndarray:
        normal = rng.standard_normal(self.means.shape)
        return self.means + np.einsum("crkl,crl->crk", self._root(), normal)

    def _root(self) -> np.ndarray:
        """Cholesky's factor of the covariance of a new observation."""
        noise = np.broadcast_to(self.noise, self.means.shape)
        return np.linalg.cholesky(self.covariance + noise[..., None] * np.eye(noise.shape[-1]))


class PoissonMixture(Mixture):
    """Components that count: Poisson distributions.

    Parameters
    ----------
    rates : ndarray of shape (n_components, rows, n_outputs)
        Expected counts, positive.
    """

    def __init__(self, rates: np.ndarray):
        self.rates = np.asarray(rates, dtype=np.float64)

    @property
    def n_components(self) -> int:
        return len(self.rates)

    def mean(self) -> np.ndarray:
        return self.rates.mean(0)

    def uncertainty(self) -> Uncertainty:
        # A Poisson distribution's variance is its mean.
        return regression_uncertainty(self.rates, self.rates)

    def error(self, n_members: int) -> Uncertainty:
        return regression_error(self.rates, self.rates, n_members)

    def log_prob(self, y: np.ndarray) -> np.ndarray:
        return _log_mean_exp((xlogy(y, self.rates) - self.rates - gammaln(y + 1)).sum(-1))

    def crps(self, y: np.ndarray) -> np.ndarray:
        return poisson_mixture_crps(_flat(self.rates), y.ravel()).reshape(y.shape)

    def quantiles(self, probabilities: np.ndarray) -> np.ndarray:
        return poisson_mixture_quantiles(self.rates, probabilities)

    def take(self, components: np.ndarray) -> PoissonMixture:
        return PoissonMixture(self.rates[components])

    def widened(self, columns: TargetColumns, noise: float) -> PoissonMixture:
        # A count's variance is its mean, so this is the smallest of those too.
        return PoissonMixture(columns.fill(self.rates, np.maximum(columns.values, noise)))

    def sample(self, rng: np.random.RandomState) -> np.ndarray:
        return rng.poisson(self.rates).astype(np.float64)


def _flat(components: np.ndarray) -> np.ndarray:
    """With one axis for rows and outputs together: ``(n_components, rows * n_outputs)``."""
    return components.reshape(len(components), -1)


def _log_mean_exp(log_densities: np.ndarray) -> np.ndarray:
    return logsumexp(log_densities, axis=0) - np.log(len(log_densities))


def poisson_mixture_quantiles(rates: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Quantiles of mixtures of Poisson distributions with equal weights.

    Parameters
    ----------
    rates : ndarray of shape (n_components, ...)
    probabilities : ndarray of shape (n_quantiles,)
        In (0, 1).

    Returns
    -------
    ndarray of shape (..., n_quantiles)
        The smallest integers at which the mixture's distribution function reaches the
        probabilities.
    """
    rates = rates[..., None]
    # `pdtrik` inverts the distribution function over real counts. The mixture's quantile lies
    # between those of the smallest and of the largest rate.
    low = np.floor(np.nan_to_num(pdtrik(probabilities, rates.min(0)))) - 1
    high = np.ceil(np.nan_to_num(pdtrik(probabilities, rates.max(0)))) + 1
    low = np.maximum(low, -1.0)
    while (open_ := high - low > 1).any():
        middle = np.floor((low + high) / 2)
        reached = pdtr(middle, rates).mean(0) >= probabilities
        high = np.where(open_ & reached, middle, high)
        low = np.where(open_ & ~reached, middle, low)
    return high


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
