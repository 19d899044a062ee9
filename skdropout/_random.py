"""Random states that leave the global generators alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_random_state


def local_random_state(random_state: Any) -> np.random.RandomState:
    """scikit-learn's `check_random_state`, except that None does not touch the global state.

    Parameters
    ----------
    random_state : int, RandomState instance or None
        None stands for fresh entropy from the operating system.
    """
    if random_state is None:
        return np.random.RandomState(np.random.SeedSequence().generate_state(8))
    return check_random_state(random_state)


def new_seed(random_state: Any) -> int:
    """One seed, from which everything random about a fit follows."""
    return int(local_random_state(random_state).randint(np.iinfo(np.int32).max))
