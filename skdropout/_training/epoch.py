"""An epoch: rows in memory as blocks, blocks as batches, batches as steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import repeat

import torch
from torch import Tensor

from .._networks.stack import Stack
from ..families import BlockNoise, NoiseSource
from .backprop import Backprop
from .plan import Plan
from .rows import Blocks, Rows, part_sizes
from .steps import Batch, Steps

# Measured: from this size on the work per block no longer shows in the time of a step. A larger
# stack takes a block in parts of this size.
_BLOCK_BYTES = 2**21


class Epochs:
    """Epochs over the same rows.

    Parameters
    ----------
    rows : Rows
    plan : Plan
    widths : tuple of int
        Of the networks.
    smallest : int
        Rows that a batch needs.
    order : NoiseSource
        Makes the orders of the rows.
    windowed : bool, default=False
        Whether batches are compressed rows, for `Window`.
    """

    def __init__(
        self,
        rows: Rows,
        plan: Plan,
        widths: tuple[int, ...],
        smallest: int,
        order: NoiseSource,
        windowed: bool = False,
    ) -> None:
        self.windowed = windowed
        self.batch_size, self.smallest = plan.batch_size, smallest
        # The size of a block, noise included, does not depend on the number of members, so
        # neither do the random numbers of each.
        self.batch_bytes = 4 * plan.batch_size * sum(widths)
        n_batches = 1 if windowed else max(1, _BLOCK_BYTES // self.batch_bytes)
        block_size = plan.batch_size * n_batches
        self.blocks = Blocks(rows, block_size, order if plan.shuffle else None, smallest)

    def take_over(self, order: NoiseSource, rows: Rows) -> None:
        """Go on with the rows and orders of other members."""
        self.blocks.rows = rows
        if self.blocks.order is not None:
            self.blocks.order = order

    def train(
        self, steps: Steps, step: Callable[[Batch], Tensor], stack: Stack
    ) -> dict[str, Tensor]:
        """Train for one epoch.

        Parameters
        ----------
        steps : Steps
        step : callable
            Makes one of these steps, and returns its raw outputs.
        stack : Stack
            Whose weights are penalized.

        Returns
        -------
        dict of str to Tensor of shape (members,)
            Terms of the objective, in nats per row.
        """
        rows, likelihood = self.blocks.rows, steps.likelihood
        total = torch.zeros(
            len(steps.stack.members), device=steps.flat.detached.device, dtype=torch.float32
        )
        n_rows: int | Tensor = 0
        steps.begin_epoch(len(rows) if rows.lengths is None else rows.lengths.tolist())
        for index in self.blocks:
            y, weight = self.blocks.take(rows.y, index), self.blocks.weight(index)
            # What the steps return is looked at a block at a time: it spares each step that.
            batches = self._batches(steps, index, y, weight)
            raw = torch.cat([step(batch) for batch in batches], 1)
            with torch.no_grad():
                losses = likelihood.loss(raw, y)
                total += (losses if weight is None else losses * weight).sum(1)
                likelihood.observe(raw, y, weight)
            counting = self.blocks.counting(index.shape[1])
            n_rows = n_rows + (index.shape[1] if counting is None else counting)
        likelihood.epoch_end()
        penalty = steps.penalty.value(stack) / min(self.batch_size, len(rows))
        return {"likelihood": total / n_rows, "kl": steps.kl(), "penalty": penalty}

    def _batches(
        self, steps: Steps, index: Tensor, y: Tensor, weight: Tensor | None
    ) -> Iterator[Batch]:
        sizes = part_sizes(index.shape[1], self.batch_size, self.smallest)
        ys = y.split(sizes, 1)
        weights = repeat(None, len(ys)) if weight is None else weight.split(sizes, 1)
        xs = self._inputs(steps, index, sizes)
        counting, last = self.blocks.counting(index.shape[1]), len(ys) - 1
        for number, ((x, noise), y_batch, given) in enumerate(zip(xs, ys, weights, strict=True)):
            # Only in the last batch of an epoch do some members have fewer rows than others.
            rest = None
            if counting is not None and number == last:
                rest = counting - number * self.batch_size
                given = given * (y_batch.shape[1] / rest).unsqueeze(1)
            yield Batch(x, y_batch, given, noise, rest)

    def _inputs(self, steps: Steps, index: Tensor, sizes: list[int]) -> Iterable[tuple]:
        """Inputs of a block's batches with their noise, if that is made for many at once.

        Only where that is not so may a last batch be larger than the others.
        """
        x, n_members = self.blocks.rows.x, len(steps.stack.members)
        if self.windowed:
            return [(x[index.flatten()], None)]
        if steps.backprop is None:
            parts = self.blocks.take(x, index).expand(n_members, -1, -1).split(sizes, 1)
            return zip(parts, repeat(None, len(parts)), strict=True)
        part = self.batch_size * max(1, _BLOCK_BYTES // (self.batch_bytes * n_members))
        counting = self.blocks.counting(index.shape[1])
        # What little is left over is not worth a part of its own.
        if 1.5 * part >= index.shape[1] and counting is None:
            rows = self.blocks.take(x, index, steps.backprop.scratch)
            return steps.backprop.batches(rows, self.batch_size, steps.noise)
        noise = BlockNoise(steps.noise, index.shape[1], counting)
        return self._inputs_in_parts(steps.backprop, index, part, noise)

    def _inputs_in_parts(
        self, backprop: Backprop, index: Tensor, size: int, noise: BlockNoise
    ) -> Iterator[tuple]:
        for part in index.split(size, 1):
            rows = self.blocks.take(self.blocks.rows.x, part, backprop.scratch)
            yield from backprop.batches(rows, self.batch_size, noise)
            noise.advance(part.shape[1])
