"""Forward and reverse pass of one linear map, written out; used by `backprop`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from .._support.scratch import Scratch
from ..families import (
    BernoulliLinear,
    MultiplicativeLinear,
    NoiseSource,
    NoisyLinear,
    VariationalGaussianLinear,
    WeightPosteriorLinear,
)
from ..families._posterior import TINY

# Maps with so few outputs are multiplied transposed, which is several times faster: products of
# matrices are made for wide ones. Measured with up to ten outputs. A single network with one
# output has a product of a matrix and a vector, which is fast either way.
_NARROW = 10


class LinearMap(ABC):
    """One linear map of the stack. A stack of one has no axis of members here.

    Attributes
    ----------
    outputs, gradient : Tensor or None
        Memory for the outputs of a batch, and for the gradient of its inputs.
    """

    outputs: Tensor | None = None
    gradient: Tensor | None = None

    def __init__(self, linear: NoisyLinear) -> None:
        self.single = len(linear.weight) == 1
        n_out = linear.weight.shape[2]
        self.narrow = n_out <= _NARROW and not (self.single and n_out == 1)
        self.affine = torch.addmm if self.single else torch.baddbmm
        self.product = torch.mm if self.single else torch.bmm
        # Attributes of modules and transposes cost microseconds each; a step has few of them.
        self.weight, self.bias = self.lean(linear.weight.detach()), self.lean(linear.bias.detach())
        self.transposed, self.bias_transposed = self.weight.mT, self.bias.mT
        self.weight_gradient = self.lean(linear.weight.grad)
        self.transposed_gradient = self.weight_gradient.mT
        self.bias_gradient = self.lean(linear.bias.grad)

    def lean(self, values: Tensor | None) -> Tensor:
        assert values is not None, "every parameter has a gradient"
        return values[0] if self.single else values

    def plain(self, inputs: Tensor) -> Tensor:
        """The map without noise."""
        if self.narrow:
            return self.affine(self.bias_transposed, self.transposed, inputs.mT).mT
        out = _fitting(self.outputs, inputs)
        return self.affine(self.bias, inputs, self.weight, out=out)

    def set_gradients(self, inputs: Tensor, gradient: Tensor) -> None:
        """Set those of the weights and biases of `plain`."""
        if self.narrow and self.single:
            self.transposed_gradient.copy_(torch.mm(gradient.mT, inputs))
        elif self.narrow:
            torch.bmm(gradient.mT, inputs, out=self.transposed_gradient)
        else:
            self.product(inputs.mT, gradient, out=self.weight_gradient)
        torch.sum(gradient, -2, keepdim=True, out=self.bias_gradient)

    def plain_gradient_of_inputs(self, gradient: Tensor) -> Tensor:
        """That of the inputs of `plain`."""
        out = _fitting(self.gradient, gradient)
        if self.narrow and gradient.shape[-1] == 1:
            return torch.mul(gradient, self.transposed, out=out)
        return self.product(gradient, self.transposed, out=out)

    @abstractmethod
    def noise(self, n_rows: int, source: NoiseSource) -> Tensor | None:
        """What a pass over so many rows needs, with rows second."""

    @abstractmethod
    def forward(self, x: Tensor, noise: Tensor | None) -> tuple[Tensor, Any]:
        """Noisy product, and what the reverse pass needs of it."""

    @abstractmethod
    def backward(self, x: Tensor, kept: Any, gradient: Tensor) -> None:
        """Set the parameters' gradients."""

    @abstractmethod
    def gradient_of_inputs(self, x: Tensor, kept: Any, gradient: Tensor) -> Tensor:
        """After `backward`."""

    def add_kl_gradient(self, factors: Tensor, source: NoiseSource) -> None:
        return


class _MultiplicativeMap(LinearMap):
    """Inputs that are multiplied by noise that has no parameters."""

    def __init__(self, linear: MultiplicativeLinear) -> None:
        super().__init__(linear)
        self.linear = linear

    def noise(self, n_rows: int, source: NoiseSource) -> Tensor | None:
        return self.linear.gain(n_rows, source)

    def forward(self, x: Tensor, noise: Tensor | None) -> tuple[Tensor, tuple]:
        inputs = x if noise is None else x * noise
        return self.plain(inputs), (inputs, noise)

    def backward(self, x: Tensor, kept: tuple, gradient: Tensor) -> None:
        self.set_gradients(kept[0], gradient)

    def gradient_of_inputs(self, x: Tensor, kept: tuple, gradient: Tensor) -> Tensor:
        gradient = self.plain_gradient_of_inputs(gradient)
        return gradient if kept[1] is None else gradient.mul_(kept[1])


class RectifiedMap(_MultiplicativeMap):
    """Rectified inputs times a mask: where the product is zero, so is what reaches the inputs.

    So the rectifier's derivative, read off the product, is the mask's as well.
    """

    def __init__(self, linear: BernoulliLinear) -> None:
        super().__init__(linear)
        self.noisy, self.masks, self.kinds = linear.noisy, linear.masks, linear.kinds
        self.scale = self.lean(linear.scale)
        self.shared: tuple[Tensor, Tensor] | None = None
        self.scratch = Scratch()

    def noise(self, n_rows: int, source: NoiseSource) -> Tensor | None:
        if not self.noisy:
            return None
        # Members that share bits and the rate share a mask, which is made once. Parts of a block
        # have other sources, but the same streams.
        if self.shared is None:
            self.shared = self.kinds(source)
        (one, kind), shape = self.shared, (n_rows, self.linear.weight.shape[1])
        out = self.scratch("kinds", self.weight, len(one), *shape)
        if len(one) == len(kind):
            return self.masks(n_rows, source, out=out)
        masks = self.masks(n_rows, source, one, out)
        out = self.scratch("masks", self.weight, len(kind), *shape)
        return torch.index_select(masks, 0, kind, out=out)

    def forward(self, x: Tensor, noise: Tensor | None) -> tuple[Tensor, tuple]:
        # The activation has made x for this map only.
        inputs = x if noise is None else x.mul_(noise)
        return self.plain(inputs), (inputs, noise)

    def gradient_of_inputs(self, x: Tensor, kept: tuple, gradient: Tensor) -> Tensor:
        if kept[1] is not None:
            gradient = gradient.mul_(self.scale)
        return self.plain_gradient_of_inputs(gradient)


