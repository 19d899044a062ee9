"""Bernoulli (binary) dropout."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .._support.scratch import Scratch
from ._base import Family, member_column
from ._maps import GainMoments
from ._multiplicative import MultiplicativeLinear, bernoulli_moments, drawn_masks
from ._noise import NoiseStreams, kinds_of
from ._reverse import ReversePass

_LEVELS = 2**16


class BernoulliLinear(MultiplicativeLinear):
    """Inputs are dropped with probability `rate` and the kept ones divided by ``1 - rate``."""

    threshold: Tensor
    scale: Tensor

    def __init__(self, n_in: int, n_out: int, rates: Sequence[float], families: Sequence[Family]):
        super().__init__(n_in, n_out, rates, families)
        # Masks compare 16-bit integers with a threshold, so a rate is a multiple of 2**-16. A
        # positive rate never rounds to zero (that would switch dropout off silently) nor to one.
        level = np.rint(np.asarray(rates, dtype=np.float64) * _LEVELS)
        level = np.where(np.asarray(rates) > 0, np.clip(level, 1, _LEVELS - 1), 0)
        threshold = torch.from_numpy((level - _LEVELS // 2).astype(np.int16)).view(-1, 1, 1)
        self.register_buffer("threshold", threshold, persistent=False)
        scale = member_column(1.0 / (1.0 - level / _LEVELS), self.weight)
        self.register_buffer("scale", scale, persistent=False)

    @property
    def rates(self) -> np.ndarray:
        """The rounded rate of each member."""
        return (self.threshold.flatten().cpu().numpy() + _LEVELS / 2) / _LEVELS

    def kinds(self, source: NoiseStreams) -> tuple[Tensor, Tensor]:
        """Members whose masks are the same, because they share bits and the rate.

        They are told as by `kinds_of`.
        """
        rates = self.threshold.flatten().long()
        return kinds_of(rates) if source.stream is None else kinds_of(rates, source.stream)

    def training_gain(self, n_rows: int, source: NoiseStreams) -> Tensor:
        return self.masks(n_rows, source)

    def masks(
        self,
        n_rows: int,
        source: NoiseStreams,
        some: Tensor | None = None,
        out: Tensor | None = None,
    ) -> Tensor:
        """`training_gain` of some members only: ``(those members, n_rows, n_gains)``.

        Parameters
        ----------
        n_rows : int
        source : NoiseSource
        some : Tensor of int64, optional
            By default all members.
        out : Tensor of that shape, optional
            Memory for it.
        """
        bits = source.bits(n_rows, self.n_gains, some=some)
        given = self.threshold, self.scale
        threshold, scale = given if some is None else (values[some] for values in given)
        members = max(bits.shape[0], threshold.shape[0])
        if bits.shape[0] < members:
            # One block of bits for all: floats are compared faster, once they are floats.
            bits, threshold = bits.float(), threshold.float()
        # Writing the comparison straight into floats spares a slow conversion from bool.
        if out is None:
            out = self.weight.new_empty(members, *bits.shape[1:])
        return torch.ge(bits, threshold, out=out).mul_(scale)

    def drawn_gain(self, n_draws: int, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        return drawn_masks(self.rates, n_draws, self.n_gains, rngs)

    def gain_moments(self) -> GainMoments:
        return bernoulli_moments(self.rates, self.weight)

    def own_reverse_pass(self, rectified: bool) -> type[ReversePass] | None:
        return RectifiedMaskPass if rectified else None


class RectifiedMaskPass(ReversePass):
    """Rectified inputs times a mask: where the product is zero, so is what reaches the inputs.

    So the rectifier's derivative, read off the product, is the mask's as well.
    """

    def __init__(self, linear: BernoulliLinear) -> None:
        super().__init__(linear)
        self.noisy, self.masks, self.kinds = linear.noisy, linear.masks, linear.kinds
        self.n_in, self.weight = linear.weight.shape[1], linear.weight.detach()
        self.scale = self.product.own_axes(linear.scale)
        self.shared: tuple[Tensor, Tensor] | None = None
        self.scratch = Scratch()

    def noise(self, n_rows: int, source: NoiseStreams) -> Tensor | None:
        if not self.noisy:
            return None
        # Members that share bits and the rate share a mask, which is made once. Parts of a block
        # have other sources, but the same streams.
        if self.shared is None:
            self.shared = self.kinds(source)
        (one, kind), shape = self.shared, (n_rows, self.n_in)
        out = self.scratch("kinds", self.weight, len(one), *shape)
        if len(one) == len(kind):
            return self.masks(n_rows, source, out=out)
        masks = self.masks(n_rows, source, one, out)
        out = self.scratch("masks", self.weight, len(kind), *shape)
        return torch.index_select(masks, 0, kind, out=out)

    def forward(self, x: Tensor, noise: Tensor | None) -> tuple[Tensor, bool]:
        # The activation has made x for this map only.
        inputs = x if noise is None else x.mul_(noise)
        return self.product.forward(inputs), noise is not None

    def backward(self, x: Tensor, kept: bool, gradient: Tensor) -> None:
        self.product.set_gradients(x, gradient)

    def gradient_of_inputs(self, x: Tensor, kept: bool, gradient: Tensor) -> Tensor:
        if kept:
            gradient = gradient.mul_(self.scale)
        return self.product.gradient_of_inputs(gradient)


class Bernoulli(Family):
    """Bernoulli (binary) dropout with inverted scaling.

    While training, every unit of every row is dropped with probability `dropout_rate` and the
    kept ones are divided by ``1 - dropout_rate``, so that the mean is unchanged. A draw keeps
    one mask for all rows: it is one thinned network of the ensemble of all thinned networks.

    References
    ----------
    Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov (2014). Dropout: a simple way to
    prevent neural networks from overfitting. Journal of Machine Learning Research 15.

    Gal and Ghahramani (2016). Dropout as a Bayesian approximation. ICML.

    Examples
    --------
    >>> from skdropout import DropoutMLPClassifier
    >>> from skdropout.families import Bernoulli
    >>> DropoutMLPClassifier(dropout=Bernoulli(), dropout_rate=0.5).dropout
    Bernoulli()
    """

    name = "bernoulli"
    layer = BernoulliLinear
