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

    def _count_rows(self, raw: Tensor, weights: Tensor | None) -> None:
        self._n_rows += raw.shape[1] if weights is None else weights.sum(1, keepdim=True)

    @staticmethod
    def _add_rows(total: Tensor, values: Tensor, weights: Tensor | None) -> None:
        total += (values if weights is None else values * weights).sum(1, keepdim=True)

    def _mean_over_rows(self, total: Tensor, before: Tensor) -> Tensor:
        """Mean over what was observed, and what was `before` in columns without a cell."""
        mean = total / self._n_rows
        total.zero_()
        if not self.gaps:
            return mean
        return torch.where(torch.as_tensor(self._n_rows) > 0, mean, before)


def cell_weights(weight: Tensor | None, missing: Tensor | None) -> Tensor | None:
    """Weights of rows as those of cells, ``(members or 1, rows, n_outputs or 1)``; None for ones.

    Parameters
    ----------
    weight : Tensor of shape (members or 1, rows) or None
    missing : Tensor of bool of shape (members or 1, rows, n_outputs) or None
        Cells that count nothing.
    """
    rows = None if weight is None else weight.unsqueeze(-1)
    if missing is None:
        return rows
    present = (~missing).float()
    return present if rows is None else present * rows
