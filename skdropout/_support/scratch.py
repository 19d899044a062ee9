"""Memory that is used again and again."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Scratch:
    """Tensors for results that are not needed after the step that makes them.

    The system hands out a fresh tensor of a megabyte page by page, and takes it back at once.
    Measured in large stacks, that was a tenth to a quarter of the time of a step.
    """

    def __init__(self) -> None:
        self.memory: dict[str, Tensor] = {}

    def __call__(self, use: str, like: Tensor, *shape: int) -> Tensor:
        """A tensor with any values, in the memory that this use had before.

        Parameters
        ----------
        use : str
            What it is for. What was there for the same use before is overwritten.
        like : Tensor
            Of its dtype and device.
        *shape : int
        """
        size, kept = math.prod(shape), self.memory.get(use)
        if kept is None or len(kept) < size:
            kept = self.memory[use] = torch.empty(size, dtype=like.dtype, device=like.device)
        return kept[:size].view(shape)
