"""The likelihood of counts."""

from __future__ import annotations

from torch import Tensor
from torch.distributions import Independent, Poisson

from .base import Likelihood, of_cells


class PoissonLikelihood(Likelihood):
    """Counts. A raw output is the logarithm of the expected count over the mean count.

    Parameters
    ----------
    n_members : int
    means : Tensor of shape (n_outputs,)
        Mean counts, where training starts from.
    """

    means: Tensor

    def __init__(self, n_members: int, means: Tensor) -> None:
        super().__init__()
        self.n_raw = len(means)
        self.register_buffer("means", means.repeat(n_members, 1, 1))

    def loss(self, raw: Tensor, y: Tensor) -> Tensor:
        y, missing = self.present(y)
        log_rate = raw + self.means.log()
        return of_cells(log_rate.exp() - y * log_rate + (y + 1).lgamma(), missing).sum(-1)

    def gradient(self, raw: Tensor, y: Tensor) -> Tensor:
        y, missing = self.present(y)
        return of_cells(raw.exp().mul_(self.means).sub_(y), missing)

    def gradient_scale(self) -> Tensor:
        return 1 / self.means.amax((1, 2))

    def distribution(self, raw: Tensor, member: int) -> Independent:
        rate = raw.exp() * self.means[member].to(raw.dtype)
        return Independent(Poisson(rate, validate_args=False), 1, validate_args=False)
