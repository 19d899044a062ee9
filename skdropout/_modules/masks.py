"""The masks of draws: one for all rows, that follows from a seed and never from the batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .kinds import Affine, Call
from .layout import Layout
from .watching import ModuleRefusedError


class Masks:
    """The random numbers of draws: each draw and each dropout has a stream of its own.

    Parameters
    ----------
    seed : int
    device, dtype
        Of the computation.
    """

    def __init__(self, seed: int, device: torch.device, dtype: torch.dtype) -> None:
        self.seed, self.device, self.dtype = seed, device, dtype
        self._made: dict[tuple[int, range], Affine] = {}

    def of(self, number: int, call: Call, draws: range, shape: tuple[int, ...]) -> Affine:
        """What a dropout multiplies by and adds: ``(draws, 1, *shape)``."""
        # Threads that make the same make it equal.
        if (number, draws) not in self._made:
            made = (self._random(number, call, draw, shape) for draw in draws)
            random = torch.from_numpy(np.stack(list(made))).unsqueeze(1)
            factor, shift = call.kind.affine(random, call.rate)
            moved = None if shift is None else shift.to(self.device, self.dtype)
            self._made[number, draws] = factor.to(self.device, self.dtype), moved
        return self._made[number, draws]

    def _random(self, number: int, call: Call, draw: int, shape: tuple[int, ...]) -> np.ndarray:
        sequence = np.random.SeedSequence(self.seed, spawn_key=(draw, number))
        rng = np.random.default_rng(sequence)
        make: Any = rng.standard_normal if call.kind.normal else rng.random
        return np.asarray(make(shape, dtype=np.float32))


class DrawnNoise:
    """Dropouts in some draws: one mask for all rows, which are there once for each draw.

    Parameters
    ----------
    layout : Layout
    masks : Masks
    draws : range
    n_rows : int
    late : bool
        Whether the rows are there only once until the first dropout.
    """

    def __init__(self, layout: Layout, masks: Masks, draws: range, n_rows: int, late: bool) -> None:
        self.layout, self.masks, self.draws, self.n_rows = layout, masks, draws, n_rows
        self.together, self.number = not late, 0

    def __call__(self, call: Call) -> Tensor:
        number, x = self.number, call.x
        self.number += 1
        if number >= len(self.layout.sites):
            raise self._other(f"more than {number} dropouts")
        site = self.layout.sites[number]
        n_rows = len(self.draws) * self.n_rows if self.together else self.n_rows
        if len(x) != n_rows or call.kind.name != site.name or call.kind.shape(x) != site.shape:
            raise self._other(
                f"{call.kind.name} on a tensor of shape {tuple(x.shape)} ({n_rows} rows)"
            )
        if not site.on or call.rate == 0:
            return x
        factor, shift = self.masks.of(number, call, self.draws, site.shape)
        rows = x.unflatten(0, (len(self.draws), self.n_rows)) if self.together else x.unsqueeze(0)
        self.together = True
        rows = rows * factor if shift is None else torch.addcmul(shift, rows, factor)
        return rows.flatten(0, 1)

    def check_end(self) -> None:
        """Refuse a pass that has called fewer dropouts than it should."""
        if self.number < len(self.layout.sites):
            raise self._other(f"{self.number} dropouts")

    def _other(self, what: str) -> ModuleRefusedError:
        names = [(site.name, site.where, site.shape) for site in self.layout.sites]
        return ModuleRefusedError(
            f"it calls {what} for these rows, and called {names} for the first rows of training; a "
            "draw is one function, with the same dropouts for every row"
        )


def no_random(func: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    raise ModuleRefusedError(
        f"it draws random numbers in evaluation mode ({func.__name__}), so it is no fixed function"
    )
