"""What every predictive distribution answers."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from .uncertainty import Uncertainty


class Predictive(ABC):
    """Predictive distribution of some rows.

    It is a mixture of components, of which those of one member lie side by side.
    """

    @abstractmethod
    def mean(self) -> np.ndarray:
        """Mean of a new observation, or probability of each class: ``(rows, n_outputs)``."""

    @abstractmethod
    def uncertainty(self, measure: str = "variance") -> Uncertainty:
        """The mean, and how uncertain a new observation is, split by cause."""

    @abstractmethod
    def error(self, n_members: int, measure: str = "variance") -> Uncertainty:
        """Standard errors of `uncertainty`, for components that are draws.

        Parameters
        ----------
        n_members : int
            Networks that the components are drawn from, as many from each.
        measure : str
        """

    @abstractmethod
    def members(self, n_members: int) -> np.ndarray:
        """Each member's own mean: ``(n_members, rows, n_outputs)``."""

    @abstractmethod
    def log_prob(self, y: np.ndarray) -> np.ndarray:
        """Log density, or mass, of all outputs jointly: ``(rows,)``.

        Parameters
        ----------
        y : ndarray with rows first
            Targets, in the units of the distribution. Of several outputs single ones may be
            missing (NaN): the density is that of the others.
        """
