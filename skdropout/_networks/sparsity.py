"""Smaller stacks with the same functions, for families that switch weights off."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from .._support.members import copy_holding
from .plain import PlainStack
from .stack import Stack


@torch.no_grad()
def sparsify(stack: Stack) -> Stack:
    """A stack without dead inputs and dead hidden units.

    An input is dead if no living weight leaves it, in any member. So is a hidden unit, and also
    one that no living weight enters and whose activated bias is zero. Whatever a dead unit's
    other weights are, they never reach an output, so every function of the stack stays the same.

    Parameters
    ----------
    stack : Stack
        Layer normalization mixes the units of a layer, so there only inputs can go.

    Returns
    -------
    Stack
        Shares no memory with the first.
    """
    kept = _living_units(stack)
    small = copy_holding(stack)
    small.linears = torch.nn.ModuleList(  # type: ignore[assignment]
        linear.thinned(inputs, outputs)
        for linear, inputs, outputs in zip(stack.linears, kept[:-1], kept[1:], strict=True)
    )
    small.norms = torch.nn.ModuleList(  # type: ignore[assignment]
        norm.thinned(units) for norm, units in zip(stack.norms, kept[1:-1], strict=False)
    )
    small.input_scale = None
    small.inputs = kept[0] if stack.inputs is None else stack.inputs[kept[0]]
    widths = tuple(len(units) for units in kept)
    small.architecture = replace(stack.architecture, widths=widths)
    return small


def _living_units(stack: Stack) -> list[Tensor]:
    """Indices of the units to keep: inputs, each hidden layer, raw outputs."""
    plain = stack.plain()
    weights = [(layer.linear.weight[:, 0] != 0).any(0) for layer in plain.layers]
    removable = stack.architecture.normalization != "layer"
    alive = [weight.new_ones(weight.shape[0]) for weight in weights]
    before = -1
    while before != (total := sum(int(units.sum()) for units in alive)):
        before = total
        for depth in reversed(range(len(weights))):
            following = alive[depth + 1] if depth + 1 < len(alive) else slice(None)
            if depth == 0 or removable:
                alive[depth] &= weights[depth][:, following].any(1)
            if depth and removable:
                entered = weights[depth - 1][alive[depth - 1]].any(0)
                alive[depth] &= entered | ~_silent(plain, depth - 1)
        # A layer of no units is no layer: one dead unit stays.
        for units in alive:
            units[0] |= not units.any()
    outputs = torch.arange(weights[-1].shape[1], device=weights[-1].device)
    return [units.nonzero().flatten() for units in alive] + [outputs]


def _silent(plain: PlainStack, depth: int) -> Tensor:
    """Units of a hidden layer whose output is zero where nothing enters them."""
    return (plain.activation(plain.layers[depth].linear.bias[:, 0]) == 0).all(0)
