"""Variational dropout with noise on units: Gaussian dropout whose rates are learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from .._support.sklearn import Interval
from ._base import Posterior, member_column
from ._log_uniform import log_uniform_kl, log_uniform_kl_slope
from ._maps import GainMoments
from ._multiplicative import (
    MultiplicativeLinear,
    MultiplicativePass,
    drawn_normal_factors,
    normal_moments,
)
from ._noise import NoiseStreams
from ._reverse import ReversePass

# Where learning starts at most, as a share of the largest alpha: at the bound itself the noise
# would have no gradient.
_MOST_AT_START = 0.9


class VariationalGaussianLinear(MultiplicativeLinear):
    """Inputs are multiplied by ``1 + sqrt(alpha) eps``, each with a learned alpha of its own.

    Attributes
    ----------
    noise : Parameter of shape (members, 1, n_gains) or None
        The logit of ``alpha`` as a share of the largest, divided by the speed. None where no
        member has noise.
    """

    learned = True
    noise: Tensor | None
    is_learned: Tensor
    speed: Tensor
    most: Tensor

    def __init__(
        self, n_in: int, n_out: int, rates: Sequence[float], families: Sequence[VariationalGaussian]
    ):
        super().__init__(n_in, n_out, rates, families)
        start = np.asarray(rates, dtype=np.float64)
        most = np.exp([family.max_log_alpha for family in families])
        columns: dict[str, Sequence[float] | np.ndarray] = {
            "is_learned": [float(rate > 0) for rate in rates],
            "speed": [family.noise_speed for family in families],
            "most": most,
        }
        for name, values in columns.items():
            self.register_buffer(name, member_column(values, self.weight), persistent=False)
        share = np.where(start > 0, start / (1.0 - start) / most, 0.5)
        share = np.minimum(share, _MOST_AT_START)
        logit = member_column(np.log(share) - np.log1p(-share), self.weight) / self.speed
        self.noise = nn.Parameter(logit.expand(-1, 1, n_in).clone())
        if not self.noisy:
            self.noise = None

    def reset_noise(self) -> None:
        if self.noise is not None:
            # All start alike; inputs that share their noise have one of them.
            self.noise = nn.Parameter(self.noise.detach()[..., : self.n_gains].clone())

    def log_alpha(self) -> Tensor:
        """Logarithm of the noise's variance on each input; means nothing at a rate of zero."""
        assert self.noise is not None, "asked for only where noise is learned"
        return self.most.log() + nn.functional.logsigmoid(self.noise * self.speed)

    def alpha(self) -> Tensor:
        """Variance of the noise on each input: ``(members, 1, n_gains)``."""
        if self.noise is None:
            return self.is_learned.expand(-1, 1, self.n_gains)
        return self.log_alpha().exp() * self.is_learned

    def std(self) -> Tensor:
        """Standard deviation of the noise on each input: ``(members, 1, n_gains)``."""
        # The root of an alpha of zero would have no gradient.
        return (0.5 * self.log_alpha()).exp() * self.is_learned

    def training_gain(self, n_rows: int, source: NoiseStreams) -> Tensor:
        return source.normal(n_rows, self.n_gains) * self.std() + 1.0

    def drawn_gain(self, n_draws: int, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        return drawn_normal_factors(self.std(), n_draws, self.n_gains, rngs)

    def gain_moments(self) -> GainMoments:
        return normal_moments(self.alpha().detach().double().squeeze(1))

    def gain_kl(self) -> Tensor | None:
        """Divergence of the noise from the log-uniform prior, up to a constant."""
        if self.noise is None:
            return None
        return (log_uniform_kl(self.log_alpha()) * self.is_learned).sum((1, 2))

    def learned_rates(self) -> np.ndarray:
        alpha = self.alpha().detach().double()
        return (alpha / (1 + alpha)).mean((1, 2)).cpu().numpy()

    def own_reverse_pass(self, rectified: bool) -> type[ReversePass] | None:
        if not self.noisy:
            return MultiplicativePass
        return LearnedFactorPass if self.sources is None else None


class LearnedFactorPass(ReversePass):
    """Inputs times ``1 + std normal``, where each input's std is learned."""

    def __init__(self, linear: VariationalGaussianLinear) -> None:
        super().__init__(linear)
        assert linear.noise is not None, "without noise it is a `MultiplicativePass`"
        assert linear.noise.grad is not None, "every parameter has a gradient"
        self.linear, self.n_in = linear, linear.weight.shape[1]
        self.logits, self.logit_gradients = linear.noise.detach(), linear.noise.grad
        self.own_gradient = self.product.own_axes(linear.noise.grad)
        self.on_inputs = self.product.weight

    def noise(self, n_rows: int, source: NoiseStreams) -> Tensor:
        return source.normal(n_rows, self.n_in)

    def forward(self, x: Tensor, noise: Tensor | None) -> tuple[Tensor, tuple]:
        assert noise is not None
        std = self.linear.std()
        slope = self.product.own_axes(0.5 * std * self._log_alpha_slope())
        std = self.product.own_axes(std)
        gain = torch.addcmul(torch.ones_like(std), noise, std)
        inputs = x * gain
        return self.product.forward(inputs), (inputs, gain, noise, slope)

    def backward(self, x: Tensor, kept: tuple, gradient: Tensor) -> None:
        inputs, _, noise, slope = kept
        self.product.set_gradients(inputs, gradient)
        self.on_inputs = self.product.gradient_of_inputs(gradient)
        on_std = (self.on_inputs * x).mul_(noise)
        torch.sum(on_std, -2, keepdim=True, out=self.own_gradient)
        self.own_gradient.mul_(slope)

    def gradient_of_inputs(self, x: Tensor, kept: tuple, gradient: Tensor) -> Tensor:
        return self.on_inputs.mul_(kept[1])

    def add_kl_gradient(self, factors: Tensor, source: NoiseStreams) -> None:
        slope = log_uniform_kl_slope(self.linear.log_alpha()) * self._log_alpha_slope()
        self.logit_gradients.addcmul_(slope * self.linear.is_learned, factors.view(-1, 1, 1))

    def _log_alpha_slope(self) -> Tensor:
        """Derivative of `log_alpha` by `noise`."""
        speed = self.linear.speed
        return speed * torch.sigmoid(-speed * self.logits)


@dataclass(eq=False, repr=False)
class VariationalGaussian(Posterior):
    """Variational dropout with noise on units: Gaussian dropout whose rates are learned.

    A unit is multiplied by ``1 + sqrt(alpha) eps``, and its alpha is learned. So all weights that
    leave a unit share its noise; in `Variational` each weight has noise of its own.

    Parameters
    ----------
    max_log_alpha : float, default=0.0
        ``log_alpha`` stays below. Zero: noise as large as the unit, a rate of a half.
    kl_weight : float, default=1.0
        Factor on the KL.
    kl_warmup : int, default=0
        Epochs over which the factor grows from zero. Training does not stop before.
    n_train : int, default=None
        Rows that the KL is divided by. None is the rows of the call; with `partial_fit`, give
        the rows of the whole stream.
    noise_speed : float, default=1.0
        How much further than a weight the logit of an alpha travels in one step of Adam.

    Notes
    -----
    `dropout_rate` and `input_dropout_rate` are where learning starts: ``alpha = rate / (1 -
    rate)``, but at most nine tenths of the largest. A rate of zero stays zero, so the inputs have
    noise only with ``input_dropout_rate > 0``. `dropout_rates_` are means over the units of
    ``alpha / (1 + alpha)``. No unit is ever off: `sparsity_` is zero.

    References
    ----------
    Kingma, Salimans and Welling (2015). Variational dropout and the local reparameterization
    trick. NeurIPS. (Correlated weight noise.)

    Molchanov, Ashukha and Vetrov (2017). Variational dropout sparsifies deep neural networks.
    ICML. (The approximation of the KL.)

    Examples
    --------
    >>> from skdropout import DropoutMLPRegressor
    >>> from skdropout.families import VariationalGaussian
    >>> family = VariationalGaussian(kl_weight=0.3)
    >>> DropoutMLPRegressor(dropout=family, input_dropout_rate=0.1).dropout
    VariationalGaussian(kl_weight=0.3)
    """

    name = "variational_gaussian"
    layer = VariationalGaussianLinear

    max_log_alpha: float = 0.0

    _parameter_constraints: ClassVar[dict] = {
        **Posterior._parameter_constraints,
        "max_log_alpha": [Interval(Real, None, None, closed="neither")],
    }
