"""Activations of the hidden units, by the names that scikit-learn's MLP uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Activation:
    """An activation, and its gradient in terms of what it returned.

    Attributes
    ----------
    function : callable
    in_place : callable
        The same, which may overwrite what it is given.
    backward : callable
        Takes the gradient from above, which it may overwrite, and the activated values.
    """

    function: Callable[[Tensor], Tensor]
    in_place: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor], Tensor]


ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(lambda x: x, lambda x: x, lambda gradient, _: gradient),
    "logistic": Activation(torch.sigmoid, torch.sigmoid_, torch.ops.aten.sigmoid_backward),
    "relu": Activation(
        torch.relu,
        torch.relu_,
        lambda g, y: torch.ops.aten.threshold_backward.grad_input(g, y, 0, grad_input=g),
    ),
    "tanh": Activation(torch.tanh, torch.tanh_, torch.ops.aten.tanh_backward),
}
