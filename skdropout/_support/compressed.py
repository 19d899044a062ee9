"""Rows with few entries, compressed: all that is not zero, and dense tensors of a few of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from .arrays import as_array, as_tensor

# Columns: with fewer, dense rows are small, and looking which have entries takes as long.
_WIDE = 2**13


# That are filled up at a time.
_ROWS = 2**14
# Times as many entries as there are that rows of equal length may have.
_FILLED = 1.25


class Compressed:
    """Rows of which only the entries are held, as in a matrix in CSR format.

    Whoever has rows asks the same of this and of a tensor: shape, dtype, device, some of the rows,
    and `to_dense` of these, which a dense tensor answers with itself.

    Parameters
    ----------
    starts : Tensor of int64 of shape (rows + 1,)
        Where the entries of each row begin, and where those of the last end.
    columns : Tensor of int32 of shape (entries,)
        In a row each once, or again with the same value.
    values : Tensor of shape (entries,)
    n_columns : int
    each : int or None
        Entries of each row where all have as many, which is several times faster; rows are filled
        up with their last entry for it where few are missing.
    """

    def __init__(
        self,
        starts: Tensor,
        columns: Tensor,
        values: Tensor,
        n_columns: int,
        each: int | None = None,
    ) -> None:
        self.starts, self.columns, self.values = starts, columns, values
        self.n_columns, self.each = n_columns, each

    @classmethod
    def of_matrix(cls, matrix: Any, dtype: torch.dtype | None = None) -> Compressed:
        """Of a matrix or array of scipy in CSR format, with its numbers or those of a dtype."""
        if not matrix.has_canonical_format:
            # Several entries of one cell are added up, but not in what is the caller's.
            matrix = matrix.copy()
            matrix.sum_duplicates()
        starts = as_tensor(matrix.indptr.astype(np.int64, copy=False))
        columns = as_tensor(matrix.indices.astype(np.int32, copy=False))
        values = as_tensor(matrix.data)
        values = values if dtype is None else values.to(dtype)
        counts = starts.diff()
        most = int(counts.max()) if len(counts) else 0
        if most * len(counts) > _FILLED * len(columns):
            return cls(starts, columns, values, matrix.shape[1])
        if most * len(counts) > len(columns):
            starts, columns, values = _filled_up(starts, columns, values, most)
        return cls(starts, columns, values, matrix.shape[1], most)

    def matrix(self) -> Any:
        """As a matrix of scipy in CSR format."""
        own = torch.ones(len(self.columns) + 1, dtype=torch.bool, device=self.device)
        own[1:-1] = self.columns.diff() != 0
        own[self.starts] = True
        starts = torch.nn.functional.pad(own[:-1].cumsum(0), (1, 0))[self.starts]
        parts = self.values[own[:-1]], self.columns[own[:-1]], starts
        return sparse.csr_matrix(tuple(map(as_array, parts)), shape=self.shape)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), self.n_columns

    @property
    def dtype(self) -> torch.dtype:
        return self.values.dtype

    @property
    def device(self) -> torch.device:
        return self.values.device

    def __len__(self) -> int:
        return len(self.starts) - 1

    def element_size(self) -> int:
        """Bytes of a number."""
        return self.values.element_size()

    def to(self, target: torch.device | torch.dtype | str) -> Compressed:
        """On a device, or with values of a dtype."""
        starts, columns = self.starts, self.columns
        if not isinstance(target, torch.dtype):
            starts, columns = starts.to(target), columns.to(target)
        return self._with(starts, columns, self.values.to(target))

    def __getitem__(self, rows: slice | Tensor) -> Compressed:
        """Some rows, still compressed.

        Parameters
        ----------
        rows : slice or Tensor of int64
        """
        if isinstance(rows, slice):
            start, stop, _ = rows.indices(len(self))
            starts = self.starts[start : max(start, stop) + 1]
            own = slice(int(starts[0]), int(starts[-1]))
            return self._with(starts - own.start, self.columns[own], self.values[own])
        if self.each:
            starts = torch.arange(len(rows) + 1, device=self.device) * self.each
            parts = self._by_row(self.each)
            return self._with(starts, *(part.index_select(0, rows).view(-1) for part in parts))
        first = self.starts.index_select(0, rows)
        counts = self.starts.index_select(0, rows + 1) - first
        starts = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
        owner = torch.repeat_interleave(counts)
        place = torch.arange(len(owner), device=self.device)
        place += (first - starts[:-1]).index_select(0, owner)
        columns, values = (part.index_select(0, place) for part in (self.columns, self.values))
        return self._with(starts, columns, values)

    def _with(self, starts: Tensor, columns: Tensor, values: Tensor) -> Compressed:
        return Compressed(starts, columns, values, self.n_columns, self.each)

    def _by_row(self, each: int) -> tuple[Tensor, Tensor]:
        return self.columns.view(-1, each), self.values.view(-1, each)

    def index_select(self, dim: int, index: Tensor) -> Compressed:
        """Some rows, as from a tensor."""
        assert dim == 0, "rows are selected"
        return self[index]

    @property
    def wide(self) -> bool:
        """Whether there are so many columns that few rows may leave most of them empty."""
        return self.n_columns >= _WIDE

    @property
    def spreads(self) -> bool:
        """Whether these rows do, so that `narrowed` is worth its while."""
        return self.wide and 2 * len(self.columns) < self.n_columns

    def narrowed(self) -> tuple[Tensor, Compressed]:
        """The columns that have an entry, int64 and in order, and the rows without the others."""
        columns, place = torch.unique(self.columns, return_inverse=True)
        few = Compressed(self.starts, place, self.values, len(columns), self.each)
        return columns.long(), few

    def to_dense(self, out: Tensor | None = None) -> Tensor:
        """All rows, with their zeros.

        Parameters
        ----------
        out : Tensor of the rows' shape, optional
            Memory for it.
        """
        dense = self.values.new_zeros(self.shape) if out is None else out.zero_()
        if self.each:
            columns, values = self._by_row(self.each)
            return dense.scatter_(1, columns.long(), values)
        place = torch.repeat_interleave(self.starts.diff()).mul_(self.n_columns).add_(self.columns)
        dense.view(-1).scatter_(0, place, self.values)
        return dense

    def equal(self, other: Compressed) -> bool:
        """Whether the other has the same entries in the same order."""
        pairs = zip(self._parts(), other._parts(), strict=True)
        return self.shape == other.shape and all(a.equal(b) for a, b in pairs)

    def _parts(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.starts, self.columns, self.values

    def __getstate__(self) -> dict[str, Any]:
        return {k: as_array(v) if isinstance(v, Tensor) else v for k, v in vars(self).items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(
            {k: as_tensor(v) if isinstance(v, np.ndarray) else v for k, v in state.items()}
        )


def _filled_up(
    starts: Tensor, columns: Tensor, values: Tensor, each: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Rows with so many entries each; the last one of a row is there again."""
    n_rows = len(starts) - 1
    parts = [values.new_empty(n_rows, each), columns.new_empty(n_rows, each)]
    # Some rows at a time: numbers of all entries would take as much memory again.
    for first in range(0, n_rows, _ROWS):
        here = starts[first : first + _ROWS + 1]
        counts = here.diff().unsqueeze(1)
        place = (torch.arange(each).minimum(counts - 1) + here[:-1].unsqueeze(1)).clamp_min_(0)
        own = slice(first, first + len(place))
        # A row without an entry gets a zero.
        parts[0][own] = values[place].mul_(counts > 0)
        parts[1][own] = columns[place]
    return torch.arange(n_rows + 1) * each, parts[1].view(-1), parts[0].view(-1)


