"""Rows in memory and the blocks that training takes them in, instead of a DataLoader."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from .._support.arrays import as_array, as_tensor
from .._support.compressed import Compressed, joined
from .._support.scratch import Scratch
from ..families import NoiseSource, kinds_of


class Rows(Dataset):
    """Rows in memory.

    Parameters
    ----------
    x : Tensor or Compressed of shape (rows, n_features)
    y : Tensor of shape (rows, ...)
    weight : Tensor of shape (rows,) or None
        Of mean one over the rows. None means ones.
    owned : Tensor of int64 of shape (members, n_own) or None
        Which rows each member of a stack has, in its order. None: each has all of them.
    lengths : Tensor of int64 of shape (members,) or None
        How many of those count; the others fill up. None: all.
    """

    def __init__(
        self,
        x: Tensor | Compressed,
        y: Tensor,
        weight: Tensor | None = None,
        owned: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> None:
        self.x, self.y, self.weight, self.owned, self.lengths = x, y, weight, owned, lengths

    def to(self, device: torch.device) -> Rows:
        """A copy on a device."""
        given = (self.weight, self.owned, self.lengths)
        rest = (None if values is None else values.to(device) for values in given)
        return Rows(self.x.to(device), self.y.to(device), *rest)

    def select(self, kept: Tensor) -> Rows:
        """The rows of some of the members; nothing is copied but their numbers."""
        given = (self.owned, self.lengths)
        some = (None if values is None else values[kept.to(values.device)] for values in given)
        return Rows(self.x, self.y, self.weight, *some)

    def part(self, index: Tensor) -> Rows:
        """Some rows, by number; their weights have mean one again."""
        x, y, weight = self[index]
        return Rows(x, y, None if weight is None else weight / weight.mean())

    def of_members(self, numbers: Sequence[Tensor]) -> Rows:
        """The same rows in memory, of which each member has its own.

        A member that has fewer than another sees some of them twice in an epoch.

        Parameters
        ----------
        numbers : sequence of Tensor of int64, one per member
        """
        most = torch.arange(max(len(own) for own in numbers))
        owned = torch.stack([own[most % len(own)] for own in numbers])
        return Rows(self.x, self.y, self.weight, owned)

    def same_as(self, other: Rows) -> bool:
        """Whether these are the same rows, of one member, in the same order."""
        if (self.weight is None) != (other.weight is None):
            return False
        if type(self.x) is not type(other.x):
            return False
        pairs: list[tuple[Any, Any]] = [(self.x, other.x)]
        if self.weight is not None and other.weight is not None:
            pairs.append((self.weight, other.weight))
        equal = all(ours.equal(theirs) for ours, theirs in pairs)
        return equal and _same_targets(self.y, other.y)

    @property
    def has_gaps(self) -> bool:
        """Whether single cells of the targets are missing (NaN)."""
        return self.y.ndim > 1 and bool(self.y.isnan().any())

    def __getstate__(self) -> dict:
        # As arrays, which joblib maps into the memory of other processes where they are large.
        return {k: as_array(v) if isinstance(v, Tensor) else v for k, v in vars(self).items()}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(
            {k: as_tensor(v) if isinstance(v, np.ndarray) else v for k, v in state.items()}
        )

    def __len__(self) -> int:
        """How many a member has, at most."""
        return self.x.shape[0] if self.owned is None else self.owned.shape[1]

    def __getitem__(self, index: Tensor | slice) -> tuple[Any, Tensor, Tensor | None]:
        weight = None if self.weight is None else self.weight[index]
        return self.x[index], self.y[index], weight


def _same_targets(ours: Tensor, theirs: Tensor) -> bool:
    if ours.shape != theirs.shape:
        return False
    # A missing target is NaN, which equals nothing.
    return bool(((ours == theirs) | (ours.isnan() & theirs.isnan())).all())


def join_rows(parts: Sequence[Rows]) -> Rows:
    """Rows of a stack from those of its members.

    Parameters
    ----------
    parts : sequence of Rows, one per member
        One object for several members is held once.

    Raises
    ------
    ValueError
        If there are several, and in one of them members have rows of their own.
    """
    distinct = list({id(part): part for part in parts}.values())
    if len(distinct) == 1:
        return distinct[0]
    weight = None
    if any(part.weight is not None for part in distinct):
        ones = (
            torch.ones(len(part), device=part.x.device) if part.weight is None else part.weight
            for part in distinct
        )
        weight = torch.cat(list(ones))
    if any(part.owned is not None for part in distinct):
        raise ValueError("rows of which members have their own cannot be joined with others")
    stops = torch.tensor([len(part) for part in distinct]).cumsum(0).tolist()
    place = {id(part): stop - len(part) for part, stop in zip(distinct, stops, strict=True)}
    starts = torch.tensor([place[id(part)] for part in parts])
    lengths = torch.tensor([len(part) for part in parts])
    # The last row of a member with fewer rows fills it up.
    numbers = torch.arange(int(lengths.max())).minimum(lengths.unsqueeze(1) - 1)
    x, y = (joined([getattr(part, name) for part in distinct]) for name in ("x", "y"))
    equal = bool((lengths == lengths[0]).all())
    return Rows(x, y, weight, starts.unsqueeze(1) + numbers, None if equal else lengths)


def part_sizes(n_rows: int, size: int, smallest: int = 1) -> list[int]:
    """Sizes of the parts that rows are taken in one after the other.

    Parameters
    ----------
    n_rows, size : int
        Positive. All parts have so many rows but the last, which has the rest.
    smallest : int
        A rest of fewer rows joins the part before it, if there is one.
    """
    sizes = [size] * (n_rows // size)
    rest = n_rows % size
    if sizes and rest < smallest:
        sizes[-1] += rest
    elif rest:
        sizes.append(rest)
    return sizes


class Blocks:
    """An epoch's rows in blocks of several batches, newly ordered each time.

    Yields the numbers of the block's rows, int64, with a leading axis of the members' different
    orders and rows, of length 1 where all members share them.

    Parameters
    ----------
    rows : Rows
    block_size : int
        Rows per block: a multiple of the batch size.
    order : NoiseSource or None
        Makes the orders. None keeps the order of the rows.
    smallest : int, default=1
        A last block of fewer rows joins the one before it.

    Attributes
    ----------
    kinds : tuple of Tensor of int64
        One member of each kind, which is to have the same rows in the same order, and the kind of
        each member; of this epoch.
    """

    kinds: tuple[Tensor, Tensor]

    def __init__(
        self, rows: Rows, block_size: int, order: NoiseSource | None, smallest: int = 1
    ) -> None:
        self.rows, self.block_size, self.order = rows, block_size, order
        self.smallest = smallest
        self.grouped: tuple | None = None

    def _kinds(self) -> tuple[Tensor, Tensor]:
        device = self.rows.x.device
        stream = None if self.order is None else self.order.stream
        owned = self.rows.owned
        # Members that share their orders have parts of the rows that begin apart (`join_rows`).
        own = None if owned is None else owned[:, 0]
        if owned is not None and stream is None:
            own = torch.unique(owned, dim=0, return_inverse=True)[1]
        marks = [values for values in (stream, own) if values is not None]
        if not marks:
            return (torch.zeros(1, dtype=torch.int64, device=device),) * 2
        return kinds_of(*marks)

    def take(self, x: Tensor | Compressed, index: Tensor, scratch: Scratch | None = None) -> Tensor:
        """``x[index]`` for a part of a block, dense and several times faster; the same for targets.

        Members that share rows and orders get copies of what was taken once.

        Parameters
        ----------
        x : Tensor or Compressed
        index : Tensor
        scratch : Scratch, optional
            For what is needed until the next call only: copies, and compressed rows as dense ones.
        """
        few = self.distinct(index)
        numbers = few.flatten()
        if isinstance(x, Compressed):
            rows = x[numbers]
            out = None if scratch is None else scratch("dense", rows.values, *rows.shape)
            taken = rows.to_dense(out)
        else:
            taken = x.index_select(0, numbers)
        taken = taken.view(*few.shape, *x.shape[1:])
        return self.copied(taken, index, scratch)

    def distinct(self, index: Tensor) -> Tensor:
        """The numbers of a part of a block, once for members that share rows and orders."""
        one, _ = self.kinds
        return index if len(one) == len(index) else index.index_select(0, one)

    def copied(self, taken: Tensor, index: Tensor, scratch: Scratch | None = None) -> Tensor:
        """What was taken for `distinct` numbers, for all members that `index` is of."""
        _, kind = self.kinds
        if len(taken) == len(index):
            return taken
        shape = len(kind), *taken.shape[1:]
        out = None if scratch is None else scratch("rows", taken, *shape)
        return torch.index_select(taken, 0, kind, out=out)

    def __iter__(self) -> Iterator[Tensor]:
        n_rows, owned = len(self.rows), self.rows.owned
        if self.grouped != (self.rows, self.order):
            # New, or some members have left.
            self.kinds, self.grouped = self._kinds(), (self.rows, self.order)
        self.shortest = n_rows if self.rows.lengths is None else int(self.rows.lengths.min())
        if self.order is None:
            order = torch.arange(n_rows, device=self.rows.x.device).unsqueeze(0)
        else:
            lengths = self.rows.lengths
            counts = None if lengths is None else self.order.of_streams(lengths)
            order = self.order.permutation(n_rows, counts)
        if owned is not None:
            order = owned.gather(1, order.expand(len(owned), -1))
        stop = 0
        for part in order.split(part_sizes(n_rows, self.block_size, self.smallest), 1):
            self.start, stop = stop, stop + part.shape[1]
            yield part

    def weight(self, index: Tensor) -> Tensor | None:
        """Weights of a block, zero for rows that only fill up: ``(members or 1, rows)`` or None."""
        weight = None if self.rows.weight is None else self.rows.weight[index]
        counting = self.counting(index.shape[1])
        if counting is None:
            return weight
        numbers = torch.arange(index.shape[1], device=index.device)
        counts = (numbers < counting.unsqueeze(1)).float()
        return counts if weight is None else weight * counts

    def counting(self, n_rows: int) -> Tensor | None:
        """How many of the block's rows count, for each member; None if all do."""
        lengths = self.rows.lengths
        if lengths is None or self.start + n_rows <= self.shortest:
            return None
        return (lengths - self.start).clamp(0, n_rows)
