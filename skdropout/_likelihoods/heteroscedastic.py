"""The likelihood of real targets whose noise differs from row to row."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from .base import of_cells
from .normal import SMALLEST_VARIANCE, NormalLikelihood, cell_weights

# Largest logarithm of a predicted variance over the common scale, and the power of the variance
# that weighs a row's mean while training. Both were chosen on the training parts of public tables.
_SHAPE_BOUND = 3.0
_BETA = 0.25


class HeteroscedasticLikelihood(NormalLikelihood):
    """Real targets with Gaussian noise whose variance the network predicts, row by row.

    Raw outputs are the means, then for each output how far the logarithm of the variance is
    above that of a common scale. The scale has a closed form given the network, as in
    `GaussianLikelihood`; the network learns the shape only, which is bounded: no row's variance
    is beyond exp(+-3) times the scale. So it cannot collapse on a few rows that the network
    interpolates.

    The likelihood's gradient of the mean is divided by the variance, so rows with a large
    variance at first would never be fitted. `objective` multiplies it with the fourth root of the
    variance, held fixed (after Seitzer et al. 2022, who weigh the variance's gradient too).

    That alone does not keep rows that are merely fitted late from being taken for noisy ones. So
    the shape can be held constant until `release`: training is then that of `GaussianLikelihood`.

    Parameters
    ----------
    n_members, n_outputs : int
    constant_first : bool, default=False
        Hold the shape until `release`.

    Attributes
    ----------
    scale : Tensor of shape (members, 1, n_outputs)
        Common scale of the variances.
    released : Tensor of shape (members, 1, 1)
        One for members whose variance differs from row to row, zero while it is constant.
    """

    scale: Tensor
    released: Tensor
    _variances: Tensor

    def __init__(self, n_members: int, n_outputs: int, constant_first: bool = False) -> None:
        super().__init__(n_members, n_outputs, n_raw=2 * n_outputs)
        self.register_buffer("scale", torch.ones_like(self.variance))
        self.register_buffer("_variances", torch.zeros_like(self.variance))
        released = torch.full(
            (n_members, 1, 1), 0.0 if constant_first else 1.0, dtype=torch.float32
        )
        self.register_buffer("released", released)

    def release(self, members: Tensor | None = None) -> None:
        self.released[slice(None) if members is None else members] = 1.0

    @staticmethod
    def _split(raw: Tensor, released: Tensor) -> tuple[Tensor, Tensor]:
        """Means, and logarithms of the variances over the scale."""
        mean, shape = raw.chunk(2, -1)
        return mean, (shape / _SHAPE_BOUND).tanh() * (_SHAPE_BOUND * released)

    def _neg_log_densities(self, mean: Tensor, shape: Tensor, y: Tensor) -> Tensor:
        """Negative log densities of the outputs, ``(members, rows, n_outputs)``."""
        squares = (mean - y).square() * (-shape).exp() / self.scale
        return 0.5 * (squares + shape + (2 * math.pi * self.scale).log())

    def loss(self, raw: Tensor, y: Tensor) -> Tensor:
        y, missing = self.present(y)
        cells = self._neg_log_densities(*self._split(raw, self.released), y)
        return of_cells(cells, missing).sum(-1)

    def surrogate_loss(self, raw: Tensor, y: Tensor) -> Tensor:
        y, missing = self.present(y)
        mean, shape = self._split(raw, self.released)
        weighed = self._neg_log_densities(mean, shape.detach(), y) * (_BETA * shape.detach()).exp()
        cells = weighed + self._neg_log_densities(mean.detach(), shape, y)
        return of_cells(cells, missing).sum(-1)

    def gradient(self, raw: Tensor, y: Tensor) -> Tensor:
        y, missing = self.present(y)
        mean, shape = self._split(raw, self.released)
        residual = mean - y
        of_mean = residual * ((_BETA - 1) * shape).exp() / self.scale
        slope = self.released * (1 - (shape / _SHAPE_BOUND).square())
        of_shape = 0.5 * slope * (1 - residual.square() * (-shape).exp() / self.scale)
        return torch.cat([of_cells(of_mean, missing), of_cells(of_shape, missing)], -1)

    def gradient_scale(self) -> Tensor | None:
        return self.scale.amin((1, 2))

    def observe(self, raw: Tensor, y: Tensor, weight: Tensor | None) -> None:
        y, missing = self.present(y)
        weights = cell_weights(weight, missing)
        mean, shape = self._split(raw, self.released)
        self._add_rows(self._squares, (mean - y).square() * (-shape).exp(), weights)
        self._add_rows(self._variances, shape.exp(), weights)
        self._count_rows(raw, weights)

    def epoch_end(self) -> None:
        shape = self._mean_over_rows(self._variances, self.variance / self.scale)
        scale = self._mean_over_rows(self._squares, self.scale)
        self.scale.copy_(scale).clamp_min_(SMALLEST_VARIANCE)
        self.variance.copy_(self.scale * shape)
        self._n_rows = 0.0

    def distribution(self, raw: Tensor, member: int) -> Independent:
        mean, shape = self._split(raw, self.released[member].to(raw.dtype))
        std = (shape * 0.5).exp() * self.scale[member].sqrt().to(raw.dtype)
        return Independent(Normal(mean, std, validate_args=False), 1, validate_args=False)
