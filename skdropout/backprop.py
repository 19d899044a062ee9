"""The reverse pass written out, for stacks whose noise multiplies the inputs of linear maps.

Autograd costs more than the arithmetic of a small network: it is the larger half of a training
step at 100 hidden units and 32 rows. Without normalization and without learned noise the gradient
is a few lines a layer, so it stands here; every other stack trains through autograd. A test holds
the two equal.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .families import MultiplicativeLinear, NoiseSource
from .network import ACTIVATIONS, Stack


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
        # Attributes of modules and transposes cost microseconds each; a step has few of them.
        self.weights = [linear.weight.detach() for linear in self.linears]
        self.biases = [linear.bias.detach() for linear in self.linears]
        self.transposed = [weight.transpose(1, 2) for weight in self.weights]
        self.gradients = [(linear.weight.grad, linear.bias.grad) for linear in self.linears]

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

    def gains(self, n_rows: int, source: NoiseSource) -> list[Tensor | None]:
        """Noise for `n_rows` rows: the factor on the inputs of each map, None for one."""
        return [linear.gain(n_rows, source) for linear in self.linears]

    def forward(self, x: Tensor, gains: Sequence[Tensor | None]) -> tuple[Tensor, list]:
        """Noisy pass.

        Parameters
        ----------
        x : Tensor of shape (members, rows, n_features)
        gains : sequence of Tensor of shape (members or 1, rows, n_in) or None

        Returns
        -------
        raw : Tensor of shape (members, rows, raw outputs)
        tape : list
            For `backward`.
        """
        tape = []
        last = len(self.weights) - 1
        for depth, (weight, bias, gain) in enumerate(
            zip(self.weights, self.biases, gains, strict=True)
        ):
            inputs = x if gain is None else x * gain
            tape.append((x, inputs))
            x = torch.baddbmm(bias, inputs, weight)
            if depth < last:
                x = self.activation(x)
        return x, tape

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
        for depth in range(len(tape) - 1, -1, -1):
            activated, inputs = tape[depth]
            weight_gradient, bias_gradient = self.gradients[depth]
            torch.bmm(inputs.transpose(1, 2), gradient, out=weight_gradient)
            torch.sum(gradient, 1, keepdim=True, out=bias_gradient)
            if depth:
                gradient = torch.bmm(gradient, self.transposed[depth])
                gain = gains[depth]
                if gain is not None:
                    gradient.mul_(gain)
                gradient = self.derivative(gradient, activated)
