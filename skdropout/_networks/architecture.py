"""What the members of a stack have in common, and what may differ between them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..families import Family


@dataclass(frozen=True)
class Architecture:
    """What the members of a stack have in common.

    Attributes
    ----------
    widths : tuple of int
        Units per layer, from the inputs to the raw outputs.
    activation : str
        A key of `ACTIVATIONS`.
    normalization : str or None
        A key of `NORMALIZATIONS`.
    sources : tuple of int, one per input, or None
        Inputs of one source, such as a column that was encoded, are dropped together. None: each
        is its own.
    scaled : bool
        Whether training learns how large the weights of each input are: `InputScale`.
    """

    widths: tuple[int, ...]
    activation: str
    normalization: str | None
    sources: tuple[int, ...] | None = None
    scaled: bool = False


@dataclass(frozen=True)
class Member:
    """What one member of a stack may have different from the others.

    Attributes
    ----------
    seed : int
        Everything random about the member follows from it.
    family : Family
        All members of a stack share the class, not the parameters.
    rates : tuple of float
        Probability of dropping, per linear map: the inputs', then each hidden layer's.
    """

    seed: int
    family: Family
    rates: tuple[float, ...]

    def seeds(self) -> tuple[int, int, int, int]:
        """Independent seeds for initial weights, row order, training noise and draws."""
        return _seeds(self.seed)


@lru_cache(maxsize=1024)
def _seeds(seed: int) -> tuple[int, int, int, int]:
    states = np.random.SeedSequence(seed).generate_state(4)
    return tuple(int(state) for state in states)  # type: ignore[return-value]
