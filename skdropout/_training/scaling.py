"""Weights of the first map as products, of which both factors learn.

The weights of an input are ``exp(s) v``, one number and a vector. Adam moves all numbers alike, so
it moves ``s`` as far for an input that matters little as for one that matters much, and the weights
follow as a whole: inputs that help count more after few epochs, and the others fade. Holzmüller,
Grinsztajn and Steinwart (2024) multiply the inputs by such numbers (the exponential is ours); here
the stack holds the products, so that nothing else knows of them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from .._networks.input_scale import InputScale
from .._networks.stack import Stack


class InputScaling:
    """What a step makes of the first map's weights.

    Parameters
    ----------
    stack : Stack
        With an `InputScale`. Its parameters must stay the same tensors and have a `grad`.
    """

    def __init__(self, stack: Stack) -> None:
        assert stack.input_scale is not None
        first, log = stack.linears[0].weight, stack.input_scale.log
        assert first.grad is not None
        assert log.grad is not None
        self.weight, self.gradient = first.detach(), first.grad
        self.log, self.log_gradient = log.detach(), log.grad

    @staticmethod
    def of(stack: Stack) -> InputScaling | None:
        """That of a stack, if it has any."""
        return None if stack.input_scale is None else InputScaling(stack)

    def set_gradient(self) -> None:
        """Set the logarithms' from that of the products, but for a factor that Adam cannot see."""
        torch.sum(self.gradient * self.weight, -1, keepdim=True, out=self.log_gradient)

    def around(self, take_step: Callable[[], None]) -> None:
        """Let the optimizer move the logarithms and the vectors, and make products of them.

        Parameters
        ----------
        take_step : callable
            Moves the weights, which are products before, by what the vectors should move.
        """
        weight, log = self.weight.clone(), self.log.clone()
        take_step()
        scale = (log * InputScale.SPEED).exp_()
        grown = ((self.log - log) * InputScale.SPEED).exp_()
        # grown * (weight + scale * (self.weight - weight)), in two passes over the weights.
        self.weight.mul_(grown * scale).addcmul_(weight, grown.mul_(1 - scale))
