"""Columns of a target that vary, which a network learns, and those that do not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TargetColumns:
    """Which columns of a target are constant, and their values.

    Attributes
    ----------
    constant : ndarray of bool of shape (n_outputs,)
    values : ndarray of shape (n_outputs,)
        In the units of y. Of a column that varies it means nothing.
    """

    constant: np.ndarray
    values: np.ndarray

    @property
    def learned(self) -> np.ndarray:
        """Numbers of the columns that a network has outputs for: at least one."""
        varying = np.flatnonzero(~self.constant)
        return varying if len(varying) else np.zeros(1, dtype=int)

    def select(self, columns: np.ndarray) -> np.ndarray:
        """The learned ones of columns ``(rows, n_outputs)``."""
        return columns[:, self.learned] if self.constant.any() else columns

    def fill(self, learned: np.ndarray, others: np.ndarray | float) -> np.ndarray:
        """All columns from the learned ones.

        Parameters
        ----------
        learned : ndarray of shape (..., n_learned)
        others : float or ndarray of shape (n_outputs,)
            What the constant ones hold.

        Returns
        -------
        ndarray of shape (..., n_outputs)
        """
        if not self.constant.any():
            return learned
        full = np.empty((*learned.shape[:-1], len(self.constant)))
        full[...] = others
        full[..., ~self.constant] = learned[..., ~self.constant[self.learned]]
        return full

    def fill_covariance(self, learned: np.ndarray) -> np.ndarray:
        """Covariances ``(..., n_learned, n_learned)`` with constants, which have none."""
        rows = self.fill(learned, 0.0)
        return self.fill(rows.swapaxes(-1, -2), 0.0).swapaxes(-1, -2)
