"""The likelihood of real targets for networks that were trained to predict a log variance."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from .base import of_cells
from .normal import NormalLikelihood, cell_weights


class LogVarianceLikelihood(NormalLikelihood):
    """Real targets with Gaussian noise; raw outputs are means, then logarithms of variances.

    `HeteroscedasticLikelihood` is safer to train with. This one takes what others have trained.

    Parameters
    ----------
    n_members, n_outputs : int
    """

    def __init__(self, n_members: int, n_outputs: int) -> None:
        super().__init__(n_members, n_outputs, n_raw=2 * n_outputs)

    def loss(self, raw: Tensor, y: Tensor) -> Tensor:
        y, missing = self.present(y)
        mean, log_variance = raw.chunk(2, -1)
        squares = (mean - y).square() * (-log_variance).exp()
        cells = 0.5 * (squares + log_variance + math.log(2 * math.pi))
        return of_cells(cells, missing).sum(-1)

    def gradient(self, raw: Tensor, y: Tensor) -> Tensor:
        y, missing = self.present(y)
        mean, log_variance = raw.chunk(2, -1)
        weighed = (mean - y) * (-log_variance).exp()
        of_log_variance = 0.5 * (1 - (mean - y) * weighed)
        return torch.cat([of_cells(weighed, missing), of_cells(of_log_variance, missing)], -1)

    def observe(self, raw: Tensor, y: Tensor, weight: Tensor | None) -> None:
        y, missing = self.present(y)
        weights = cell_weights(weight, missing)
        self._add_rows(self._squares, raw.chunk(2, -1)[1].exp().expand_as(y), weights)
        self._count_rows(raw, weights)

    def epoch_end(self) -> None:
        self.variance.copy_(self._mean_over_rows(self._squares, self.variance))
        self._n_rows = 0.0

    def distribution(self, raw: Tensor, member: int) -> Independent:
        mean, log_variance = raw.chunk(2, -1)
        normal = Normal(mean, (log_variance / 2).exp(), validate_args=False)
        return Independent(normal, 1, validate_args=False)
