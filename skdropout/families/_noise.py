"""Random numbers for training: one stream per member of the stack."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_INT64_MIN = -(2**63)


class NoiseSource:
    """Fresh noise for every row while a stack is trained.

    Each member reads the stream of its own seed, so it gets the numbers that it would get alone.
    Members with equal seeds share one stream: the numbers are made once and broadcast.

    Parameters
    ----------
    seeds : sequence of int
        One seed per member.
    device : torch.device
        Where the numbers are needed. They are made there; a CPU and a GPU give different ones.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device):
        unique, stream = np.unique(np.asarray(seeds, dtype=np.int64), return_inverse=True)
        self.device = device
        self.generators = [torch.Generator(device).manual_seed(int(seed)) for seed in unique]
        self.stream = None if len(unique) == 1 else torch.as_tensor(stream, device=device)

    def _per_member(self, streams: Tensor) -> Tensor:
        return streams if self.stream is None else streams[self.stream]

    def bits(self, *shape: int) -> Tensor:
        """Uniform 16-bit integers, shape ``(members or 1, *shape)``, int16.

        On a CPU `bernoulli_` is half of a training step. Four of these numbers come out of one
        64-bit word, which makes a mask several times cheaper.
        """
        count = math.prod(shape)
        words = torch.empty(
            len(self.generators), (count + 3) // 4, dtype=torch.int64, device=self.device
        )
        for row, generator in zip(words, self.generators, strict=True):
            # Without explicit bounds random_() leaves the sign bit zero.
            row.random_(_INT64_MIN, None, generator=generator)
        bits = words.view(torch.int16)[:, :count].view(-1, *shape)
        return bits if self.stream is None else bits[self.stream]

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, shape ``(members or 1, *shape)``, float32."""
        numbers = torch.empty(len(self.generators), *shape, dtype=torch.float32, device=self.device)
        for row, generator in zip(numbers, self.generators, strict=True):
            row.normal_(generator=generator)
        return self._per_member(numbers)

    def permutation(self, n_rows: int) -> Tensor:
        """Random orders of ``range(n_rows)``, shape ``(members or 1, n_rows)``, int64."""
        orders = [
            torch.randperm(n_rows, generator=generator, device=self.device)
            for generator in self.generators
        ]
        return self._per_member(torch.stack(orders))

    def __getstate__(self) -> dict:
        # Generators are stored by their state, on the CPU, so that a model that was trained on
        # a GPU unpickles on a machine without one.
        state = self.__dict__.copy()
        state["generators"] = [generator.get_state() for generator in self.generators]
        state["stream"] = None if self.stream is None else self.stream.cpu()
        return state

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        if self.device.type == "cuda" and not torch.cuda.is_available():
            self.device = torch.device("cpu")
        states: list[Tensor] = state["generators"]
        self.generators = [torch.Generator(self.device) for _ in states]
        for generator, saved in zip(self.generators, states, strict=True):
            if saved.numel() == generator.get_state().numel():
                generator.set_state(saved)
            else:
                # A CUDA stream cannot go on as a CPU one; it starts anew from the same bytes.
                generator.manual_seed(int(saved.to(torch.int64).sum()))
        if self.stream is not None:
            self.stream = self.stream.to(self.device)
