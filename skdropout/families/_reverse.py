"""A map's forward and reverse pass without autograd: the interface, and the product inside."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from ._noise import NoiseStreams

# Maps with so few outputs are multiplied transposed, which is several times faster: products of
# matrices are made for wide ones. Measured with up to ten outputs. A single network with one
# output has a product of a matrix and a vector, which is fast either way.
_NARROW = 10


class PlainProduct:
    """The products ``x @ weight + bias`` of a stack, and their gradients.

    A stack of one has no axis of members here.

    Parameters
    ----------
    weight : Parameter of shape (members, n_in, n_out)
    bias : Parameter of shape (members, 1, n_out)
        Both have a `grad`.

    Attributes
    ----------
    multiply, multiply_add : callable
        torch's product of matrices, and the one to which something is added.
    outputs, gradient : Tensor or None
        Memory for the outputs of a batch, and for the gradient of its inputs.
    """

    outputs: Tensor | None = None
    gradient: Tensor | None = None

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.single = len(weight) == 1
        n_out = weight.shape[2]
        self.narrow = n_out <= _NARROW and not (self.single and n_out == 1)
        self.multiply_add = torch.addmm if self.single else torch.baddbmm
        self.multiply = torch.mm if self.single else torch.bmm
        # Attributes of modules and transposes cost microseconds each; a step has few of them.
        self.weight, self.bias = self.own_axes(weight.detach()), self.own_axes(bias.detach())
        self.transposed, self.bias_transposed = self.weight.mT, self.bias.mT
        self.weight_gradient = self.own_axes(weight.grad)
        self.transposed_gradient = self.weight_gradient.mT
        self.bias_gradient = self.own_axes(bias.grad)

    def own_axes(self, values: Tensor | None) -> Tensor:
        """Values of all members, without the members' axis where there is one member."""
        assert values is not None, "every parameter has a gradient"
        return values[0] if self.single else values

    def forward(self, inputs: Tensor) -> Tensor:
        """The product of a batch ``(members, rows, n_in)``."""
        if self.narrow:
            return self.multiply_add(self.bias_transposed, self.transposed, inputs.mT).mT
        out = _fitting(self.outputs, inputs)
        return self.multiply_add(self.bias, inputs, self.weight, out=out)

    def set_gradients(self, inputs: Tensor, gradient: Tensor) -> None:
        """Set those of the weights and biases, from that of the outputs."""
        if self.narrow and self.single:
            self.transposed_gradient.copy_(torch.mm(gradient.mT, inputs))
        elif self.narrow:
            torch.bmm(gradient.mT, inputs, out=self.transposed_gradient)
        else:
            self.multiply(inputs.mT, gradient, out=self.weight_gradient)
        torch.sum(gradient, -2, keepdim=True, out=self.bias_gradient)

    def gradient_of_inputs(self, gradient: Tensor) -> Tensor:
        """That of the inputs, from that of the outputs."""
        out = _fitting(self.gradient, gradient)
        if self.narrow and gradient.shape[-1] == 1:
            return torch.mul(gradient, self.transposed, out=out)
        return self.multiply(gradient, self.transposed, out=out)


class ReversePass(ABC):
    """Trains one linear map of a stack without autograd; a family that is quick has its own.

    A batch goes `noise`, `forward`, `backward`, `gradient_of_inputs`, `add_kl_gradient`, with no
    gradient recorded. A stack of one has no axis of members here.

    Parameters
    ----------
    linear : NoisyLinear
        Its parameters must stay the same tensors, changed in place only, and each must have a
        `grad`.

    Attributes
    ----------
    product : PlainProduct
        Of what the noise leaves to be multiplied.
    """

    def __init__(self, linear: Any) -> None:
        self.product = PlainProduct(linear.weight, linear.bias)

    @abstractmethod
    def noise(self, n_rows: int, source: NoiseStreams) -> Tensor | None:
        """What a pass over so many rows needs, with members first and rows second."""

    @abstractmethod
    def forward(self, x: Tensor, noise: Tensor | None) -> tuple[Tensor, Any]:
        """Noisy product, and what the reverse pass needs of it."""

    @abstractmethod
    def backward(self, x: Tensor, kept: Any, gradient: Tensor) -> None:
        """Set the parameters' gradients, from that of the outputs."""

    @abstractmethod
    def gradient_of_inputs(self, x: Tensor, kept: Any, gradient: Tensor) -> Tensor:
        """That of the inputs, from that of the outputs; after `backward`."""

    def add_kl_gradient(self, factors: Tensor, source: NoiseStreams) -> None:
        """Add that of ``factors * kl`` to the parameters' gradients, after `forward`.

        Parameters
        ----------
        factors : Tensor of shape (members,)
        source : NoiseSource
            As in `NoisyLinear.kl`.
        """
        return


def _fitting(memory: Tensor | None, rows: Tensor) -> Tensor | None:
    """Memory, if it is for a batch of as many rows."""
    return None if memory is None or memory.shape[-2] != rows.shape[-2] else memory
