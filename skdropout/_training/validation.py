"""What early stopping watches: the score of every member of a stack on rows of its own."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .._inference.columns import Reader
from .._inference.draws import CHUNK_BYTES, evaluate_together, rows_together
from .._likelihoods.base import Likelihood
from .._networks.plain import PlainStack
from .._support.compressed import rows_within
from .rows import Blocks, Rows


def member_scores(
    plain: PlainStack, likelihood: Likelihood, rows: Rows, block_size: int | None = None
) -> Tensor:
    """Log predictive density of the mixture over the draws, in nats per row: ``(members,)``.

    All members are scored in one pass: one by one, a search over small networks would spend as
    long on the few rows that it watches as on those that it trains on.

    Parameters
    ----------
    plain : PlainStack
    likelihood : Likelihood
        Of its members.
    rows : Rows
        Of all members together, or of each its own.
    block_size : int, optional
        Rows that are scored at once; by default as many as their outputs leave room for.
    """
    total = torch.zeros(plain.n_members, device=rows.x.device, dtype=torch.float32)
    n_rows: int | Tensor = 0
    reader = Reader(plain, rows.x.dtype)
    n_own = 1 if rows.owned is None else len(rows.owned)
    size = rows_within(rows.x, n_own * (block_size or rows_together(plain)), CHUNK_BYTES) // n_own
    blocks = Blocks(rows, max(1, size), None)
    for index in blocks:
        y = blocks.take(rows.y, index)
        few = blocks.distinct(index)
        stack, x = reader(rows.x.index_select(0, few.flatten()))
        raw = evaluate_together(stack, blocks.copied(x.view(*few.shape, -1), index))
        n_draws = raw.shape[1]
        y = y.unsqueeze(1).expand(-1, n_draws, *y.shape[1:]).flatten(1, 2)
        # To the likelihood, draws are more rows.
        losses = likelihood.loss(raw.flatten(1, 2), y).view(raw.shape[:3])
        log_prob = losses.neg_().logsumexp(1) - math.log(n_draws)
        weight = blocks.weight(index)
        if weight is not None:
            # A row that only fills up has no say, not even if its density is zero.
            log_prob = torch.where(weight > 0, log_prob * weight, 0.0)
        total += log_prob.sum(1)
        n_rows = n_rows + (index.shape[1] if weight is None else weight.sum(1))
    return total / n_rows
