"""``n_draws="auto"``: how many draws a row needs."""

from __future__ import annotations

import numpy as np

from .._networks.stack import Stack
from .._predictive.uncertainty import Uncertainty

FIRST_DRAWS = 100
MOST_DRAWS = 1600
"""The standard error of a mean over K draws is at most its standard deviation / sqrt(K), and the
draws' standard deviation is at most the total one. So 1,600 draws bring the mean within the
tolerance whatever the model."""
TOLERANCE = 0.025
"""Largest standard error of the mean and of the epistemic standard deviation, as a share of the
total standard deviation."""


class Rounds:
    """100 draws per member, and for rows that need more 200, 400, 800 or 1,600.

    The draws of a round begin with those of the rounds before, so a row that stops after some
    round has what ``n_draws`` of that size would give it.

    Parameters
    ----------
    stack : Stack
    """

    sizes = (FIRST_DRAWS, 200, 400, 800, MOST_DRAWS)

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def next_round(self, size: int, needed: np.ndarray) -> np.ndarray:
        """Where rows go after a round: to the first later one that is large enough, or nowhere.

        Parameters
        ----------
        size : int
            Of the round that is over.
        needed : ndarray of shape (n_samples,)
            Draws that each row needs.

        Returns
        -------
        ndarray of int of shape (n_samples,)
            Sizes; `size` for rows that are done.
        """
        later = np.searchsorted(self.sizes, np.minimum(needed, MOST_DRAWS))
        return np.where(needed <= size, size, np.take(self.sizes, later))


def needed_draws(uncertainty: Uncertainty, error: Uncertainty, n_draws: int) -> np.ndarray:
    """Draws that bring the standard errors of each row within the tolerance.

    Parameters
    ----------
    uncertainty, error : Uncertainty
        Variances, and their standard errors.
    n_draws : int
        From so many draws. Standard errors fall with their root.

    Returns
    -------
    ndarray of shape (n_samples,)
        At most `n_draws` for rows that are within the tolerance.
    """
    total, epistemic = uncertainty.total, uncertainty.epistemic
    of_mean = error.mean
    if of_mean.ndim > total.ndim:
        # Classes: as for the variances, half the sum of squares; for two classes that of one.
        of_mean = np.sqrt((of_mean**2).sum(-1) / 2)
    tiny = np.finfo(np.float64).tiny
    # The standard error of a root is that of its square over twice the root.
    shares = np.maximum(
        of_mean / np.maximum(np.sqrt(total), tiny),
        error.epistemic / np.maximum(2 * np.sqrt(epistemic * total), tiny),
    )
    # More draws do not help where outputs overflowed.
    shares = np.nan_to_num(shares, nan=0.0)
    return n_draws * (shares.reshape(len(shares), -1).max(1) / TOLERANCE) ** 2


def fixed_draws(n_draws: int | str) -> int:
    """A number of draws where one for all rows is needed: "auto" stands for the first round."""
    return FIRST_DRAWS if isinstance(n_draws, str) else n_draws
