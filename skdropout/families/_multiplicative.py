"""Noise that multiplies the inputs of a map by factors of mean one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ._base import Family, NoisyLinear
from ._maps import GainMoments, LinearMoments, PlainLinear
from ._noise import NoiseStreams
from ._reverse import ReversePass


class MultiplicativeLinear(NoisyLinear):
    """A map whose inputs are multiplied by noise of mean one; a rate of zero is a factor of one.

    Attributes
    ----------
    learned : bool
        Whether the noise has parameters or a KL. If not, the gradient is written out
        (`MultiplicativePass`), which is faster than autograd.
    noisy : bool
        Whether any member has a positive rate.
    sources : ndarray of int of shape (n_in,) or None
        Inputs of one source share their noise. None: each has its own.
    n_gains : int
        Factors that there are: as many as sources, or inputs.
    """

    learned: ClassVar[bool] = False
    positive: Tensor
    sources: np.ndarray | None = None

    def __init__(
        self, n_in: int, n_out: int, rates: Sequence[float], families: Sequence[Family]
    ) -> None:
        super().__init__(n_in, n_out, rates, families)
        self.n_gains = n_in
        # A buffer, so that it is that of some members where they are selected.
        self.register_buffer("positive", torch.as_tensor(rates) > 0, persistent=False)

    @property
    def noisy(self) -> bool:  # type: ignore[override]
        return bool(self.positive.any())

    @abstractmethod
    def training_gain(self, n_rows: int, source: NoiseStreams) -> Tensor:
        """Noise for every row and factor, shape ``(members or 1, n_rows, n_gains)``."""

    @abstractmethod
    def drawn_gain(self, n_draws: int, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        """Noise for every draw and factor, shape ``(members, n_draws, n_gains)``, float32."""

    # ---- what a family may add ---------------------------------------------------------------

    def gain_moments(self) -> GainMoments:
        """Moments of `drawn_gain`, asked for where there is noise."""
        raise NotImplementedError(
            f"inference='moments' needs the noise's moments, which {type(self).__name__} does not "
            "state (it has no method gain_moments); allowed with it is inference='draws'"
        )

    def gain_kl(self) -> Tensor | None:
        """Divergence of the noise from its prior, ``(members,)``; None if it has none."""
        return None

    def own_reverse_pass(self, rectified: bool) -> type[ReversePass] | None:
        """As `reverse_pass`; None for the one of all unlearned noise, or autograd."""
        return None

    # ---- what follows ------------------------------------------------------------------------

    def gain(self, n_rows: int, source: NoiseStreams) -> Tensor | None:
        """The noise of a training pass, None where there is none."""
        if not self.noisy:
            return None
        gain = self.training_gain(n_rows, source)
        places = self._places(gain.shape[-1])
        return gain if places is None else gain.index_select(-1, places.to(gain.device))

    def share_gains(self, sources: Sequence[int]) -> None:
        self.sources = np.asarray(sources)
        self.n_gains = int(self.sources.max()) + 1

    def _places(self, n_made: int) -> Tensor | None:
        """Which of the factors made each input is multiplied by; None for its own."""
        if self.sources is None:
            return None
        if n_made == self.n_gains:
            return torch.from_numpy(self.sources)
        # A family that makes one for each input: the first one's is that of all.
        _, first = np.unique(self.sources, return_index=True)
        return torch.from_numpy(first[self.sources])

    def forward(self, x: Tensor, source: NoiseStreams) -> Tensor:
        gain = self.gain(x.shape[1], source)
        return torch.baddbmm(self.bias, x if gain is None else x * gain, self.weight)

    def draw(self, n_draws: int, rngs: Sequence[np.random.Generator]) -> PlainLinear:
        if not self.noisy:
            return self.plain()
        gain = torch.from_numpy(self.drawn_gain(n_draws, rngs))
        places = self._places(gain.shape[-1])
        gain = (gain if places is None else gain.index_select(-1, places)).to(self.weight.device)
        return PlainLinear(self.weight.detach().unsqueeze(1), self.bias.detach(), gain)

    def kl(self, source: NoiseStreams | None = None) -> Tensor:
        kl = self.gain_kl()
        return self.weight.new_zeros(self.weight.shape[0]) if kl is None else kl

    def moments(self) -> LinearMoments:
        if self.noisy and self.sources is not None:
            raise NotImplementedError(
                "inference='moments' needs independent noise on each input of the network, and an "
                "encoded column that is dropped drops several together; allowed are "
                "inference='draws' and input_dropout_rate=0"
            )
        gain = self.gain_moments() if self.noisy else None
        return LinearMoments.of_plain(self.plain(), gain=gain)

    def reverse_pass(self, rectified: bool) -> type[ReversePass] | None:
        own = self.own_reverse_pass(rectified)
        return MultiplicativePass if own is None and not self.learned else own

    @classmethod
    def is_exact_at_zero(cls) -> bool:
        return not cls.learned


class MultiplicativePass(ReversePass):
    """Inputs that are multiplied by noise that has no parameters."""

    def __init__(self, linear: MultiplicativeLinear) -> None:
        super().__init__(linear)
        self.linear = linear

    def noise(self, n_rows: int, source: NoiseStreams) -> Tensor | None:
        return self.linear.gain(n_rows, source)

    def forward(self, x: Tensor, noise: Tensor | None) -> tuple[Tensor, tuple]:
        inputs = x if noise is None else x * noise
        return self.product.forward(inputs), (inputs, noise)

    def backward(self, x: Tensor, kept: tuple, gradient: Tensor) -> None:
        self.product.set_gradients(kept[0], gradient)

    def gradient_of_inputs(self, x: Tensor, kept: tuple, gradient: Tensor) -> Tensor:
        gradient = self.product.gradient_of_inputs(gradient)
        return gradient if kept[1] is None else gradient.mul_(kept[1])


# ---- noise that two families share -----------------------------------------------------------


def drawn_masks(
    rates: Iterable[float], n_draws: int, n_in: int, rngs: Sequence[np.random.Generator]
) -> np.ndarray:
    """Bernoulli masks of mean one, at one dropping rate a member: ``(members, n_draws, n_in)``."""
    gains = [
        (rng.random((n_draws, n_in), dtype=np.float32) >= rate) / np.float32(1.0 - rate)
        for rng, rate in zip(rngs, rates, strict=True)
    ]
    return np.stack(gains).astype(np.float32, copy=False)


def bernoulli_moments(rates: np.ndarray, like: Tensor) -> GainMoments:
    """Moments of a Bernoulli mask of mean one, for one dropping rate a member.

    The noise is ``-1`` with probability `rate` and ``rate / (1 - rate)`` otherwise.
    """
    rate = torch.as_tensor(rates, dtype=torch.float64, device=like.device).view(-1, 1)
    keep = 1 - rate
    third = -rate * (1 - 2 * rate) / keep.square()
    return GainMoments(rate / keep, third, rate + rate**4 / keep**3)


def drawn_normal_factors(
    std: Tensor, n_draws: int, n_in: int, rngs: Sequence[np.random.Generator]
) -> np.ndarray:
    """Factors ``1 + std eps`` on inputs: ``(members, n_draws, n_in)``.

    Parameters
    ----------
    std : Tensor of shape (members, 1, 1 or n_in)
    n_draws, n_in : int
    rngs : sequence of numpy.random.Generator, one per member
    """
    gains = [
        1.0 + member * rng.standard_normal((n_draws, n_in), dtype=np.float32)
        for rng, member in zip(rngs, std.detach().cpu().numpy(), strict=True)
    ]
    return np.stack(gains).astype(np.float32, copy=False)


def normal_moments(alpha: Tensor) -> GainMoments:
    """Moments of a normal factor of mean one and variance `alpha`: ``(members, n_in or 1)``."""
    return GainMoments(alpha, torch.zeros_like(alpha), 3 * alpha.square())
