"""No noise, as a family of its own, so that the network needs no special case."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from ._base import Family, MultiplicativeLinear
from ._noise import NoiseSource


class NoiselessLinear(MultiplicativeLinear):
    """The plain map: the factor on every input is one."""

    noisy = False

    def training_gain(self, n_rows: int, source: NoiseSource) -> Tensor:
        return self.weight.new_ones(1, n_rows, self.weight.shape[1])

    def drawn_gain(self, n_draws: int, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        return np.ones((len(self.weight), n_draws, self.weight.shape[1]), dtype=np.float32)


class Noiseless(Family):
    """No noise: what ``dropout=None`` stands for.

    Uncertainty then needs several members (`n_members`), a deep ensemble.

    References
    ----------
    Lakshminarayanan, Pritzel and Blundell (2017). Simple and scalable predictive uncertainty
    estimation using deep ensembles. NeurIPS.
    """

    layer = NoiselessLinear
