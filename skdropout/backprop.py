"""The reverse pass written out, for stacks whose noise multiplies the inputs of linear maps.

Autograd costs more than the arithmetic of a small network: it is the larger half of a training
step at 100 hidden units and 32 rows. Without normalization and without learned noise the gradient
is a few lines a layer, so it stands here; every other stack trains through autograd. A test holds
the two equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat

import torch
from torch import Tensor

from .families import MultiplicativeLinear, NoiseSource
from .network import ACTIVATIONS, Stack

# Maps of a stack with so few outputs are multiplied transposed, which is several times faster:
# the batched product of matrices is made for wide ones. Measured with up to ten outputs.
_NARROW = 10


class Backprop:
    """Forward and reverse pass of a stack, for one training.

    Parameters
    ----------
    stack : Stack
        Its parameters must stay the same tensors, changed in place only, and each must have a
        `grad`, which `backward` overwrites.
    """

    def __init__(self, stack: Stack) -> None:
        activation = ACTIVATIONS[stack.architecture.activation]
        self.activation, self.derivative = activation.function, activation.backward
        self.linears = [map_ for map_ in stack.linears if isinstance(map_, MultiplicativeLinear)]
        # A stack of one needs no axis of members, and its products are cheaper without.
        self.single = len(stack.members) == 1
        self.affine = torch.addmm if self.single else torch.baddbmm
        self.product = torch.mm if self.single else torch.bmm
        self.narrow = [
            not self.single and linear.weight.shape[2] <= _NARROW for linear in self.linears
        ]
        # Attributes of modules and transposes cost microseconds each; a step has few of them.
        self.weights = [self._lean(linear.weight.detach()) for linear in self.linears]
        self.biases = [self._lean(linear.bias.detach()) for linear in self.linears]
        self.transposed = [weight.mT for weight in self.weights]
        self.gradients = [
            (self._lean(linear.weight.grad), self._lean(linear.bias.grad))
            for linear in self.linears
        ]

    def _lean(self, values: Tensor | None) -> Tensor:
        assert values is not None, "every parameter has a gradient"
        return values[0] if self.single else values

    @staticmethod
    def supports(stack: Stack) -> bool:
        """Whether this stack can be trained so."""
        return (
            not stack.norms
            and stack.inputs is None
            and all(
                isinstance(linear, MultiplicativeLinear) and not linear.learned
                for linear in stack.linears
            )
        )

    def batches(self, x: Tensor, size: int, source: NoiseSource) -> Iterator[tuple]:
        """Batches of rows with their noise, made for many batches at once.

        Parameters
        ----------
        x : Tensor of shape (members or 1, rows, n_features)
        size : int
            Rows per batch.
        source : NoiseSource

        Yields
        ------
        x : Tensor of shape (members or 1, size, n_features)
        gains : tuple of Tensor or None
            The factor on the inputs of each map, None for one.
        """
        noise = [linear.gain(x.shape[1], source) for linear in self.linears]
        xs = (x[0] if self.single else x).split(size, -2)
        gains = [
            repeat(None, len(xs)) if gain is None else self._lean(gain).split(size, -2)
            for gain in noise
        ]
        return zip(xs, zip(*gains, strict=True), strict=True)

    def forward(self, x: Tensor, gains: Sequence[Tensor | None]) -> tuple[Tensor, list]:
        """Noisy pass.

        Parameters
        ----------
        x : Tensor
        gains : sequence of Tensor or None
            Both from `batches`.

        Returns
        -------
        raw : Tensor of shape (members, rows, raw outputs)
        tape : list
            For `backward`.
        """
        if not self.single:
            x = x.expand(len(self.weights[0]), -1, -1)
        tape = []
        last = len(self.weights) - 1
        for depth, (weight, bias, gain) in enumerate(
            zip(self.weights, self.biases, gains, strict=True)
        ):
            inputs = x if gain is None else x * gain
            tape.append((x, inputs))
            if self.narrow[depth]:
                x = torch.baddbmm(bias.mT, weight.mT, inputs.mT).mT
            else:
                x = self.affine(bias, inputs, weight)
            if depth < last:
                x = self.activation(x)
        return x.unsqueeze(0) if self.single else x, tape

    def backward(self, tape: list, gains: Sequence[Tensor | None], gradient: Tensor) -> None:
        """Set the parameters' gradients.

        Parameters
        ----------
        tape : list
        gains : sequence
            As given to `forward`.
        gradient : Tensor of shape (members, rows, raw outputs)
            Of the objective with respect to the raw outputs.
        """
        if self.single:
            gradient = gradient[0]
        for depth in range(len(tape) - 1, -1, -1):
            activated, inputs = tape[depth]
            weight_gradient, bias_gradient = self.gradients[depth]
            narrow = self.narrow[depth]
            if narrow:
                weight_gradient.copy_(torch.bmm(gradient.mT, inputs).mT)
            else:
                self.product(inputs.mT, gradient, out=weight_gradient)
            torch.sum(gradient, -2, keepdim=True, out=bias_gradient)
            if depth:
                if narrow and gradient.shape[-1] == 1:
                    gradient = gradient * self.transposed[depth]
                else:
                    gradient = self.product(gradient, self.transposed[depth])
                gain = gains[depth]
                if gain is not None:
                    gradient.mul_(gain)
                gradient = self.derivative(gradient, activated)
