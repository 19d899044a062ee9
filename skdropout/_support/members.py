"""The member axis: some members of anything that has one."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def copy_holding(
    module: M,
    *,
    parameters: Mapping[str, nn.Parameter | None] | None = None,
    buffers: Mapping[str, Tensor | None] | None = None,
    children: Mapping[str, nn.Module | None] | None = None,
) -> M:
    """A shallow copy of a module that may be given other things to hold; the first keeps its own.

    Parameters
    ----------
    module : Module
    parameters, buffers, children : mapping, optional
        What the copy holds in their place. None: those of the module.
    """
    other = copy.copy(module)
    other._parameters = dict(module._parameters if parameters is None else parameters)
    other._buffers = dict(module._buffers if buffers is None else buffers)
    other._modules = dict(module._modules if children is None else children)
    return other


def select_members(module: M, kept: Tensor) -> M:
    """A copy of a module with some of its members, which shares no memory with it.

    Parameters
    ----------
    module : Module
        Every parameter and buffer of it, and of its children, has a leading member axis.
    kept : Tensor of int64
        Which members, in increasing order.
    """
    return copy_holding(
        module,
        parameters={
            name: None if values is None else nn.Parameter(values.detach()[kept])
            for name, values in module._parameters.items()
        },
        buffers={
            name: None if values is None else values[kept]
            for name, values in module._buffers.items()
        },
        children={
            name: None if child is None else select_members(child, kept)
            for name, child in module._modules.items()
        },
    )


def join_members(modules: Sequence[M]) -> M:
    """Modules that differ in their members only, as one with all members.

    Parameters
    ----------
    modules : sequence of Module
        Without parameters and children; every buffer has a leading member axis.
    """
    joined = copy.deepcopy(modules[0])
    for name, first in joined._buffers.items():
        if first is not None:
            parts = [module.get_buffer(name) for module in modules]
            joined._buffers[name] = torch.cat(parts)
    return joined
