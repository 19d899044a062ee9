"""``n_draws="auto"``: how many draws a row needs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .network import PlainStack, Stack
from .uncertainty import Uncertainty

FIRST_DRAWS = 100
MOST_DRAWS = 1600
"""The standard error of a mean over K draws is at most its standard deviation / sqrt(K), and the
draws' standard deviation is at most the total one. So 1,600 draws bring the mean within the
tolerance whatever the model."""
TOLERANCE = 0.025
"""Largest standard error of the mean and of the epistemic standard deviation, as a share of the
total standard deviation."""


class Rounds:
    """More and more draws: 100 per member, then twice as many, up to 1,600.

    The draws of a round begin with those of the round before, so a row that stops after some round
    has what ``n_draws`` of that size would give it.

    Parameters
    ----------
    stack : Stack
    """

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def __iter__(self) -> Iterator[PlainStack]:
        n_draws = FIRST_DRAWS
        while n_draws <= MOST_DRAWS:
            yield self.stack.draw(n_draws)
            n_draws *= 2


def precise(uncertainty: Uncertainty, error: Uncertainty) -> np.ndarray:
    """Rows whose uncertainty is known well enough.

    Parameters
    ----------
    uncertainty, error : Uncertainty
        Variances, and their standard errors.

    Returns
    -------
    ndarray of bool of shape (n_samples,)
    """
    total, epistemic = uncertainty.total, uncertainty.epistemic
    of_mean = error.mean
    if of_mean.ndim > total.ndim:
        # Classes: as for the variances, half the sum of squares; for two classes that of one.
        of_mean = np.sqrt((of_mean**2).sum(-1) / 2)
    settled = of_mean <= TOLERANCE * np.sqrt(total)
    # The standard error of a root is that of its square over twice the root.
    settled &= error.epistemic <= 2 * TOLERANCE * np.sqrt(epistemic * total)
    return settled.reshape(len(settled), -1).all(1)


def fixed_draws(n_draws: int | str) -> int:
    """A number of draws where one for all rows is needed: "auto" stands for the first round."""
    return FIRST_DRAWS if isinstance(n_draws, str) else n_draws
