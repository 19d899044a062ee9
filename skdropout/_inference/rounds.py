"""``n_draws="auto"``: draws in rounds, for as long as a row needs more."""

from __future__ import annotations

import numpy as np

from .._networks.stack import Stack
from .._predictive.needed_draws import FIRST_DRAWS, MOST_DRAWS


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
