"""The only evaluation of plain stacks: rows in, raw outputs of every draw out.

Nothing here knows of dropout. A dropped unit is a unit with gain zero, and a unit with gain zero
need not be computed. Activations are kept units first, ``(units, rows)``: then dropping units
is copying whole rows of memory, and what is left is one matrix product a layer.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._modules.drawn import DrawnModules
from .._networks.normalization import EPSILON
from .._networks.plain import PlainLayer, PlainStack
from .._support.compressed import Compressed, rows_within
from .._support.threads import spread, threads_for
from ..families import PlainLinear
from .columns import Reader

# Measured on two cores: up to about a hundred rows, one product over all draws side by side
# beats a hundred small ones, although it computes the dropped units too.
_FEW_ROWS = 96
CHUNK_BYTES = 2**25
# Multiply-adds that a thread takes at a time of a product of all draws.
_PART = 10**7


def evaluate(plain: Any, x: Any) -> Iterator[tuple[slice, list[Tensor]]]:
    """Evaluate a plain stack, a chunk of rows at a time.

    Parameters
    ----------
    plain : PlainStack or DrawnModules
    x : Tensor or Compressed of shape (rows, n_features)
        Its dtype and device are those of the computation.

    Yields
    ------
    rows : slice
        The rows of the chunk.
    raw : list of Tensor of shape (n_draws, rows, n_raw), one per member
        Raw outputs, as a rule with the rows next to each other in memory. What a row gets does
        not depend on the rows beside it.
    """
    if isinstance(plain, DrawnModules):
        # Draws of modules know how.
        yield from plain.evaluate(x)
        return
    reader, read = Reader(plain, x.dtype), None
    step = rows_within(x, _chunk_rows(plain, x), _budget(x))
    for start in range(0, x.shape[0], step):
        rows = slice(start, min(start + step, x.shape[0]))
        stack, inputs = reader(x[rows])
        if stack is not read:
            networks = [_Member(stack, index, x.dtype) for index in range(plain.n_members)]
            read = stack
        yield rows, [network(inputs.T) for network in networks]


def _chunk_rows(plain: PlainStack, x: Tensor | Compressed) -> int:
    """Rows such that the outputs of all draws, and one draw's activations, stay small."""
    widest = max(layer.linear.weight.shape[3] for layer in plain.layers)
    n_raw = plain.layers[-1].linear.weight.shape[3]
    per_row = max(plain.n_draws * plain.n_members * n_raw, 8 * widest) * x.element_size()
    most = 2048 if x.device.type == "cpu" else 2**16
    return max(_FEW_ROWS, min(most, _budget(x) // per_row))


def _budget(x: Tensor | Compressed) -> int:
    """Bytes that one intermediate result may take."""
    return CHUNK_BYTES if x.device.type == "cpu" else 16 * CHUNK_BYTES


def _n_shared(shared: Sequence[bool]) -> int:
    """How many layers, from the first on, are the same in all draws."""
    return [*shared, False].index(False)


def _of_draws(values: Tensor, draws: slice) -> Tensor:
    """The values of some draws; an axis of length 1 serves all."""
    return values if len(values) == 1 else values[draws]


def evaluate_together(plain: PlainStack, x: Tensor) -> Tensor:
    """Evaluate every member on rows of its own; members with few rows in one pass.

    Parameters
    ----------
    plain : PlainStack
    x : Tensor of shape (members or 1, rows, n_read)
        Of the dtype of the networks, with the columns that they read (`Reader`).

    Returns
    -------
    Tensor of shape (members, n_draws, rows, n_raw)
    """
    x = x.expand(plain.n_members, -1, -1)
    n_own = len(plain.layers) - _n_shared([layer.linear.shared for layer in plain.layers])
    if n_own > 1 and x.shape[1] > _FEW_ROWS and x.device.type == "cpu":
        # One pass computes the dropped units too, which costs more than it spares here.
        each = [_Member(plain, member, x.dtype)(rows.T) for member, rows in enumerate(x)]
        return torch.stack(each)
    h = x.unsqueeze(1)
    for depth, layer in enumerate(plain.layers):
        h = _all_members(layer, plain.activation(h) if depth else h)
    return h.expand(-1, plain.n_draws, -1, -1)


def rows_together(plain: PlainStack) -> int:
    """Rows that `evaluate_together` may take at once."""
    linears = [layer.linear for layer in plain.layers]
    widest = max(
        linear.weight.shape[3] * (1 if linear.shared else plain.n_draws) for linear in linears
    )
    return max(1, CHUNK_BYTES // (4 * plain.n_members * widest))


def _all_members(layer: PlainLayer, h: Tensor) -> Tensor:
    """One layer, ``(members, n_draws or 1, rows, n_in)`` to the same with `n_out`."""
    weight, gain = layer.linear.weight, layer.linear.gain
    n_draws, n_out = weight.shape[1], weight.shape[3]
    if gain is not None and (h.shape[1] > 1 or h.shape[2] < n_out):
        h = h * gain.unsqueeze(2)
    elif gain is not None:
        weight, n_draws = weight * gain.unsqueeze(3), gain.shape[1]
    if n_draws == 1:
        # The rows of all draws are the rows of one product.
        h = torch.bmm(h.flatten(1, 2), weight[:, 0]).unflatten(1, h.shape[1:3])
    elif h.shape[1] == 1:
        # The outputs of all draws are the outputs of one product.
        wide = torch.bmm(h[:, 0], weight.transpose(1, 2).flatten(2))
        h = wide.unflatten(2, (n_draws, n_out)).transpose(1, 2)
    else:
        h = torch.matmul(h, weight)
    h = h + layer.linear.bias.unsqueeze(2)
    if layer.norm is None:
        return h
    scale, shift = (values[:, None, None] for values in (layer.norm.scale, layer.norm.shift))
    return torch.nn.functional.layer_norm(h, h.shape[-1:], eps=EPSILON) * scale + shift


class _Member:
    """The draws of one member of a plain stack, ready for evaluation."""

    def __init__(self, plain: PlainStack, index: int, dtype: torch.dtype) -> None:
        layers = [_MemberLayer(layer, index, dtype) for layer in plain.layers]
        n_shared = _n_shared([layer.shared for layer in layers])
        self.activation = plain.activation
        self.n_draws = plain.n_draws
        self.shared, self.own = layers[:n_shared], layers[n_shared:]

    def __call__(self, h: Tensor) -> Tensor:
        """Raw outputs ``(n_draws, rows, n_raw)`` of inputs ``(n_features, rows)``."""
        n_rows = h.shape[1]
        with threads_for(n_rows * _multiply_adds(self.shared)):
            for depth, layer in enumerate(self.shared):
                h = layer(h)
                if self.own or depth < len(self.shared) - 1:
                    h = self.activation(h)
        if not self.own:
            return h.T.expand(self.n_draws, -1, -1)
        each = n_rows * _multiply_adds(self.own)
        if len(self.own) > 1 and n_rows > _FEW_ROWS and h.device.type == "cpu":
            draws = spread(partial(self._one_by_one, h), range(self.n_draws), each)
            return torch.stack(draws).transpose(1, 2)
        if len(self.own) == 1:
            return self.own[0].side_by_side(h)
        with threads_for(self.n_draws * each):
            return self._all_at_once(h)

    def _one_by_one(self, h: Tensor, draw: int) -> Tensor:
        """One draw, with the units that it drops left out: ``(n_raw, rows)``."""
        kept = self.own[0].kept(draw)
        h = h if kept is None else h.index_select(0, kept)
        for layer, following in itertools.pairwise(self.own):
            needed = following.kept(draw)
            if layer.norm is None:
                h = self.activation(layer.thinned(h, draw, kept, needed))
            else:
                # Layer normalization needs every unit, also those that the next map drops.
                h = self.activation(layer.thinned(h, draw, kept, None))
                h = h if needed is None else h.index_select(0, needed)
            kept = needed
        return self.own[-1].thinned(h, draw, kept, None)

    def _all_at_once(self, h: Tensor) -> Tensor:
        """All draws side by side: ``(n_draws, rows, n_raw)``. Here rows come first."""
        widest = max(layer.weight.shape[2] for layer in self.own)
        group = max(1, _budget(h) // (h.shape[1] * widest * h.element_size()))
        groups = []
        for start in range(0, self.n_draws, group):
            draws = slice(start, min(start + group, self.n_draws))
            hidden = h.T.expand(draws.stop - start, -1, -1)
            for depth, layer in enumerate(self.own):
                hidden = layer.batched(hidden, draws)
                if depth < len(self.own) - 1:
                    hidden = self.activation(hidden)
            groups.append(hidden)
        return torch.cat(groups)


def _multiply_adds(layers: Sequence[_MemberLayer]) -> int:
    """Of one row and one draw."""
    return sum(layer.weight.shape[1] * layer.weight.shape[2] for layer in layers)


class _MemberLayer:
    """One layer of one member: a shared or per-draw map, and perhaps layer normalization."""

    def __init__(self, layer: PlainLayer, index: int, dtype: torch.dtype) -> None:
        linear: PlainLinear = layer.linear
        self.shared = linear.shared
        self.weight = linear.weight[index].to(dtype)
        self.bias = linear.bias[index].to(dtype)
        self.gain = None if linear.gain is None else linear.gain[index].to(dtype)
        self.norm = None
        if layer.norm is not None:
            self.norm = layer.norm.scale[index].to(dtype), layer.norm.shift[index].to(dtype)

    @cached_property
    def _kept(self) -> list[Tensor | None]:
        if self.gain is None:
            return [None]
        alive = self.gain.numpy() != 0
        return [None if row.all() else torch.from_numpy(np.flatnonzero(row)) for row in alive]

    def kept(self, draw: int) -> Tensor | None:
        """Inputs that this draw keeps; None for all of them."""
        return self._kept[draw if len(self._kept) > 1 else 0]

    def _of(self, values: Tensor, draw: int) -> Tensor:
        return values[draw if len(values) > 1 else 0]

    def __call__(self, h: Tensor) -> Tensor:
        """The map that all draws share: ``(n_in, rows)`` to ``(n_out, rows)``."""
        return self._normalize(torch.addmm(self.bias[0].unsqueeze(1), self.weight[0].T, h), 0)

    def thinned(self, h: Tensor, draw: int, kept: Tensor | None, needed: Tensor | None) -> Tensor:
        """One draw's map: `h` holds the kept inputs only, the result the needed outputs only."""
        weight, bias = self._of(self.weight, draw), self._of(self.bias, draw)
        if self.gain is not None:
            gain = self._of(self.gain, draw).unsqueeze(1)
            if kept is not None:
                weight, gain = weight.index_select(0, kept), gain.index_select(0, kept)
            weight = weight * gain
        if needed is not None:
            weight, bias = weight.index_select(1, needed), bias.index_select(0, needed)
        return self._normalize(torch.addmm(bias.unsqueeze(1), weight.T, h), 0)

    def side_by_side(self, h: Tensor) -> Tensor:
        """All draws of a map of shared inputs as one product: ``(n_draws, rows, n_out)``."""
        weight = self.weight if self.gain is None else self.weight * self.gain.unsqueeze(2)
        n_draws, n_in, n_out = weight.shape
        stacked = weight.transpose(1, 2).reshape(n_draws * n_out, n_in)
        bias = self.bias.expand(n_draws, -1).reshape(-1, 1)
        outputs = h.new_empty(n_draws * n_out, h.shape[1])
        size = len(stacked)
        if h.device.type == "cpu":
            # The same parts for any number of threads, so the same results.
            size = max(1, _PART // max(1, n_in * h.shape[1]))

        def product(start: int) -> None:
            part = slice(start, start + size)
            torch.addmm(bias[part], stacked[part], h, out=outputs[part])

        spread(product, range(0, len(stacked), size), min(size, len(stacked)) * h.shape[1] * n_in)
        return outputs.view(n_draws, n_out, -1).transpose(1, 2)

    def batched(self, h: Tensor, draws: slice) -> Tensor:
        """Some draws of a map, ``(n_draws, rows, n_in)`` to ``(n_draws, rows, n_out)``."""
        if self.gain is not None:
            h = h * _of_draws(self.gain, draws).unsqueeze(1)
        # A shared weight is one matrix: all draws and rows are then the rows of one product.
        weight = self.weight[0] if len(self.weight) == 1 else self.weight[draws]
        bias = _of_draws(self.bias, draws).unsqueeze(1)
        return self._normalize(torch.matmul(h, weight) + bias, -1)

    def _normalize(self, h: Tensor, dim: int) -> Tensor:
        if self.norm is None:
            return h
        scale, shift = self.norm
        if dim == 0:
            scale, shift = scale.unsqueeze(1), shift.unsqueeze(1)
        variance, mean = torch.var_mean(h, dim=dim, correction=0, keepdim=True)
        return (h - mean) * torch.rsqrt(variance + EPSILON) * scale + shift
