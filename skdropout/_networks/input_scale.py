"""How large the weights of each input are, learned beside the weights."""

from __future__ import annotations

import torch
from torch import nn

from .._support.arrays import PickledAsArrays


class InputScale(PickledAsArrays):
    """A factor on all weights of an input, which training learns.

    The weights of the stack have the factor in them already: no function reads it.

    Parameters
    ----------
    n_members, n_in : int

    Attributes
    ----------
    log : Parameter of shape (members, n_in, 1)
        The factor is ``exp(SPEED * log)``.
    """

    # Steps of a factor's logarithm in steps of a weight, as in RealMLP (Holzmüller et al. 2024).
    SPEED = 6.0

    def __init__(self, n_members: int, n_in: int) -> None:
        super().__init__()
        self.log = nn.Parameter(torch.zeros(n_members, n_in, 1, dtype=torch.float32))
