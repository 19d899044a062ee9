"""The predictive distribution: a mixture of equally likely components. NumPy and SciPy only.

A component is one function with its observation noise. Where it comes from does not matter here:
it may be a draw, a member of an ensemble, or a member's closed-form mean and variance.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from scipy.special import logsumexp

from .uncertainty import Uncertainty


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
    def sample(self, rng: np.random.RandomState) -> np.ndarray:
        """One new observation from each component: ``(n_components, rows, n_outputs)``."""


def flat(components: np.ndarray) -> np.ndarray:
    """With one axis for rows and outputs together: ``(n_components, rows * n_outputs)``."""
    return components.reshape(len(components), -1)


def log_mean_exp(log_densities: np.ndarray) -> np.ndarray:
    return logsumexp(log_densities, axis=0) - np.log(len(log_densities))
