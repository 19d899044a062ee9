"""The reverse pass written out, for stacks without normalization whose families allow it.

Autograd costs more than the arithmetic of a small network: it is the larger half of a training
step at 100 hidden units and 32 rows. With large weight posteriors it makes a dozen passes more
over tensors of the size of the weights. The gradients are a few lines a map, and stand with
their family (`ReversePass`); every other stack trains through autograd. Tests hold the two equal.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from itertools import repeat

from torch import Tensor

from .._networks.activations import ACTIVATIONS
from .._networks.stack import Stack
from .._support.scratch import Scratch
from ..families import NoiseStreams, ReversePass

# Smaller results are allocated faster than they are written to memory that is held.
_HELD_BYTES = 2**18


class Backprop:
    """Forward and reverse pass of a stack, for one training.

    Parameters
    ----------
    stack : Stack
        Its parameters must stay the same tensors, changed in place only, and each must have a
        `grad`, which `backward` overwrites.
    held_bytes : int, optional
        Results of a step that take at least so many bytes are written to the same memory in each
        step.

    Attributes
    ----------
    scratch : Scratch
        For rows on their way into `batches`, and for what large steps compute.
    """

    def __init__(self, stack: Stack, held_bytes: int = _HELD_BYTES) -> None:
        self.held_bytes = held_bytes
        activation = ACTIVATIONS[stack.architecture.activation]
        self.activation, self.derivative = activation.in_place, activation.backward
        self.n_members = len(stack.members)
        self.scratch = Scratch()
        # `supports` has said that each has one.
        self.maps = [
            quick(linear)
            for quick, linear in zip(_passes(stack), stack.linears, strict=True)
            if quick is not None
        ]

    @staticmethod
    def supports(stack: Stack) -> bool:
        """Whether this stack can be trained so."""
        return (
            not stack.norms
            and stack.inputs is None
            and all(quick is not None for quick in _passes(stack))
        )

    def batches(self, x: Tensor, size: int, source: NoiseStreams) -> Iterator[tuple]:
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
        noise : tuple of Tensor or None
            What each map asked for, None for nothing.
        """
        self._hold_memory(size)
        noise = [map_.noise(x.shape[1], source) for map_ in self.maps]
        # A stack of one needs no axis of members, and its products are cheaper without.
        single = self.n_members == 1
        xs = (x[0] if single else x).split(size, -2)
        parts = [
            repeat(None, len(xs))
            if values is None
            else (values[0] if single else values).split(size, -2)
            for values in noise
        ]
        return zip(xs, zip(*parts, strict=True), strict=True)

    def _hold_memory(self, n_rows: int) -> None:
        """For what steps over so many rows compute. Raw outputs are looked at after a step too."""
        for depth, (before, after) in enumerate(itertools.pairwise(self.maps)):
            weight = before.product.weight
            shape = *weight.shape[:-2], n_rows, weight.shape[-1]
            if 4 * math.prod(shape) >= self.held_bytes:
                before.product.outputs = self.scratch(f"outputs {depth}", weight, *shape)
                after.product.gradient = self.scratch(f"gradient {depth}", weight, *shape)

    def forward(self, x: Tensor, noise: Sequence[Tensor | None]) -> tuple[Tensor, list]:
        """Noisy pass.

        Parameters
        ----------
        x : Tensor
        noise : sequence of Tensor or None
            Both from `batches`.

        Returns
        -------
        raw : Tensor of shape (members, rows, raw outputs)
        tape : list
            For `backward`.
        """
        if self.n_members > 1:
            x = x.expand(self.n_members, -1, -1)
        tape: list[tuple] = []
        for map_, values in zip(self.maps, noise, strict=True):
            if tape:
                x = self.activation(x)
            activated = x
            x, kept = map_.forward(x, values)
            tape.append((activated, kept))
        return x.unsqueeze(0) if self.n_members == 1 else x, tape

    def backward(self, tape: list, gradient: Tensor) -> None:
        """Set the parameters' gradients, without those of the KL.

        Parameters
        ----------
        tape : list
            From `forward`; it is used up.
        gradient : Tensor of shape (members, rows, raw outputs)
            Of the objective with respect to the raw outputs; it is overwritten.
        """
        if self.n_members == 1:
            gradient = gradient[0]
        for depth in range(len(tape) - 1, -1, -1):
            activated, kept = tape[depth]
            self.maps[depth].backward(activated, kept, gradient)
            if depth:
                gradient = self.maps[depth].gradient_of_inputs(activated, kept, gradient)
                gradient = self.derivative(gradient, activated)

    def add_kl_gradient(self, factors: Tensor, source: NoiseStreams) -> None:
        """Add that of the KL; after `backward`.

        Parameters
        ----------
        factors : Tensor of shape (members,)
        source : NoiseSource
            Both as in `ReversePass.add_kl_gradient`.
        """
        for map_ in self.maps:
            map_.add_kl_gradient(factors, source)


def _passes(stack: Stack) -> list[type[ReversePass] | None]:
    """What each family offers for its map; None for autograd."""
    rectifies = stack.architecture.activation == "relu"
    return [
        linear.reverse_pass(rectified=depth > 0 and rectifies)
        for depth, linear in enumerate(stack.linears)
    ]
