"""Mixtures of Poisson distributions."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln, pdtr, pdtrik, xlogy

from .errors import regression_error
from .mixture import Mixture, flat, log_mean_exp, of_cells
from .scores import poisson_mixture_crps
from .target_columns import TargetColumns
from .uncertainty import Uncertainty, regression_uncertainty


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

    def uncertainty(self, measure: str = "variance") -> Uncertainty:
        # A Poisson distribution's variance is its mean.
        return regression_uncertainty(self.rates, self.rates)

    def error(self, n_members: int, measure: str = "variance") -> Uncertainty:
        return regression_error(self.rates, self.rates, n_members)

    def log_prob(self, y: np.ndarray) -> np.ndarray:
        cells = xlogy(y, self.rates) - self.rates - gammaln(y + 1)
        return log_mean_exp(of_cells(cells, y).sum(-1))

    def crps(self, y: np.ndarray) -> np.ndarray:
        return poisson_mixture_crps(flat(self.rates), y.ravel()).reshape(y.shape)

    def quantiles(self, probabilities: np.ndarray) -> np.ndarray:
        return poisson_mixture_quantiles(self.rates, probabilities)

    def take(self, components: np.ndarray) -> PoissonMixture:
        return PoissonMixture(self.rates[components])

    def widened(self, columns: TargetColumns, noise: float) -> PoissonMixture:
        # A count's variance is its mean, so this is the smallest of those too.
        return PoissonMixture(columns.fill(self.rates, np.maximum(columns.values, noise)))

    def sample(self, rng: np.random.RandomState) -> np.ndarray:
        return rng.poisson(self.rates).astype(np.float64)


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
