"""What the families with a Kullback-Leibler divergence share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils._param_validation import Interval
from torch import Tensor, nn

from ._base import Family, LinearMoments, NoisyLinear, PlainLinear, member_column
from ._noise import NoiseSource

# Keeps finite the logarithm of a weight of zero, and the derivative of the root of the variance
# that a row of zeros has.
TINY = 1e-16


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

    def __init__(self, n_in: int, n_out: int, rates: Sequence[float], families: Sequence[Any]):
        super().__init__(n_in, n_out, rates, families)
        speed = member_column([family.noise_speed for family in families], self.weight)
        self.register_buffer("speed", speed, persistent=False)
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

    @property
    def log_alpha(self) -> Tensor:
        """Logarithm of the noise-to-signal ratio ``sigma^2 / weight^2``, shape of `weight`."""
        return self.log_sigma2 - self.weight.square().add(TINY).log()

    def learned_rates(self) -> np.ndarray:
        """Mean over the weights of ``alpha / (1 + alpha)``, the rate of equal noise."""
        return self.log_alpha.detach().sigmoid().mean((1, 2)).double().cpu().numpy()

    def forward(self, x: Tensor, source: NoiseSource) -> Tensor:
        """Local reparameterization: noise on the products, not on the weights."""
        normal = source.normal(x.shape[1], self.weight.shape[2])
        product = LocalReparameterization.apply(
            x, self.weight, self.noise, self.speed, self.bias, normal
        )
        return product

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


class LocalReparameterization(torch.autograd.Function):
    """``x @ weight + bias + sqrt(x^2 @ exp(noise * speed)) * normal``, with its reverse pass.

    A sum of independent Gaussian weights is Gaussian, so fresh weights for every row cost two
    products and one normal number per output (Kingma, Salimans and Welling 2015). Autograd would
    make a dozen passes over tensors of the size of the weights; here there are few.

    Shape
    -----
    x ``(members, rows, n_in)``; weight, noise ``(members, n_in, n_out)``; speed
    ``(members, 1, 1)``; bias ``(members, 1, n_out)``; normal ``(members or 1, rows, n_out)``.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        noise: Tensor,
        speed: Tensor,
        bias: Tensor,
        normal: Tensor,
    ) -> Tensor:
        sigma2, squares = (noise * speed).exp_(), x.square()
        std = _product(squares, sigma2).clamp_min_(TINY).sqrt_()
        ctx.save_for_backward(x, squares, weight, sigma2, speed, normal / std)
        return _product(x, weight).add_(bias).addcmul_(std, normal)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, squares, weight, sigma2, speed, ratio = ctx.saved_tensors
        # d out / d variance = normal / (2 std)
        on_variance = (ratio * gradient).mul_(0.5)
        on_noise = _product(squares.transpose(1, 2), on_variance * speed).mul_(sigma2)
        on_weight = _product(x.transpose(1, 2), gradient)
        on_bias = gradient.sum(1, keepdim=True)
        on_x = None
        if ctx.needs_input_grad[0]:
            on_x = _product(on_variance, sigma2.transpose(1, 2)).mul_(x).mul_(2.0)
            on_x += _product(gradient, weight.transpose(1, 2))
        return on_x, on_weight, on_noise, None, on_bias, None


def _product(a: Tensor, b: Tensor) -> Tensor:
    """`torch.bmm`, but for a stack of one the product of two matrices, which is faster."""
    return torch.mm(a[0], b[0]).unsqueeze(0) if len(a) == 1 else torch.bmm(a, b)
