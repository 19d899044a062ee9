"""Random states that leave the global generators alone."""

from __future__ import annotations

from functools import lru_cache
from numbers import Integral
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
    if isinstance(random_state, Integral):
        return _seed_of(int(random_state))
    return _drawn(local_random_state(random_state))


@lru_cache(maxsize=1024)
def _seed_of(random_state: int) -> int:
    # Candidates of a search share it, and a generator takes long to make.
    return _drawn(check_random_state(random_state))


def _drawn(rng: np.random.RandomState) -> int:
    return int(rng.randint(np.iinfo(np.int32).max))
