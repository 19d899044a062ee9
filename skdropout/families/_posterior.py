"""What the families with a Kullback-Leibler divergence share."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from .._support.sklearn import Interval
from ._base import Family, LinearMoments, NoisyLinear, PlainLinear, member_column
from ._noise import NoiseSource

# Keeps finite the logarithm of a weight of zero, and the derivative of the root of the variance
# that a row of zeros has.
TINY = 1e-16
# Molchanov, Ashukha and Vetrov (2017), equation 14.
K1, K2, K3 = 0.63576, 1.87320, 1.48695
# Weights of a map that are worked on at a time where there are many passes over them.
_PART = 2**17


def log_uniform_kl(log_alpha: Tensor) -> Tensor:
    """Divergence of ``N(m, alpha m^2)`` from the log-uniform prior, whatever m, elementwise.

    Up to a constant: zero for infinite alpha.
    """
    gate = torch.sigmoid(K2 + K3 * log_alpha)
    # log(1 + 1 / alpha) is the softplus of -log_alpha.
    return 0.5 * nn.functional.softplus(-log_alpha) + K1 * (1 - gate)


def log_uniform_kl_slope(log_alpha: Tensor) -> Tensor:
    """Derivative of `log_uniform_kl`."""
    gate = torch.sigmoid(K2 + K3 * log_alpha)
    return -0.5 * torch.sigmoid(-log_alpha) - K1 * K3 * gate * (1 - gate)


@dataclass(eq=False, repr=False)
class Posterior(Family):
    """A family that learns its noise: the balance of data and prior, in one place.

    The objective per row is the mean negative log-likelihood plus
    ``kl_weight * min(1, epoch / kl_warmup) * KL / n_train``. Subclasses document the parameters.
    """

    kl_weight: float = 1.0
    kl_warmup: int = 0
    n_train: int | None = None
    noise_speed: float = 1.0

    _parameter_constraints: ClassVar[dict] = {
        "kl_weight": [Interval(Real, 0, None, closed="left")],
        "kl_warmup": [Interval(Integral, 0, None, closed="left")],
        "n_train": [Interval(Integral, 1, None, closed="left"), None],
        "noise_speed": [Interval(Real, 0, None, closed="neither")],
    }


class WeightPosteriorLinear(NoisyLinear):
    """Independent Gaussian weights ``N(weight, exp(log_sigma2))``; biases without noise.

    Attributes
    ----------
    noise : Parameter of shape (members, n_in, n_out)
        ``log_sigma2 / noise_speed``: a step of Adam is the learning rate whatever the gradient,
        so this is what lets a log-variance travel further in a step than a weight.
    """

    noisy = True
    speed: Tensor
    # log2 of a variance for each unit of `noise`.
    doublings: Tensor

    def __init__(self, n_in: int, n_out: int, rates: Sequence[float], families: Sequence[Any]):
        super().__init__(n_in, n_out, rates, families)
        speed = member_column([family.noise_speed for family in families], self.weight)
        self.register_buffer("speed", speed, persistent=False)
        self.register_buffer("doublings", speed * math.log2(math.e), persistent=False)
        # Nearly without noise until `reset_noise`.
        self.noise = nn.Parameter(torch.full_like(self.weight, -10.0) / speed)

    @abstractmethod
    def initial_log_sigma2(self) -> Tensor:
        """Where the log-variances start; broadcasts over `weight`, which is initialized."""

    @torch.no_grad()
    def reset_noise(self) -> None:
        self.noise.copy_(self.initial_log_sigma2() / self.speed)

    @property
    def log_sigma2(self) -> Tensor:
        """Logarithm of the weights' posterior variance, shape of `weight`."""
        return self.noise * self.speed

    @torch.no_grad()
    def sigma2(self, out: Tensor | None = None) -> Tensor:
        """The weights' posterior variance, without a gradient, shape of `weight`.

        Parameters
        ----------
        out : Tensor, optional
            Memory for it.
        """
        # Measured: torch's exp2 takes half the time of its exp.
        return torch.mul(self.noise, self.doublings, out=out).exp2_()

    def pass_on(self, weight_gradient: Tensor, noise_gradient: Tensor) -> None:
        """Move the gradients of variances that follow their weights to these weights.

        Parameters
        ----------
        weight_gradient, noise_gradient : Tensor
            Of the objective without the KL, shape of `weight`; of one member also without its
            axis. They are changed in place.
        """
        return

    @torch.no_grad()
    def add_kl_gradient(
        self, factors: Tensor, source: NoiseSource, sigma2: Tensor | None = None
    ) -> None:
        """As in `NoisyLinear`; a `sigma2` that is there already need not be computed again."""
        on_weight, on_noise = self.weight.grad, self.noise.grad
        assert on_weight is not None, "there is one before training begins"
        assert on_noise is not None, "there is one before training begins"
        sigma2 = self.sigma2() if sigma2 is None else sigma2
        add = self._kl_slopes(factors.view(-1, 1, 1), source)
        # A part at a time stays in the processor's cache from the first operation to the last.
        # The parts do not depend on the number of members, nor do then the numbers from `source`.
        size = max(1, _PART // self.weight[0, 0].numel())
        wholes = on_weight, on_noise, self.weight.detach(), sigma2
        for parts in zip(*(whole.split(size, 1) for whole in wholes), strict=True):
            add(*parts)

    @abstractmethod
    def _kl_slopes(self, factors: Tensor, source: NoiseSource) -> Callable[..., None]:
        """What adds the KL's derivatives, times `factors`, to gradients.

        It is called for some inputs after the others, with the gradients of their weights and of
        `noise`, the weights, and their variances.
        """

    @property
    def log_alpha(self) -> Tensor:
        """Logarithm of the noise-to-signal ratio ``sigma^2 / weight^2``, shape of `weight`."""
        return self.log_sigma2 - self.weight.square().add(TINY).log()

    def learned_rates(self) -> np.ndarray:
        """Mean over the weights of ``alpha / (1 + alpha)``, the rate of equal noise."""
        return self.log_alpha.detach().sigmoid().mean((1, 2)).double().cpu().numpy()

    def forward(self, x: Tensor, source: NoiseSource) -> Tensor:
        """Local reparameterization: noise on the products, not on the weights.

        A sum of independent Gaussian weights is Gaussian, so fresh weights for every row cost two
        products and one normal number per output (Kingma, Salimans and Welling 2015).
        """
        variance = torch.bmm(x.square(), self.log_sigma2.exp())
        normal = source.normal(x.shape[1], self.weight.shape[2])
        return torch.baddbmm(self.bias, x, self.weight) + variance.clamp_min(TINY).sqrt() * normal

    def draw(self, n_draws: int, rngs: Sequence[np.random.Generator]) -> PlainLinear:
        shape = (n_draws, *self.weight.shape[1:])
        normal = np.stack([rng.standard_normal(shape, dtype=np.float32) for rng in rngs])
        std = (0.5 * self.log_sigma2.detach()).exp()
        drawn = torch.from_numpy(normal).to(std.device)
        drawn.mul_(std.unsqueeze(1)).add_(self.weight.detach().unsqueeze(1))
        return PlainLinear(drawn, self.bias.detach())

    def moments(self) -> LinearMoments:
        variance = self.log_sigma2.detach().exp()
        alive = self.alive()
        # What is switched off is zero in every draw.
        return LinearMoments.of_plain(
            self.plain(), variance=variance if alive is None else variance * alive
        )
