"""Gaussian dropout."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ._base import Family, GainMoments, MultiplicativeLinear, member_column
from ._noise import NoiseSource


class GaussianLinear(MultiplicativeLinear):
    """Inputs are multiplied by ``1 + sqrt(alpha) eps``, ``alpha = rate / (1 - rate)``."""

    scale: Tensor

    def __init__(self, n_in: int, n_out: int, rates: Sequence[float], families: Sequence[Family]):
        super().__init__(n_in, n_out, rates, families)
        values = np.asarray(rates, dtype=np.float64)
        std = np.sqrt(values / (1.0 - values))
        self.register_buffer("scale", member_column(std, self.weight), persistent=False)

    def training_gain(self, n_rows: int, source: NoiseSource) -> Tensor:
        return source.normal(n_rows, self.weight.shape[1]) * self.scale + 1.0

    def drawn_gain(self, n_draws: int, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        n_in = self.weight.shape[1]
        gains = [
            1.0 + std * rng.standard_normal((n_draws, n_in), dtype=np.float32)
            for rng, std in zip(rngs, self.scale.flatten().cpu().numpy(), strict=True)
        ]
        return np.stack(gains).astype(np.float32, copy=False)

    def gain_moments(self) -> GainMoments:
        alpha = self.scale.double().square().view(-1, 1)
        return GainMoments(alpha, torch.zeros_like(alpha), 3 * alpha.square())


class Gaussian(Family):
    """Gaussian dropout: multiplicative noise with the Bernoulli mask's mean and variance.

    A unit is multiplied by ``1 + sqrt(alpha) eps`` with ``alpha = rate / (1 - rate)`` and
    standard normal `eps`. No unit is ever switched off entirely, the noise is smooth.

    References
    ----------
    Wang and Manning (2013). Fast dropout training. ICML.

    Srivastava et al. (2014). Dropout: a simple way to prevent neural networks from overfitting.
    Journal of Machine Learning Research 15, section 10.

    Examples
    --------
    >>> from skdropout import DropoutMLPRegressor
    >>> DropoutMLPRegressor(dropout="gaussian", dropout_rate=0.1).dropout
    'gaussian'
    """

    name = "gaussian"
    layer = GaussianLinear