def rows_of(X: Any, dtype: torch.dtype | None = None) -> Tensor | Compressed:
    """Rows in memory, of an array or of a matrix in CSR format.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (rows, n_columns)
    dtype : torch.dtype, optional
        By default that of `X`, whose memory is shared where possible.
    """
    if sparse.issparse(X):
        return Compressed.of_matrix(X, dtype)
    rows = as_tensor(X)
    return rows if dtype is None else rows.to(dtype)


def given(x: Tensor | Compressed) -> Any:
    """Rows as a user gives them: an array, or a matrix in CSR format."""
    return x.matrix() if isinstance(x, Compressed) else as_array(x)


def held(x: Tensor | Compressed) -> Tensor:
    """The numbers that rows hold; all others are zero."""
    return x.values if isinstance(x, Compressed) else x


def joined(parts: Sequence[Any]) -> Any:
    """Rows of one kind, one after the other."""
    if isinstance(parts[0], Tensor):
        return torch.cat(list(parts))
    stops = torch.tensor([len(part.values) for part in parts]).cumsum(0).tolist()
    starts = [parts[0].starts]
    starts += [part.starts[1:] + stop for part, stop in zip(parts[1:], stops, strict=False)]
    columns, values = (
        torch.cat([getattr(p, name) for p in parts]) for name in ("columns", "values")
    )
    each = {part.each for part in parts}
    alike = each.pop() if len(each) == 1 else None
    return Compressed(torch.cat(starts), columns, values, parts[0].n_columns, alike)


def rows_within(x: Tensor | Compressed, n_rows: int, n_bytes: int) -> int:
    """So many rows, or fewer where they are compressed and would be larger when they are dense.

    Of very many columns only those with an entry count (`Compressed.narrowed`).

    Parameters
    ----------
    x : Tensor or Compressed
    n_rows, n_bytes : int
    """
    if isinstance(x, Tensor):
        return n_rows
    size = n_bytes // x.element_size()
    fitting = size // x.shape[1]
    if x.wide:
        # So many rows have entries in no more columns than this allows for.
        entries = max(1.0, len(x.columns) / len(x))
        fitting = max(fitting, min(math.isqrt(int(size / entries)), int(x.n_columns / entries / 2)))
    return max(1, min(n_rows, fitting))
