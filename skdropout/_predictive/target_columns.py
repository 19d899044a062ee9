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

    @classmethod
    def of(cls, y: np.ndarray) -> TargetColumns:
        """Those of training rows.

        Parameters
        ----------
        y : ndarray of shape (rows, n_outputs)
            Single cells may be missing (NaN), but not all of a column.
        """
        first = np.isnan(y).argmin(0)
        constant = np.nanmax(y, axis=0) == np.nanmin(y, axis=0)
        return cls(constant, y[first, np.arange(y.shape[1])])

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


def column_means(values: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """Means of the columns over the cells that are there.

    Parameters
    ----------
    values : ndarray of shape (rows, n_outputs)
        Single cells may be missing (NaN).
    weight : ndarray of shape (rows,) or None

    Returns
    -------
    ndarray of shape (n_outputs,)
    """
    present = ~np.isnan(values)
    if present.all():
        return np.average(values, axis=0, weights=weight)
    return np.array(
        [
            np.average(column[there], weights=None if weight is None else weight[there])
            for column, there in zip(values.T, present.T, strict=True)
        ]
    )
