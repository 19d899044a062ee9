"""Bayes by Backprop: a Gaussian posterior over every weight."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from .._support.sklearn import Interval
from ._base import Posterior, member_column
from ._noise import NoiseStreams
from ._weights import WeightPosteriorLinear


class BayesByBackpropLinear(WeightPosteriorLinear):
    """Gaussian weights with a Gaussian or a two-Gaussian prior."""

    start: Tensor
    std: Tensor
    precision: Tensor
    std2: Tensor
    mix: Tensor
    mixed: Tensor
    # The log odds of the mixture's second component at a weight w are
    # ``log_odds + curvature w^2``.
    log_odds: Tensor
    curvature: Tensor

    def __init__(
        self, n_in: int, n_out: int, rates: Sequence[float], families: Sequence[BayesByBackprop]
    ):
        super().__init__(n_in, n_out, rates, families)
        seconds = [family.prior_std2 for family in families]
        self.is_mixture = any(second is not None for second in seconds)
        std = np.array([family.prior_std for family in families])
        std2 = np.array([second or 1.0 for second in seconds])
        mix = np.array([family.prior_mix for family in families])
        columns = {
            "start": [family.log_sigma2 for family in families],
            "std": std,
            "precision": std**-2.0,
            "std2": std2,
            "mix": mix,
            "mixed": [float(second is not None) for second in seconds],
            "log_odds": np.log1p(-mix) - np.log(mix) + np.log(std) - np.log(std2),
            "curvature": 0.5 * (std**-2.0 - std2**-2.0),
        }
        for name, values in columns.items():
            self.register_buffer(name, member_column(values, self.weight), persistent=False)

    def initial_log_sigma2(self) -> Tensor:
        return self.start

    def kl(self, source: NoiseStreams | None = None) -> Tensor:
        log_ratio = self.log_sigma2 - 2 * self.std.log()
        squares = (self.weight / self.std).square()
        closed = 0.5 * (log_ratio.exp() + squares - log_ratio - 1).sum((1, 2))
        if not self.is_mixture:
            return closed
        # The mixture's density is `prior_mix` times the first component's times 1 + odds.
        rest = self.mix.log() * log_ratio[0].numel() + self._expected_log_odds(source)
        return closed - (self.mixed * rest).flatten()

    def kl_slopes(self, factors: Tensor, source: NoiseStreams) -> Callable[..., None]:
        on_weights, half = factors * self.precision, 0.5 * factors * self.speed
        on_variances = half * self.precision
        mixture = self._mixture_slopes(factors, source) if self.is_mixture else None

        def add(on_weight: Tensor, on_noise: Tensor, weight: Tensor, sigma2: Tensor) -> None:
            on_weight.addcmul_(weight, on_weights)
            on_noise.addcmul_(sigma2, on_variances).sub_(half)
            if mixture is not None:
                mixture(on_weight, on_noise, weight, sigma2)

        return add

    def _mixture_slopes(self, factors: Tensor, source: NoiseStreams) -> Callable[..., None]:
        """What subtracts the derivatives of `_expected_log_odds`, with numbers from `source`.

        That of log(1 + odds) at w is ``2 curvature w`` times the responsibility of the second.
        """
        on_weights = -factors * self.curvature * self.mixed
        on_noises = 0.5 * on_weights * self.speed

        def add(on_weight: Tensor, on_noise: Tensor, weight: Tensor, sigma2: Tensor) -> None:
            shift = sigma2.sqrt().mul_(source.normal(weight.shape[1], 1))
            plus, minus = weight + shift, weight - shift
            for place in (plus, minus):
                # Not one `addcmul`: with two factors to be broadcast it takes ten times as long.
                odds = place.square().mul_(self.curvature).add_(self.log_odds)
                place.mul_(odds.sigmoid_())
            on_noise.addcmul_((plus - minus).mul_(shift), on_noises)
            on_weight.addcmul_(plus.add_(minus), on_weights)

        return add

    def _expected_log_odds(self, source: NoiseStreams | None) -> Tensor:
        """Expectation of log(1 + odds) under the posterior, over the map: ``(members, 1, 1)``."""

        def at(weight: Tensor) -> Tensor:
            log_odds = weight.square() * self.curvature + self.log_odds
            return softplus(log_odds).sum((1, 2), keepdim=True)

        sigma = (0.5 * self.log_sigma2).exp()
        if source is not None:
            # One number for all weights that leave an input: of each weight the estimate is as
            # good as with numbers of its own. And a pair of opposite numbers: what is odd in
            # them, the gradient's largest noise on a log-variance, cancels.
            shift = sigma * source.normal(self.weight.shape[1], 1)
            return 0.5 * (at(self.weight + shift) + at(self.weight - shift))
        nodes = self._nodes(sigma)
        shares = np.exp(-0.5 * nodes**2)
        values = [
            float(share) * at(self.weight + float(node) * sigma)
            for node, share in zip(nodes, shares / shares.sum(), strict=True)
        ]
        return torch.stack(values).sum(0)

    def _nodes(self, sigma: Tensor) -> np.ndarray:
        """Nodes of the trapezoid rule that stands in for Monte Carlo, in standard deviations.

        They resolve the narrower component, down to one an eighth as wide as the posterior.
        """
        narrower = torch.minimum(self.std, self.std2)[self.mixed > 0].min()
        # In this order a sigma that is not a number ends at an eighth.
        step = min(1.0, max(1 / 8, float(narrower / sigma.detach().max()) / 2))
        return np.linspace(-6.0, 6.0, 2 * math.ceil(6 / step) + 1)


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
    uses_rate = False

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

    def kind_of_noise(self) -> object:
        # Only the mixture has no closed form.
        return "closed form" if self.prior_std2 is None else "mixture"
