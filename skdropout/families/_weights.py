"""Gaussian posteriors over weights, by local reparameterization."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ._base import NoisyLinear, member_column
from ._maps import LinearMoments, PlainLinear
from ._noise import NoiseStreams
from ._reverse import ReversePass

# Keeps finite the logarithm of a weight of zero, and the derivative of the root of the variance
# that a row of zeros has.
TINY = 1e-16
# Weights of a map that are worked on at a time where there are many passes over them.
_PART = 2**17


class WeightPosteriorLinear(NoisyLinear):
    """Independent Gaussian weights ``N(weight, exp(log_sigma2))``; biases without noise.

    Attributes
    ----------
    noise : Parameter of shape (members, n_in, n_out)
        ``log_sigma2 / noise_speed``: a step of Adam is the learning rate whatever the gradient,
        so this is what lets a log-variance travel further in a step than a weight.
    most : Tensor of shape (members, 1, 1) or None
        The largest `log_alpha` of each member. A variance there follows its weight. None: no
        member has one. Subclasses may set it.
    """

    noisy = True
    speed: Tensor
    # The base-two logarithm of a variance for each unit of `noise`.
    speed_base_two: Tensor
    most: Tensor | None

    def __init__(self, n_in: int, n_out: int, rates: Sequence[float], families: Sequence[Any]):
        super().__init__(n_in, n_out, rates, families)
        speed = member_column([family.noise_speed for family in families], self.weight)
        self.register_buffer("speed", speed, persistent=False)
        self.register_buffer("speed_base_two", speed * math.log2(math.e), persistent=False)
        self.register_buffer("most", None, persistent=False)
        # Nearly without noise until `reset_noise`.
        self.noise = nn.Parameter(torch.full_like(self.weight, -10.0) / speed)

    # ---- what a family says ------------------------------------------------------------------

    @abstractmethod
    def initial_log_sigma2(self) -> Tensor:
        """Where the log-variances start; broadcasts over `weight`, which is initialized."""

    @abstractmethod
    def kl_slopes(self, factors: Tensor, source: NoiseStreams) -> Callable[..., None]:
        """What adds the KL's derivatives, times `factors`, to gradients.

        Parameters
        ----------
        factors : Tensor of shape (members, 1, 1)
        source : NoiseSource
            As in `kl`.

        Returns
        -------
        callable
            It is called for some inputs after the others, with the gradients of their weights
            and of `noise`, the weights, and their variances.
        """

    def drawn_of_living(self, n_draws: int, rngs: Sequence[np.random.Generator]) -> Tensor | None:
        """Drawn weights where some are off (`alive`): ``(members, n_draws, n_in, n_out)``.

        None where none ever is: then each weight of a draw reads a normal number.
        """
        return None

    # ---- what follows ------------------------------------------------------------------------

    @torch.no_grad()
    def reset_noise(self) -> None:
        self.noise.copy_(self.initial_log_sigma2() / self.speed)

    @property
    def log_sigma2(self) -> Tensor:
        """Logarithm of the weights' posterior variance, shape of `weight`."""
        free, most = self.noise * self.speed, self.most_log_sigma2()
        return free if most is None else torch.minimum(free, most)

    def most_log_sigma2(self) -> Tensor | None:
        """The largest that `log_sigma2` may be; None for no bound."""
        return None if self.most is None else self.weight.square().add(TINY).log() + self.most

    @torch.no_grad()
    def sigma2(self, out: Tensor | None = None) -> Tensor:
        """The weights' posterior variance, without a gradient, shape of `weight`.

        Parameters
        ----------
        out : Tensor, optional
            Memory for it.
        """
        # Measured: torch's exp2 takes half the time of its exp.
        free = torch.mul(self.noise, self.speed_base_two, out=out).exp2_()
        if self.most is None:
            return free
        most = self.weight.square().add_(TINY).mul_(self.most.exp())
        return torch.minimum(free, most, out=free)

    @property
    def log_alpha(self) -> Tensor:
        """Logarithm of the noise-to-signal ratio ``sigma^2 / weight^2``, shape of `weight`."""
        return self.log_sigma2 - self.weight.square().add(TINY).log()

    def learned_rates(self) -> np.ndarray:
        """Mean over the weights of ``alpha / (1 + alpha)``, the rate of equal noise."""
        return self.log_alpha.detach().sigmoid().mean((1, 2)).double().cpu().numpy()

    def forward(self, x: Tensor, source: NoiseStreams) -> Tensor:
        """Local reparameterization: noise on the products, not on the weights.

        A sum of independent Gaussian weights is Gaussian, so fresh weights for every row cost two
        products and one normal number per output (Kingma, Salimans and Welling 2015).
        """
        variance = torch.bmm(x.square(), self.log_sigma2.exp())
        normal = source.normal(x.shape[1], self.weight.shape[2])
        return torch.baddbmm(self.bias, x, self.weight) + variance.clamp_min(TINY).sqrt() * normal

    def draw(self, n_draws: int, rngs: Sequence[np.random.Generator]) -> PlainLinear:
        living = self.drawn_of_living(n_draws, rngs)
        drawn = self._drawn(n_draws, rngs) if living is None else living
        return PlainLinear(drawn, self.bias.detach())

    def _drawn(self, n_draws: int, rngs: Sequence[np.random.Generator]) -> Tensor:
        shape = (n_draws, *self.weight.shape[1:])
        normal = np.stack([rng.standard_normal(shape, dtype=np.float32) for rng in rngs])
        std = (0.5 * self.log_sigma2.detach()).exp()
        drawn = torch.from_numpy(normal).to(std.device)
        return drawn.mul_(std.unsqueeze(1)).add_(self.weight.detach().unsqueeze(1))

    def moments(self) -> LinearMoments:
        variance = self.log_sigma2.detach().exp()
        alive = self.alive()
        # What is switched off is zero in every draw.
        return LinearMoments.of_plain(
            self.plain(), variance=variance if alive is None else variance * alive
        )

    def reverse_pass(self, rectified: bool) -> type[ReversePass]:
        return GaussianWeightsPass


