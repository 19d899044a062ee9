"""Compressed rows and the networks that read them: the columns that a few rows have entries in."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._support.compressed import Compressed
from .._support.scratch import Scratch


class Reader:
    """Makes rows dense, a few at a time, of very many columns only those that have an entry.

    What it returns is overwritten by the next call: memory that is allocated anew for each chunk,
    the system does not find again. Measured, 100 chunks of a matrix with a million columns took 400
    megabytes so.

    Parameters
    ----------
    stack : PlainStack or MomentStack
    dtype : torch.dtype
        Of the computation.
    """

    def __init__(self, stack: Any, dtype: torch.dtype) -> None:
        self.stack, self.dtype = stack, dtype
        self.scratch = Scratch()

    def __call__(self, x: Tensor | Compressed) -> tuple[Any, Tensor]:
        """Rows as a dense tensor, and networks that read its columns.

        Parameters
        ----------
        x : Tensor or Compressed of shape (rows, n_features)

        Returns
        -------
        stack : PlainStack or MomentStack
            The given one where the columns stay what they are.
        x : Tensor of shape (rows, n_read)
        """
        inputs = self.stack.inputs
        if isinstance(x, Compressed) and x.spreads and inputs is None:
            columns, few = x.narrowed()
            dense = few.to_dense(self.scratch("rows", few.values, *few.shape))
            return self.stack.reading(self._of(columns)), dense
        dense = x.to_dense()
        return self.stack, dense if inputs is None else dense.index_select(1, inputs)

    def _of(self, columns: Tensor) -> Any:
        def some(name: str, values: Tensor, axis: int) -> Tensor:
            shape = *values.shape[:axis], len(columns), *values.shape[axis + 1 :]
            taken = self.scratch(name, values, *shape)
            torch.index_select(values, axis, columns, out=taken)
            if values.dtype == self.dtype:
                return taken
            wide = self.scratch(f"{name} wide", values.new_empty(0, dtype=self.dtype), *shape)
            return wide.copy_(taken)

        return some
