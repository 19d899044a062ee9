"""Bayes by Backprop: a Gaussian posterior over every weight."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import ClassVar

import numpy as np
import torch
from sklearn.utils._param_validation import Interval
from torch import Tensor

from ._base import member_column
from ._noise import NoiseSource
from ._posterior import Posterior, WeightPosteriorLinear


class BayesByBackpropLinear(WeightPosteriorLinear):
    """Gaussian weights with a Gaussian or a two-Gaussian prior."""

    start: Tensor
    std: Tensor
    std2: Tensor
    mix: Tensor
    mixed: Tensor

    def __init__(
        self, n_in: int, n_out: int, rates: Sequence[float], families: Sequence[BayesByBackprop]
    ):
        super().__init__(n_in, n_out, rates, families)
        seconds = [family.prior_std2 for family in families]
        self.is_mixture = any(second is not None for second in seconds)
        columns = {
            "start": [family.log_sigma2 for family in families],
            "std": [family.prior_std for family in families],
            "std2": [second or 1.0 for second in seconds],
            "mix": [family.prior_mix for family in families],
            "mixed": [float(second is not None) for second in seconds],
        }
        for name, values in columns.items():
            self.register_buffer(name, member_column(values, self.weight), persistent=False)

    def initial_log_sigma2(self) -> Tensor:
        return self.start

    def kl(self, source: NoiseSource | None = None) -> Tensor:
        log_ratio = self.log_sigma2 - 2 * self.std.log()
        squares = (self.weight / self.std).square()
        closed = 0.5 * (log_ratio.exp() + squares - log_ratio - 1).sum((1, 2))
        if not self.is_mixture:
            return closed
        entropy = 0.5 * (self.log_sigma2 + math.log(2 * math.pi * math.e)).sum((1, 2))
        mixture = -entropy - self._expected_log_mixture(source)
        return torch.where(self.mixed.flatten() > 0, mixture, closed)

    def _kl_slopes(
        self, weight: Tensor, noise: Tensor, sigma2: Tensor, source: NoiseSource
    ) -> tuple[Tensor, Tensor]:
        half, precision = 0.5 * self.speed, self.std.pow(-2)
        closed = weight * precision, torch.addcmul(-half, sigma2, half * precision)
        if not self.is_mixture:
            return closed
        on_weight, on_noise = self._mixture_slopes(weight, sigma2.sqrt(), source)
        mixed = on_weight, on_noise.mul_(self.speed).sub_(half)
        choices = [torch.where(self.mixed > 0, a, b) for a, b in zip(mixed, closed, strict=True)]
        return choices[0], choices[1]

    def _mixture_slopes(
        self, weight: Tensor, sigma: Tensor, source: NoiseSource
    ) -> tuple[Tensor, Tensor]:
        """Derivatives of minus the expected log density: see `_expected_log_mixture`.

        The slope of the log density at w is minus w times the precision that w sees: those of
        the components, weighted by their responsibilities.
        """
        first, second = self.std.pow(-2), self.std2.pow(-2)
        odds = self.mix.log() - (-self.mix).log1p() + self.std2.log() - self.std.log()
        shift = sigma.mul_(source.normal(*weight.shape[1:]))
        slopes = []
        for place in (weight + shift, weight - shift):
            share = torch.addcmul(odds, place.square(), 0.5 * (second - first)).sigmoid_()
            slopes.append(place.mul_(torch.addcmul(second, share, first - second)))
        plus, minus = slopes
        on_log_sigma2 = (plus - minus).mul_(shift).mul_(0.25)
        return plus.add_(minus).mul_(0.5), on_log_sigma2

    def _expected_log_mixture(self, source: NoiseSource | None) -> Tensor:
        """Expectation of the mixture prior's log density under the posterior: ``(members,)``."""
        sigma = (0.5 * self.log_sigma2).exp()
        if source is not None:
            # A pair of opposite numbers: what is odd in them, the gradient's largest noise on
            # a log-variance, cancels.
            shift = sigma * source.normal(*self.weight.shape[1:])
            both = self._log_mixture(self.weight + shift) + self._log_mixture(self.weight - shift)
            return 0.5 * both
        nodes = self._nodes(sigma)
        shares = np.exp(-0.5 * nodes**2)
        shares /= shares.sum()
        values = [
            float(share) * self._log_mixture(self.weight + float(node) * sigma)
            for node, share in zip(nodes, shares, strict=True)
        ]
        return torch.stack(values).sum(0)

    def _nodes(self, sigma: Tensor) -> np.ndarray:
        """Nodes of the trapezoid rule that stands in for Monte Carlo, in standard deviations.

        No further apart than the narrower component is wide, down to an eighth.
        """
        narrower = torch.minimum(self.std, self.std2)[self.mixed > 0].min()
        # In this order a sigma that is not a number ends at an eighth.
        step = min(1 / 2, max(1 / 8, float(narrower / sigma.detach().max())))
        half = math.ceil(6 / step)
        return np.linspace(-6.0, 6.0, 2 * half + 1)

    def _log_mixture(self, weight: Tensor) -> Tensor:
        """Log density of the mixture at given weights, summed over the map: ``(members,)``."""
        squares = weight.square()
        first = self.mix.log() - self.std.log() - squares / (2 * self.std.square())
        second = (-self.mix).log1p() - self.std2.log() - squares / (2 * self.std2.square())
        return (torch.logaddexp(first, second) - 0.5 * math.log(2 * math.pi)).sum((1, 2))


