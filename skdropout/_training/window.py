"""Training of a wide first map on sparse rows: a step sees only the columns that its batch has.

A batch of texts has entries in some thousand of a million columns. Weights that meet no entry have
no gradient, so a small stack takes the place of the whole: its first map has the weights of the
batch's columns, copied in before a step and back after it, with what the optimizer knows of them.
The step itself is that of any stack. Columns of which a batch has no entry rest meanwhile, in the
optimizer and in the penalty too, which is called lazy Adam elsewhere.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from .._networks.stack import Stack
from .._support.compressed import Compressed
from .._support.members import copy_holding
from .._support.scratch import Scratch
from .leaving import Moving
from .parameters import FlatParameters
from .rows import Rows

# Weights of the first map from which on it may pay.
_WIDE = 2**20
# Of the columns, the largest share that a batch may have.
_FEW = 0.25


def is_wide(rows: Rows, n_in: int, n_out: int) -> bool:
    """Whether a first map on these rows is one for a window, if it may be trained through one."""
    return isinstance(rows.x, Compressed) and n_in * n_out >= _WIDE


def window_size(stack: Stack, rows: Rows, batch_size: int) -> int | None:
    """Columns that a batch has, about, where the stack is to be trained through a window.

    That is where rows are compressed, the first map is wide, and its columns without an entry
    have no part in a step: it has neither noise nor a KL, and their size is not learned.
    """
    linear = stack.linears[0]
    apart = linear.is_exact_at_zero() and not linear.noisy and stack.input_scale is None
    _, n_in, n_out = linear.weight.shape
    if not apart or not is_wide(rows, n_in, n_out):
        return None
    x: Any = rows.x
    share = min(1.0, batch_size / len(x))
    expected = (1 - (1 - share) ** x.columns.bincount(minlength=n_in).float()).sum().item()
    return int(expected) + 1 if expected < _FEW * n_in else None


@torch.no_grad()
def start_columns(stack: Stack, rows: Rows) -> None:
    """Let columns that a member has no entry of start at zero, where nothing was trained yet.

    No step moves them, and what they were drawn as would be noise in the predictions.
    """
    if stack.n_epochs:
        return
    weight = stack.linears[0].weight
    for member, values in enumerate(weight):
        x: Any = rows.x if rows.owned is None else rows.x[rows.owned[member]]
        seen = torch.zeros(len(values), dtype=torch.bool, device=values.device)
        seen[x.columns.long()] = True
        values[~seen] = 0


class Window:
    """A small stack that is trained in the place of a stack with a wide first map.

    Parameters
    ----------
    whole : Moving
        With a state of the optimizer. Its stack has all weights of the first map; what comes
        after that map, the two stacks share.
    size : int
        Columns that it has room for; it grows where that is not enough.

    Attributes
    ----------
    moving : Moving
        Of the small stack.
    """

    def __init__(self, whole: Moving, size: int) -> None:
        self.whole, self.state = whole, dict(whole.optimizer_state or {})
        first = whole.stack.linears[0].weight.detach()
        self.n_members, self.n_columns, self.n_out = first.shape
        self.weight, self.scratch = first.flatten(0, 1), Scratch()
        self.moving = self._lay_out(size)

    def _lay_out(self, size: int) -> Moving:
        self.size = min(size, self.n_columns)
        whole = self.whole.stack
        room = self.weight.new_zeros(self.n_members, self.size, self.n_out)
        parameters = dict(whole.linears[0].named_parameters(recurse=False))
        parameters["weight"] = nn.Parameter(room)
        first = copy_holding(whole.linears[0], parameters=parameters)
        linears = nn.ModuleList([first, *list(whole.linears)[1:]])
        small = copy_holding(whole, children=dict(whole.named_children()) | {"linears": linears})
        widths = (self.size, *whole.architecture.widths[1:])
        small.architecture = replace(whole.architecture, widths=widths)
        state = {name: self._of_window(values) for name, values in self.state.items()}
        return replace(self.whole, stack=small, flat=FlatParameters(small), optimizer_state=state)

    def _of_window(self, values: Any) -> Any:
        """A part of the optimizer's state, for the small stack; nothing is in the window yet."""
        if not self._per_parameter(values, self.whole):
            return values
        room = values.new_zeros(self.n_members * self.size * self.n_out)
        return torch.cat([room, values[self.weight.numel() :]])

    @staticmethod
    def _per_parameter(values: Any, moving: Moving) -> bool:
        return isinstance(values, Tensor) and values.numel() == moving.flat.size and values.ndim > 0

    # ---- a batch -----------------------------------------------------------------------------

    def look(self, rows: Compressed, n_rows: int) -> tuple[Tensor, int]:
        """The rows of a batch in their columns, and how many columns of a window that takes.

        Parameters
        ----------
        rows : Compressed
            Rows of a member after those of another, or those of all.
        n_rows : int
            Of a member.
        """
        owner = torch.repeat_interleave(rows.starts.diff())
        keys, inverse = torch.unique(
            owner // n_rows * self.n_columns + rows.columns, sorted=True, return_inverse=True
        )
        n_groups = len(rows) // n_rows
        counts = (keys // self.n_columns).bincount(minlength=n_groups)
        size = max(int(counts.max()), self.size)
        x = self.scratch("x", rows.values, len(rows), size).zero_()
        before = (counts.cumsum(0) - counts).index_select(0, owner // n_rows)
        x.view(-1)[owner * size + inverse - before] = rows.values
        self.columns = list(keys.split(counts.tolist()))
        if n_groups < self.n_members:
            self.columns = [keys + self.n_columns * m for m in range(self.n_members)]
        return x.unflatten(0, (n_groups, n_rows)), size

    def grow(self, size: int, state: dict[str, Any]) -> Moving:
        """Make room for more columns. Returns the new small stack, with the optimizer's state."""
        self.keep(state)
        self.moving = self._lay_out(size + size // 4)
        return self.moving

    def load(self, state: dict[str, Any]) -> None:
        """Copy what the batch's columns need into the window."""
        for whole, own in self._pairs(state):
            for columns, values in zip(self.columns, own, strict=True):
                torch.index_select(whole, 0, columns, out=values[: len(columns)])

    def store(self, state: dict[str, Any]) -> None:
        """Copy what a step has made of it back."""
        for name, values in state.items():
            if self._per_parameter(values, self.moving) and name not in self.state:
                self.state[name] = values.new_zeros(self.whole.flat.size)
        for whole, own in self._pairs(state):
            for columns, values in zip(self.columns, own, strict=True):
                whole.index_copy_(0, columns, values[: len(columns)])

    def _pairs(self, state: dict[str, Any]) -> list[tuple[Tensor, Tensor]]:
        """Weights and state: those of the whole column by column, those of the window by member."""
        n_own = self.n_members * self.size * self.n_out
        shape = self.n_members, self.size, self.n_out
        pairs = [(self.weight, self.moving.flat.detached[:n_own].view(shape))]
        for name, values in state.items():
            whole = self.state.get(name)
            if whole is not None and self._per_parameter(values, self.moving):
                first = whole[: self.weight.numel()].view(-1, self.n_out)
                pairs.append((first, values[:n_own].view(shape)))
        return pairs

    def keep(self, state: dict[str, Any]) -> dict[str, Any]:
        """The optimizer's state of the whole stack, with what it knows of the other maps."""
        n_own = self.n_members * self.size * self.n_out
        for name, values in state.items():
            if self._per_parameter(values, self.moving):
                self.state[name][self.weight.numel() :] = values[n_own:]
            else:
                self.state[name] = values
        return self.state
