"""How many draws a row needs."""

from __future__ import annotations

import numpy as np

from .uncertainty import Uncertainty

FIRST_DRAWS = 100
MOST_DRAWS = 1600
"""The standard error of a mean over K draws is at most its standard deviation / sqrt(K), and the
draws' standard deviation is at most the total one. So 1,600 draws bring the mean within the
tolerance whatever the model."""
TOLERANCE = 0.025
"""Largest standard error of the mean and of the epistemic standard deviation, as a share of the
total standard deviation."""


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


def draws_of_each(n_draws: int, n_members: int) -> int:
    """Draws of each member, of so many in all: one at least, unless there are none."""
    return -(-n_draws // n_members)
