"""Rows in memory and the blocks that training takes them in, instead of a DataLoader."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from .families import NoiseSource


def as_tensor(values: np.ndarray) -> Tensor:
    """A tensor over the same memory, where that is possible."""
    # Nothing writes to it, but torch warns about arrays that cannot be written to, such as
    # joblib's memory maps.
    values = np.ascontiguousarray(values)
    return torch.from_numpy(values if values.flags.writeable else values.copy())


class Rows(Dataset):
    """Rows in memory.

    Parameters
    ----------
    x : Tensor of shape (rows, n_features)
    y : Tensor of shape (rows, ...)
    weight : Tensor of shape (rows,) or (members, rows), or None
        Of mean one over the rows. None means ones.
    """

    def __init__(self, x: Tensor, y: Tensor, weight: Tensor | None = None) -> None:
        self.x, self.y, self.weight = x, y, weight

    def to(self, device: torch.device) -> Rows:
        """The same rows on a device."""
        weight = None if self.weight is None else self.weight.to(device)
        return Rows(self.x.to(device), self.y.to(device), weight)

    def __len__(self) -> int:
        return self.x.shape[0]

    def __getitem__(self, index: Tensor | slice) -> tuple[Tensor, Tensor, Tensor | None]:
        weight = self.weight
        if weight is not None and weight.ndim == 2 and isinstance(index, Tensor):
            weight = weight.gather(1, index)
        elif weight is not None:
            weight = weight[..., index]
        return self.x[index], self.y[index], weight


class Blocks:
    """An epoch's rows in blocks of several batches, newly ordered each time.

    Yields ``(x, y, weight)`` with a leading axis of the members' different orders, of length 1
    where all members share one.

    Parameters
    ----------
    rows : Rows
    block_size : int
        Rows per block: a multiple of the batch size.
    order : NoiseSource or None
        Makes the orders. None keeps the order of the rows.
    """

    def __init__(self, rows: Rows, block_size: int, order: NoiseSource | None) -> None:
        self.rows, self.block_size, self.order = rows, block_size, order

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        n_rows = len(self.rows)
        if self.order is None:
            order = torch.arange(n_rows, device=self.rows.x.device).unsqueeze(0)
        else:
            order = self.order.permutation(n_rows)
        for start in range(0, n_rows, self.block_size):
            yield self.rows[order[:, start : start + self.block_size]]