class _LearnedGainMap(LinearMap):
    """Inputs times ``1 + std normal``, where each input's std is learned."""

    def __init__(self, linear: VariationalGaussianLinear) -> None:
        super().__init__(linear)
        assert linear.noise is not None, "without noise it is a `_MultiplicativeMap`"
        self.linear, self.n_in = linear, linear.weight.shape[1]
        self.noise_gradient = self.lean(linear.noise.grad)
        self.on_inputs = self.weight

    def noise(self, n_rows: int, source: NoiseSource) -> Tensor:
        return source.normal(n_rows, self.n_in)

    def forward(self, x: Tensor, noise: Tensor | None) -> tuple[Tensor, tuple]:
        assert noise is not None
        std, slope = map(self.lean, self.linear.std_and_slope())
        gain = torch.addcmul(torch.ones_like(std), noise, std)
        inputs = x * gain
        return self.plain(inputs), (inputs, gain, noise, slope)

    def backward(self, x: Tensor, kept: tuple, gradient: Tensor) -> None:
        inputs, _, noise, slope = kept
        self.set_gradients(inputs, gradient)
        self.on_inputs = self.plain_gradient_of_inputs(gradient)
        on_std = (self.on_inputs * x).mul_(noise)
        torch.sum(on_std, -2, keepdim=True, out=self.noise_gradient)
        self.noise_gradient.mul_(slope)

    def gradient_of_inputs(self, x: Tensor, kept: tuple, gradient: Tensor) -> Tensor:
        return self.on_inputs.mul_(kept[1])

    def add_kl_gradient(self, factors: Tensor, source: NoiseSource) -> None:
        self.linear.add_kl_gradient(factors, source)


class _PosteriorMap(LinearMap):
    """Gaussian weights, by local reparameterization: ``x @ weight + sqrt(x^2 @ sigma2) normal``.

    The variance of the weights is made once a step and serves the forward pass, the reverse
    pass and the KL.
    """

    def __init__(self, linear: WeightPosteriorLinear) -> None:
        super().__init__(linear)
        self.linear, self.n_out = linear, linear.weight.shape[2]
        speeds = linear.speed.flatten().tolist()
        # Where all members have the same, the product has it as a factor that costs nothing.
        self.half_speed = 0.5 * speeds[0]
        self.relative = None if len(set(speeds)) == 1 else linear.speed / speeds[0]
        self.noise_gradient = self.lean(linear.noise.grad)
        # Held: a fresh tensor of this size would be handed out page by page in each step.
        self.held = torch.empty_like(linear.weight.detach())
        self.sigma2 = self.lean(self.held)

    def noise(self, n_rows: int, source: NoiseSource) -> Tensor:
        return source.normal(n_rows, self.n_out)

    def forward(self, x: Tensor, noise: Tensor | None) -> tuple[Tensor, tuple]:
        assert noise is not None
        self.linear.sigma2(self.held)
        squares = x.square()
        std = self.product(squares, self.sigma2).clamp_min_(TINY).sqrt_()
        out = self.plain(x).addcmul_(std, noise)
        # Twice the derivative of the output with respect to its variance.
        return out, (squares, torch.div(noise, std))

    def backward(self, x: Tensor, kept: tuple, gradient: Tensor) -> None:
        squares, ratio = kept
        twice, out = ratio.mul_(gradient), self.noise_gradient
        scaled = twice if self.relative is None else twice * self.relative
        self.affine(out, squares.mT, scaled, beta=0, alpha=self.half_speed, out=out)
        out.mul_(self.sigma2)
        self.set_gradients(x, gradient)
        self.linear.pass_on(self.weight_gradient, self.noise_gradient)

    def gradient_of_inputs(self, x: Tensor, kept: tuple, gradient: Tensor) -> Tensor:
        # `backward` has turned the ratio into twice the gradient of the variance.
        twice_on_squares = self.product(kept[1], self.sigma2.mT)
        return self.plain_gradient_of_inputs(gradient).addcmul_(twice_on_squares, x)

    def add_kl_gradient(self, factors: Tensor, source: NoiseSource) -> None:
        self.linear.add_kl_gradient(factors, source, self.held)


def _fitting(memory: Tensor | None, rows: Tensor) -> Tensor | None:
    """Memory, if it is for a batch of as many rows."""
    return None if memory is None or memory.shape[-2] != rows.shape[-2] else memory


def map_class(linear: NoisyLinear) -> type[LinearMap] | None:
    """What trains a map; None for autograd."""
    if isinstance(linear, WeightPosteriorLinear):
        return _PosteriorMap
    if isinstance(linear, VariationalGaussianLinear):
        return _LearnedGainMap if linear.noisy else _MultiplicativeMap
    if isinstance(linear, MultiplicativeLinear) and not linear.learned:
        return _MultiplicativeMap
    return None
