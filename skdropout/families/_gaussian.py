"""Gaussian dropout."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from ._base import Family, member_column
from ._maps import GainMoments
from ._multiplicative import MultiplicativeLinear, drawn_normal_factors, normal_moments
from ._noise import NoiseStreams


class GaussianLinear(MultiplicativeLinear):
    """Inputs are multiplied by ``1 + sqrt(alpha) eps``, ``alpha = rate / (1 - rate)``."""

    scale: Tensor

    def __init__(self, n_in: int, n_out: int, rates: Sequence[float], families: Sequence[Family]):
        super().__init__(n_in, n_out, rates, families)
        values = np.asarray(rates, dtype=np.float64)
        std = np.sqrt(values / (1.0 - values))
        self.register_buffer("scale", member_column(std, self.weight), persistent=False)

    def training_gain(self, n_rows: int, source: NoiseStreams) -> Tensor:
        return source.normal(n_rows, self.n_gains) * self.scale + 1.0

    def drawn_gain(self, n_draws: int, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        return drawn_normal_factors(self.scale, n_draws, self.n_gains, rngs)

    def gain_moments(self) -> GainMoments:
        return normal_moments(self.scale.double().square().view(-1, 1))


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
