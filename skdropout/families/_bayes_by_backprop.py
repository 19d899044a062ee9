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

# The trapezoid rule that stands in for Monte Carlo where no noise is given: nodes in standard
# deviations. They resolve a prior component an eighth as wide as the posterior.
_NODES = np.linspace(-6.0, 6.0, 97)


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

    def _add_kl_gradient(self, factors: Tensor, source: NoiseSource, sigma2: Tensor) -> None:
        assert self.weight.grad is not None
        assert self.noise.grad is not None
        half = 0.5 * factors * self.speed
        # The part of the entropy, which both priors share.
        self.noise.grad.sub_(half)
        closed = self.std.pow(-2)
        if self.is_mixture:
            self._add_mixture_gradient(factors * self.mixed, source, sigma2.sqrt())
            closed = closed * (1 - self.mixed)
        if not self.is_mixture or not self.mixed.all():
            self.weight.grad.addcmul_(self.weight, factors * closed)
            self.noise.grad.addcmul_(sigma2, half * closed)

    def _add_mixture_gradient(self, factors: Tensor, source: NoiseSource, sigma: Tensor) -> None:
        """Of minus the expected log density, with the noise of `_expected_log_mixture`.

        The log density's slope at w is minus w times the precision that w sees: the components'
        precisions, weighted by their responsibilities.
        """
        assert self.weight.grad is not None
        assert self.noise.grad is not None
        first, second = self.std.pow(-2), self.std2.pow(-2)
        odds = self.mix.log() - (-self.mix).log1p() + self.std2.log() - self.std.log()
        shift = sigma.mul_(source.normal(*self.weight.shape[1:]))
        slopes = []
        for place in (self.weight + shift, self.weight - shift):
            share = torch.addcmul(odds, place.square(), 0.5 * (second - first)).sigmoid_()
            precision = torch.addcmul(second, share, first - second)
            slopes.append(place.mul_(precision))
        plus, minus = slopes
        self.noise.grad.addcmul_((plus - minus).mul_(shift), 0.25 * factors * self.speed)
        self.weight.grad.addcmul_(plus.add_(minus), 0.5 * factors)

    def _expected_log_mixture(self, source: NoiseSource | None) -> Tensor:
        """Expectation of the mixture prior's log density under the posterior: ``(members,)``."""
        sigma = (0.5 * self.log_sigma2).exp()
        if source is not None:
            # A pair of opposite numbers: what is odd in them, the gradient's largest noise on
            # a log-variance, cancels.
            shift = sigma * source.normal(*self.weight.shape[1:])
            both = self._log_mixture(self.weight + shift) + self._log_mixture(self.weight - shift)
            return 0.5 * both
        shares = np.exp(-0.5 * _NODES**2)
        shares /= shares.sum()
        values = [
            float(share) * self._log_mixture(self.weight + float(node) * sigma)
            for node, share in zip(_NODES, shares, strict=True)
        ]
        return torch.stack(values).sum(0)

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
