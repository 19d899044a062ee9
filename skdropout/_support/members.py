"""The member axis: some members of anything that has one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def select_members(module: M, kept: Tensor) -> M:
    """A copy of a module with some of its members, which shares no memory with it.

    Parameters
    ----------
    module : Module
        Every parameter and buffer of it, and of its children, has a leading member axis.
    kept : Tensor of int64
        Which members, in increasing order.
    """
    small = copy.copy(module)
    small._parameters = {
        name: None if values is None else nn.Parameter(values.detach()[kept])
        for name, values in module._parameters.items()
    }
    small._buffers = {
        name: None if values is None else values[kept] for name, values in module._buffers.items()
    }
    small._modules = {
        name: None if child is None else select_members(child, kept)
        for name, child in module._modules.items()
    }
    return small


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
