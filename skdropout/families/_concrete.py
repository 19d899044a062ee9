"""Concrete dropout: Bernoulli dropout whose rates are learned."""

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
from ._maps import GainMoments
from ._multiplicative import MultiplicativeLinear, bernoulli_moments, drawn_masks
from ._noise import NoiseStreams

# Rates closer to 0 or 1 than this have collapsed.
_COLLAPSED = 1e-3


class ConcreteLinear(MultiplicativeLinear):
    """Inputs are dropped at one learned rate per member; a rate of zero stays zero."""

    learned = True
    noise: Tensor | None
    is_learned: Tensor
    speed: Tensor
    temperature: Tensor
    precision: Tensor

    def __init__(self, n_in: int, n_out: int, rates: Sequence[float], families: Sequence[Concrete]):
        super().__init__(n_in, n_out, rates, families)
        start = np.asarray(rates, dtype=np.float64)
        columns = {
            "is_learned": [float(rate > 0) for rate in rates],
            "speed": [family.noise_speed for family in families],
            "temperature": [family.temperature for family in families],
            "precision": [family.length_scale**2 for family in families],
        }
        for name, values in columns.items():
            self.register_buffer(name, member_column(values, self.weight), persistent=False)
        logit = np.log(np.where(start > 0, start, 0.5)) - np.log1p(-start)
        # Divided by the speed, as the log-variances of the weight posteriors are.
        self.noise = nn.Parameter(member_column(logit, self.weight) / self.speed)
        if not self.noisy:
            self.noise = None

    def _logit(self) -> Tensor:
        assert self.noise is not None, "asked for only where a rate is learned"
        return self.noise * self.speed

    def rate(self) -> Tensor:
        """Probability of dropping an input: ``(members, 1, 1)``."""
        if self.noise is None:
            return torch.zeros_like(self.is_learned)
        return self._logit().sigmoid() * self.is_learned

    def training_gain(self, n_rows: int, source: NoiseStreams) -> Tensor:
        # 16 bits to a number in the open interval (0, 1), and on to a logistic number.
        bits = source.bits(n_rows, self.n_gains).to(torch.float32)
        logistic = bits.add_(2**15 + 0.5).mul_(2**-16).logit_()
        keep = torch.sigmoid((logistic - self._logit()) / self.temperature)
        gain = keep / (1 - self.rate())
        return gain if self.is_learned.all() else torch.where(self.is_learned > 0, gain, 1.0)

    def drawn_gain(self, n_draws: int, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        rates = self.rate().flatten().tolist()
        return drawn_masks(rates, n_draws, self.n_gains, rngs)

    def gain_moments(self) -> GainMoments:
        return bernoulli_moments(self.learned_rates(), self.weight)

    def gain_kl(self) -> Tensor:
        rate = self.rate()
        squares = self.weight.square().sum((1, 2), keepdim=True)
        prior = self.precision * squares / (2 * (1 - rate))
        if self.noise is None:
            return prior.flatten()
        logit = self._logit()
        # Entropy of a Bernoulli variable from its logit, without a logarithm of zero.
        entropy = nn.functional.softplus(logit) - logit.sigmoid() * logit
        return (prior - self.n_gains * self.is_learned * entropy).flatten()

    def learned_rates(self) -> np.ndarray:
        return self.rate().detach().flatten().double().cpu().numpy()

    def complaint(self) -> str | None:
        rates = self.learned_rates()[self.is_learned.flatten().cpu().numpy() > 0]
        collapsed = rates[(rates < _COLLAPSED) | (rates > 1 - _COLLAPSED)]
        if not len(collapsed):
            return None
        return (
            f"a learned dropout rate collapsed to {collapsed[0]:.2g}, where it says nothing "
            "about uncertainty any more; a larger length_scale or kl_weight, fewer units or a "
            "smaller noise_speed may help"
        )


@dataclass(eq=False, repr=False)
class Concrete(Posterior):
    """Concrete dropout: one learned dropout rate per layer.

    While training, the mask is relaxed to numbers between 0 and 1, so that the rate has a
    gradient. A draw has a hard mask at the learned rate.

    Parameters
    ----------
    temperature : float, default=0.1
        Of the relaxed mask: small is close to a hard one, with a noisier gradient.
    length_scale : float, default=0.01
        Of the weights' prior ``N(0, 1 / length_scale^2)``: large pulls weights to zero harder,
        and rates down.
    kl_weight : float, default=1.0
        Factor on the KL.
    kl_warmup : int, default=0
        Epochs over which the factor grows from zero. Training does not stop before.
    n_train : int, default=None
        Rows that the KL is divided by. None is the rows of the call; with `partial_fit`, give
        the rows of the whole stream.
    noise_speed : float, default=1.0
        How much further than a weight the logit of a rate travels in one step of Adam.

    Notes
    -----
    `dropout_rate` and `input_dropout_rate` are where learning starts. A rate of zero stays zero,
    so the inputs have noise only with ``input_dropout_rate > 0``.

    References
    ----------
    Gal, Hron and Kendall (2017). Concrete dropout. NeurIPS.

    Examples
    --------
    >>> from skdropout import DropoutMLPRegressor
    >>> from skdropout.families import Concrete
    >>> DropoutMLPRegressor(dropout=Concrete(length_scale=0.1), input_dropout_rate=0.1).dropout
    Concrete(length_scale=0.1)
    """

    name = "concrete"
    layer = ConcreteLinear

    temperature: float = 0.1
    length_scale: float = 0.01

    _parameter_constraints: ClassVar[dict] = {
        **Posterior._parameter_constraints,
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "length_scale": [Interval(Real, 0, None, closed="left")],
    }
