"""No noise, as a family of its own, so that the network needs no special case."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ._base import Family, NoisyLinear
from ._maps import LinearMoments, PlainLinear
from ._noise import NoiseStreams
from ._reverse import ReversePass


class NoiselessLinear(NoisyLinear):
    """The plain map, whatever the rates."""

    noisy = False

    def forward(self, x: Tensor, source: NoiseStreams) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)

    def draw(self, n_draws: int, rngs: Sequence[np.random.Generator]) -> PlainLinear:
        return self.plain()

    def kl(self, source: NoiseStreams | None = None) -> Tensor:
        return self.weight.new_zeros(len(self.weight))

    def moments(self) -> LinearMoments:
        return LinearMoments.of_plain(self.plain())

    def reverse_pass(self, rectified: bool) -> type[ReversePass]:
        return NoiselessPass

    @classmethod
    def is_exact_at_zero(cls) -> bool:
        return True


class NoiselessPass(ReversePass):
    """The product alone."""

    def noise(self, n_rows: int, source: NoiseStreams) -> None:
        return None

    def forward(self, x: Tensor, noise: Tensor | None) -> tuple[Tensor, None]:
        return self.product.forward(x), None

    def backward(self, x: Tensor, kept: None, gradient: Tensor) -> None:
        self.product.set_gradients(x, gradient)

    def gradient_of_inputs(self, x: Tensor, kept: None, gradient: Tensor) -> Tensor:
        return self.product.gradient_of_inputs(gradient)


class Noiseless(Family):
    """No noise: what ``dropout=None`` stands for.

    Uncertainty then needs several members (`n_members`), a deep ensemble.

    References
    ----------
    Lakshminarayanan, Pritzel and Blundell (2017). Simple and scalable predictive uncertainty
    estimation using deep ensembles. NeurIPS.
    """

    layer = NoiselessLinear
    uses_rate = False
