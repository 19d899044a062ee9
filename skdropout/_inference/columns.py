"""Compressed rows and the networks that read them: the columns that a few rows have entries in."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._support.compressed import Compressed


def expanded(stack: Any, x: Tensor | Compressed) -> tuple[Any, Tensor]:
    """Rows as a dense tensor, and networks that read its columns.

    Parameters
    ----------
    stack : PlainStack or MomentStack
    x : Tensor or Compressed of shape (rows, n_features)
        A few rows. Of very many columns only those with an entry become dense.

    Returns
    -------
    stack : PlainStack or MomentStack
        The given one where the columns stay what they are.
    x : Tensor of shape (rows, n_read)
    """
    if isinstance(x, Compressed) and x.spreads and stack.inputs is None:
        columns, few = x.narrowed()
        return stack.reading(columns), few.to_dense()
    dense = x.to_dense()
    return stack, dense if stack.inputs is None else dense.index_select(1, stack.inputs)
