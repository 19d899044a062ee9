"""The predictive distribution: a mixture of equally likely components.

A component is one function with its observation noise. Where it comes from does not matter here:
it may be a draw, a member of an ensemble, or a member's closed-form mean and variance.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from scipy.special import logsumexp

from .base import Predictive
from .target_columns import TargetColumns


class Mixture(Predictive):
    """Predictive distribution of some rows, in the units of y.

    Everything that a regressor predicts is asked of it. Outputs are independent given the
    component.
    """

    @property
    @abstractmethod
    def n_components(self) -> int:
        """How many there are; those of one member together."""

    def members(self, n_members: int) -> np.ndarray:
        components = np.arange(self.n_components).reshape(n_members, -1)
        return np.stack([self.take(each).mean() for each in components])

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


def flat(components: np.ndarray) -> np.ndarray:
    """With one axis for rows and outputs together: ``(n_components, rows * n_outputs)``."""
    return components.reshape(len(components), -1)


def of_cells(values: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Values of single targets, zero where these are missing."""
    missing = np.isnan(y)
    return np.where(missing, 0.0, values) if missing.any() else values


def log_mean_exp(log_densities: np.ndarray) -> np.ndarray:
    return logsumexp(log_densities, axis=0) - np.log(len(log_densities))