@dataclass(eq=False, repr=False)
class BayesByBackprop(Posterior):
    """Bayes by Backprop: each weight has a Gaussian posterior with a mean and variance of its own.

    Parameters
    ----------
    prior_std : float, default=1.0
        Standard deviation of the weights' prior ``N(0, prior_std^2)``. Inputs must be scaled.
    prior_std2 : float, default=None
        Standard deviation of a second component: the prior is then
        ``prior_mix N(0, prior_std^2) + (1 - prior_mix) N(0, prior_std2^2)``.
    prior_mix : float, default=0.5
        Share of the first component.
    log_sigma2 : float, default=-10.0
        Where the weights' log-variances start: nearly without noise.
    kl_weight : float, default=1.0
        Factor on the KL. Below one is a "cold" posterior, narrower than Bayes' rule says.
    kl_warmup : int, default=0
        Epochs over which the factor grows from zero. Training does not stop before.
    n_train : int, default=None
        Rows that the KL is divided by. None is the rows of the call; with `partial_fit`, give
        the rows of the whole stream.
    noise_speed : float, default=1.0
        How much further than a weight a log-variance travels in one step of Adam.

    Notes
    -----
    Every weight of the network has noise, the inputs' and outputs' too, whatever
    `dropout_rate` and `input_dropout_rate` say. Biases have none, and no prior.

    References
    ----------
    Blundell, Cornebise, Kavukcuoglu and Wierstra (2015). Weight uncertainty in neural networks.
    ICML.

    Kingma, Salimans and Welling (2015). Variational dropout and the local reparameterization
    trick. NeurIPS.

    Hernandez-Lobato et al. (2016). Black-box alpha divergence minimization. ICML. (The start
    near -10.)

    Examples
    --------
    >>> from skdropout import DropoutMLPRegressor
    >>> from skdropout.families import BayesByBackprop
    >>> model = DropoutMLPRegressor(dropout=BayesByBackprop(prior_std=0.5), alpha=0.0)
    >>> model.set_params(dropout__prior_std=0.3).dropout
    BayesByBackprop(prior_std=0.3)
    """

    name = "bayes_by_backprop"
    layer = BayesByBackpropLinear

    prior_std: float = 1.0
    prior_std2: float | None = None
    prior_mix: float = 0.5
    log_sigma2: float = -10.0

    _parameter_constraints: ClassVar[dict] = {
        **Posterior._parameter_constraints,
        "prior_std": [Interval(Real, 0, None, closed="neither")],
        "prior_std2": [Interval(Real, 0, None, closed="neither"), None],
        "prior_mix": [Interval(Real, 0, 1, closed="neither")],
        "log_sigma2": [Interval(Real, -30, 10, closed="both")],
    }