class GaussianWeightsPass(ReversePass):
    """Gaussian weights, by local reparameterization: ``x @ weight + sqrt(x^2 @ sigma2) normal``.

    The variance of the weights is made once a step and serves the forward pass, the reverse
    pass and the KL.
    """

    def __init__(self, linear: WeightPosteriorLinear) -> None:
        super().__init__(linear)
        self.linear, self.n_out = linear, linear.weight.shape[2]
        assert linear.weight.grad is not None, "every parameter has a gradient"
        assert linear.noise.grad is not None, "every parameter has a gradient"
        self.gradients = linear.weight.grad, linear.noise.grad
        speeds = linear.speed.flatten().tolist()
        # Where all members have the same, the product has it as a factor that costs nothing.
        self.half_speed = 0.5 * speeds[0]
        self.relative_speed = None if len(set(speeds)) == 1 else linear.speed / speeds[0]
        self.noise_gradient = self.product.own_axes(linear.noise.grad)
        # A fresh tensor of this size would be handed out page by page in each step.
        self.all_sigma2 = torch.empty_like(linear.weight.detach())
        self.sigma2 = self.product.own_axes(self.all_sigma2)

    def noise(self, n_rows: int, source: NoiseStreams) -> Tensor:
        return source.normal(n_rows, self.n_out)

    def forward(self, x: Tensor, noise: Tensor | None) -> tuple[Tensor, tuple]:
        assert noise is not None
        self.linear.sigma2(self.all_sigma2)
        squares = x.square()
        std = self.product.multiply(squares, self.sigma2).clamp_min_(TINY).sqrt_()
        out = self.product.forward(x).addcmul_(std, noise)
        # Twice the derivative of the output with respect to its variance.
        return out, (squares, torch.div(noise, std))

    def backward(self, x: Tensor, kept: tuple, gradient: Tensor) -> None:
        squares, ratio = kept
        twice, out = ratio.mul_(gradient), self.noise_gradient
        scaled = twice if self.relative_speed is None else twice * self.relative_speed
        self.product.multiply_add(out, squares.mT, scaled, beta=0, alpha=self.half_speed, out=out)
        out.mul_(self.sigma2)
        self.product.set_gradients(x, gradient)
        self._hand_to_weights(self.linear.most_log_sigma2())

    def _hand_to_weights(self, most: Tensor | None) -> None:
        """Move the gradients of variances at their bound to the weights that they follow."""
        if most is None:
            return
        linear, weight = self.linear, self.linear.weight.detach()
        at_bound = linear.noise * linear.speed > most
        # There log_sigma2 = log(weight^2) + most.
        moved = torch.where(at_bound, self.noise_gradient, 0.0)
        slopes = (2.0 * weight).div_(weight.square().add_(TINY).mul_(linear.speed))
        self.product.weight_gradient += (moved * slopes).view_as(self.product.weight)
        self.noise_gradient -= moved.view_as(self.noise_gradient)

    def gradient_of_inputs(self, x: Tensor, kept: tuple, gradient: Tensor) -> Tensor:
        # `backward` has turned the ratio into twice the gradient of the variance.
        twice_on_squares = self.product.multiply(kept[1], self.sigma2.mT)
        return self.product.gradient_of_inputs(gradient).addcmul_(twice_on_squares, x)

    def add_kl_gradient(self, factors: Tensor, source: NoiseStreams) -> None:
        wholes = *self.gradients, self.linear.weight.detach(), self.all_sigma2
        add = self.linear.kl_slopes(factors.view(-1, 1, 1), source)
        # A part at a time stays in the processor's cache from the first operation to the last.
        # The parts do not depend on the number of members, nor do then the numbers from `source`.
        size = max(1, _PART // self.n_out)
        for parts in zip(*(whole.split(size, 1) for whole in wholes), strict=True):
            add(*parts)
