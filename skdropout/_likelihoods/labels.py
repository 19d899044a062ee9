"""The likelihood of several labels per row."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Bernoulli, Independent

from .base import Likelihood, of_cells


class MultilabelLikelihood(Likelihood):
    """Labels that a row has or has not, one raw output each: the log odds that it has it.

    Given the network they are independent.

    Parameters
    ----------
    n_labels : int
    """

    def __init__(self, n_labels: int) -> None:
        super().__init__()
        self.n_raw = n_labels

    def loss(self, raw: Tensor, y: Tensor) -> Tensor:
        y, missing = self.present(y)
        cells = F.binary_cross_entropy_with_logits(raw, y.expand(raw.shape), reduction="none")
        return of_cells(cells, missing).sum(-1)

    def gradient(self, raw: Tensor, y: Tensor) -> Tensor:
        y, missing = self.present(y)
        return of_cells(raw.sigmoid().sub_(y), missing)

    def distribution(self, raw: Tensor, member: int) -> Independent:
        labels = Bernoulli(logits=raw, validate_args=False)
        return Independent(labels, 1, validate_args=False)

    def probabilities(self, raw: Tensor, out: Tensor | None = None) -> Tensor:
        """Of the labels: ``(..., rows, n_labels)``. `out` is memory for them, or `raw` itself."""
        return torch.sigmoid(raw, out=out)
