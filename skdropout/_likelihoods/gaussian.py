"""The likelihood of real targets whose noise is the same for all rows."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from .base import of_cells
from .normal import SMALLEST_VARIANCE, NormalLikelihood, cell_weights


class GaussianLikelihood(NormalLikelihood):
    """Real targets with Gaussian noise, one learned variance per member and output.

    The variance has a closed form given the network, the mean squared residual, so it is not
    descended on but set at the end of each epoch from the residuals of the noisy passes. A
    gradient step of 0.001 on its logarithm would need thousands of steps to get there.

    Parameters
    ----------
    n_members, n_outputs : int
    """

    def __init__(self, n_members: int, n_outputs: int) -> None:
        super().__init__(n_members, n_outputs, n_raw=n_outputs)

    def loss(self, raw: Tensor, y: Tensor) -> Tensor:
        y, missing = self.present(y)
        log_scale = (2 * math.pi * self.variance).log()
        cells = torch.addcdiv(log_scale, (raw - y).square(), self.variance)
        return of_cells(cells, missing).sum(-1) * 0.5

    def gradient(self, raw: Tensor, y: Tensor) -> Tensor:
        y, missing = self.present(y)
        return of_cells((raw - y).div_(self.variance), missing)

    def gradient_scale(self) -> Tensor | None:
        # The gradient grows as 1 / variance while the network fits better and better. Gradient
        # descent would diverge, and Adam, whose steps lag behind, take larger ones by accident.
        # Undone, the steps are those of the squared error.
        return self.variance.amin((1, 2))

    def observe(self, raw: Tensor, y: Tensor, weight: Tensor | None) -> None:
        y, missing = self.present(y)
        weights = cell_weights(weight, missing)
        self._add_rows(self._squares, (raw - y).square(), weights)
        self._count_rows(raw, weights)

    def epoch_end(self) -> None:
        mean = self._mean_over_rows(self._squares, self.variance)
        self.variance.copy_(mean).clamp_min_(SMALLEST_VARIANCE)
        self._n_rows = 0.0

    def distribution(self, raw: Tensor, member: int) -> Independent:
        std = self.variance[member].sqrt().to(raw.dtype)
        return Independent(Normal(raw, std, validate_args=False), 1, validate_args=False)
