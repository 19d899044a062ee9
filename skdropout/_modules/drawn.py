"""Draws of modules: each is a fixed function, in which all rows share the masks."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .._support.threads import allowed_threads, spread, threads_for
from .interception import Interception
from .layout import Layout, outputs_of
from .masks import DrawnNoise, Masks, no_random
from .watching import ModuleRefusedError

# Rows and draws that go through a module together, on the CPU and on an accelerator. Rows go in
# chunks of one size, the last one filled up: products of matrices round as their shapes say.
_TOGETHER = (3200, 2**16)
_ROWS = (32, 256)
# Bytes that one step of a module may hold.
_STEP_BYTES = (2**25, 2**30)
# Of the raw outputs that are handed on at a time.
_HANDED_ON = 2**23
# Learned rates closer to 0 or 1 than this have collapsed.
_COLLAPSED = 1e-3


class Readout:
    """Which outputs of a module a likelihood takes, and in which order.

    Parameters
    ----------
    columns : sequence of int, optional
        None takes all as they come.
    difference : bool, default=False
        Of two classes whose logits are both there, take the log odds of the second.
    sign : float, default=1.0
        Factor. -1 makes the log odds of one class those of the other.
    """

    def __init__(
        self,
        columns: Sequence[int] | None = None,
        difference: bool = False,
        sign: float = 1.0,
    ) -> None:
        self.columns = None if columns is None else list(columns)
        self.difference, self.sign = difference, sign

    def __call__(self, raw: Tensor) -> Tensor:
        raw = raw if self.columns is None else raw[..., self.columns]
        raw = raw[..., 1:] - raw[..., :1] if self.difference else raw
        return raw if self.sign == 1 else raw * self.sign


@dataclass(frozen=True)
class ModuleMember:
    """One trained module.

    Attributes
    ----------
    seed : int
        Everything random about it follows from it.
    module : Module
        In evaluation mode, where it stays.
    layout : Layout
    readout : Readout
    """

    seed: int
    module: nn.Module
    layout: Layout
    readout: Readout

    def seeds(self) -> tuple[int, ...]:
        """Independent seeds for initial weights, row order, training noise and draws."""
        return member_seeds(self.seed)


def member_seeds(seed: int) -> tuple[int, ...]:
    """As those of `ModuleMember`, for a seed."""
    return tuple(int(state) for state in np.random.SeedSequence(seed).generate_state(4))


class ModuleStack:
    """Trained modules, of which functions are drawn.

    Parameters
    ----------
    members : sequence of ModuleMember
    """

    def __init__(self, members: Sequence[ModuleMember]) -> None:
        self.members = list(members)

    @property
    def noisy(self) -> bool:
        """Whether any of them has a dropout that is on."""
        return any(member.layout.noisy for member in self.members)

    def select(self, kept: Tensor) -> ModuleStack:
        """Some of the members."""
        return ModuleStack([self.members[number] for number in kept.tolist()])

    def plain(self) -> DrawnModules:
        """Without noise: one function of each member."""
        return DrawnModules(self.members, [None] * len(self.members), 1)

    def draw(self, n_draws: int, seeds: Sequence[int] | None = None) -> DrawnModules:
        """Functions from the posterior.

        Parameters
        ----------
        n_draws : int
            Of each member.
        seeds : sequence of int, one per member, optional
            By default those of the draws that predict.
        """
        chosen = self.draw_seeds() if seeds is None else list(seeds)
        return DrawnModules(self.members, chosen, n_draws)

    def draw_seeds(self) -> list[int]:
        """Seeds of the draws that predict, one per member."""
        return [member.seeds()[3] for member in self.members]

    def rates(self) -> np.ndarray:
        """Of each dropout that is on in training: ``(members, n_dropouts)``."""
        return np.array([[s.rate for s in member.layout.sites if s.on] for member in self.members])

    def complaints(self) -> Iterator[str]:
        """What a user should hear of the noise."""
        if complaint := self.members[0].layout.complaint:
            yield complaint
        sites = (site for member in self.members for site in member.layout.sites)
        for site in sites:
            if site.name == "concrete_dropout" and not _COLLAPSED < site.rate < 1 - _COLLAPSED:
                yield (
                    f"the learned rate of {site.where} collapsed to {site.rate:.2g}, where it says "
                    "nothing about uncertainty any more"
                )
                return

    def moments(self) -> Any:
        raise NotImplementedError("inference='moments' knows no formula for a module")


class DrawnModules:
    """Functions of some modules.

    Parameters
    ----------
    members : sequence of ModuleMember
    seeds : sequence of int or None, one per member
        Of their masks. None: no noise.
    n_draws : int
        Of each member.
    """

    def __init__(
        self, members: Sequence[ModuleMember], seeds: Sequence[int | None], n_draws: int
    ) -> None:
        self.members, self.seeds, self.n_draws = members, seeds, n_draws

    # Rows stay here; each chunk goes to the module's device when its turn comes.
    reads_from = torch.device("cpu")

    def evaluate(self, x: Tensor) -> Iterator[tuple[slice, list[Tensor]]]:
        """Evaluate all functions, a chunk of rows at a time.

        Parameters
        ----------
        x : Tensor of shape (rows, ...)
            Its dtype is the one of the computation.

        Yields
        ------
        rows : slice
        raw : list of Tensor of shape (n_draws, rows, n_raw), one per member
        """
        pairs = zip(self.members, self.seeds, strict=True)
        drawn = [_Drawn(member, seed, self.n_draws, x.dtype) for member, seed in pairs]
        each = 8 * max(self.n_draws * member.layout.width for member in self.members)
        step = max(1, _HANDED_ON // (each * drawn[0].n_rows)) * drawn[0].n_rows
        for start in range(0, len(x), step):
            rows = slice(start, min(start + step, len(x)))
            try:
                yield rows, [functions(x[rows]) for functions in drawn]
            except ModuleRefusedError as error:
                owner = self.members[0].layout.owner
                raise ModuleRefusedError(f"{owner}: {error}") from error


class _Drawn:
    """The functions of one module, in the dtype of the computation."""

    def __init__(
        self, member: ModuleMember, seed: int | None, n_draws: int, dtype: torch.dtype
    ) -> None:
        layout, module = member.layout, member.module
        values = next(iter(module.parameters()), torch.empty(0))
        self.device, self.dtype = values.device, dtype
        if dtype == torch.float64 and layout.doubles:
            module = copy.deepcopy(module).double()
        else:
            self.dtype = torch.float32
        self.given = dtype
        self.module, self.layout, self.readout = module, layout, member.readout
        self.masks = None if seed is None else Masks(seed, self.device, self.dtype)
        self.n_draws = n_draws
        accelerated = self.device.type != "cpu"
        together = _TOGETHER[accelerated] // n_draws
        self.n_rows = max(_ROWS[accelerated], min(4 * _ROWS[accelerated], together))
        budget = _STEP_BYTES[accelerated] // (8 if self.dtype == torch.float64 else 4)
        most = max(1, budget // (max(1, layout.largest) * self.n_rows))
        self.parts = [range(first, min(first + most, n_draws)) for first in range(0, n_draws, most)]

    def __call__(self, x: Tensor) -> Tensor:
        """Raw outputs ``(n_draws, rows, n_raw)``."""
        starts = range(0, len(x), self.n_rows)
        each = self.layout.multiply_adds * self.n_rows * self.n_draws
        alone = self.device.type != "cpu" or allowed_threads() == 1 or len(starts) == 1
        if alone:
            with threads_for(each):
                chunks = [self._chunk(x[start : start + self.n_rows]) for start in starts]
        else:
            chunks = spread(lambda s: self._chunk(x[s : s + self.n_rows]), starts, max(each, 10**6))
        return torch.cat(chunks, 1)

    def _chunk(self, x: Tensor) -> Tensor:
        n_given = len(x)
        if n_given < self.n_rows:
            x = x[torch.arange(self.n_rows).clamp_max(n_given - 1)]
        x = x.to(self.device, torch.int64 if self.layout.integers else self.dtype)
        if self.masks is None or not self.layout.noisy:
            raw = self.readout(outputs_of(self.module(x), len(x)))
            return raw[:n_given].to(self.given).expand(self.n_draws, -1, -1)
        parts = [self._some_draws(x, part, self.masks) for part in self.parts]
        return torch.cat(parts)[:, :n_given].to(self.given)

    def _some_draws(self, x: Tensor, draws: range, masks: Masks) -> Tensor:
        noise = DrawnNoise(self.layout, masks, draws, len(x), self.layout.late)
        if not self.layout.late:
            x = x.repeat(len(draws), *[1] * (x.ndim - 1))
        with Interception(noise, no_random):
            raw = self.module(x)
        noise.check_end()
        raw = self.readout(outputs_of(raw, len(draws) * noise.n_rows))
        return raw.unflatten(0, (len(draws), noise.n_rows))


def with_prefix(member: ModuleMember, rows: Tensor) -> ModuleMember:
    """The member, which computes what comes before the first dropout once, if it can.

    It can if nothing behind the first dropout goes by the number of rows before it, or adds to
    what was before it. That is found by trying.

    Parameters
    ----------
    member : ModuleMember
    rows : Tensor of shape (n_rows, ...)
        A few.
    """
    if not member.layout.noisy:
        return member
    late = replace(member, layout=replace(member.layout, late=True))
    with torch.no_grad():
        # Two draws and as many rows as in a chunk.
        each = _Drawn(member, 0, 2, torch.float32)(rows)
        try:
            at_once = _Drawn(late, 0, 2, torch.float32)(rows)
        except (ModuleRefusedError, RuntimeError, IndexError, ValueError):
            return member
    return late if torch.allclose(each, at_once, rtol=1e-3, atol=1e-5) else member
