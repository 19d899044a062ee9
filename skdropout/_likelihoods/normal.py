"""What the likelihoods of real targets have in common."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Likelihood

# A network that interpolates its rows would drive the variance to zero.
SMALLEST_VARIANCE = 1e-6


class NormalLikelihood(Likelihood):
    """Real targets with normal noise, whose size has a closed form given the network.

    Parameters
    ----------
    n_members, n_outputs : int
    n_raw : int
        Raw outputs of the network.

    Attributes
    ----------
    variance : Tensor of shape (members, 1, n_outputs)
        Observation noise in the (standardised) target's squared units, the mean over the rows
        of the last epoch.
    """

    variance: Tensor
    _squares: Tensor
    _n_rows: Tensor | float

    def __init__(self, n_members: int, n_outputs: int, n_raw: int) -> None:
        super().__init__()
        self.n_raw = n_raw
        shape = (n_members, 1, n_outputs)
        self.register_buffer("variance", torch.ones(shape, dtype=torch.float32))
        self.register_buffer("_squares", torch.zeros(shape, dtype=torch.float32))
        self._n_rows = 0.0

    def _count_rows(self, raw: Tensor, weight: Tensor | None) -> None:
        self._n_rows += raw.shape[1] if weight is None else weight.sum(1).view(-1, 1, 1)

    @staticmethod
    def _add_rows(total: Tensor, values: Tensor, weight: Tensor | None) -> None:
        total += (values if weight is None else values * weight.unsqueeze(-1)).sum(1, keepdim=True)

    def _mean_over_rows(self, total: Tensor) -> Tensor:
        mean = total / self._n_rows
        total.zero_()
        return mean
