"""The penalty on the weights of a stack."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .._networks.stack import Stack
from .parameters import FlatParameters

# Weights of a member of which a copy may be made.
_MOST = 2**22


class ElasticNet:
    """The elastic net of every member.

    As in scikit-learn's MLP, training divides the penalty by the rows of the batch.

    Parameters
    ----------
    alphas, l1_ratios : sequence of float, one per member
        Strength, and the share of the L1 norm.
    flat : FlatParameters
        Of the stack.
    """

    def __init__(
        self, alphas: Sequence[float], l1_ratios: Sequence[float], flat: FlatParameters
    ) -> None:
        self.flat = flat
        pairs = list(zip(alphas, l1_ratios, strict=True))
        self.l1 = self._factor([alpha * ratio for alpha, ratio in pairs])
        self.l2 = self._factor([alpha * (1 - ratio) for alpha, ratio in pairs])
        column = flat.values.detach().new_tensor
        self.alphas, self.ratios = column(alphas), column(l1_ratios)
        self.others = column([1 - ratio for ratio in l1_ratios])

    def _factor(self, factors: Sequence[float]) -> float | Tensor | None:
        """One factor for all members if they agree, otherwise one for each weight."""
        if len(set(factors)) == 1:
            return factors[0] or None
        by_member = self.flat.by_member(self.flat.values.detach().new_tensor(factors))
        return by_member[: len(self.flat.penalized)]

    def add_gradient(self, n_rows: int | Tensor) -> None:
        """Add the gradient by hand: one pass over the weights.

        Parameters
        ----------
        n_rows : int or Tensor of shape (members,)
            Rows of the batch.
        """
        if self.l2 is not None:
            self._add(self.l2, self.flat.penalized, n_rows)
        if self.l1 is not None:
            self._add(self.l1, self.flat.penalized.sign(), n_rows)

    def _add(self, factor: float | Tensor, slope: Tensor, n_rows: int | Tensor) -> None:
        if isinstance(n_rows, Tensor):
            shares = self.flat.by_member(1 / n_rows.to(slope.dtype))[: len(slope)]
            self.flat.penalized_gradient.addcmul_(slope, shares * factor)
        elif isinstance(factor, Tensor):
            self.flat.penalized_gradient.addcmul_(slope, factor, value=1 / n_rows)
        else:
            self.flat.penalized_gradient.add_(slope, alpha=factor / n_rows)

    def value(self, stack: Stack) -> Tensor:
        """The penalty of each member before it is divided by rows: ``(members,)``."""
        weights = [linear.weight.detach().flatten(1) for linear in stack.linears]
        if sum(part.shape[1] for part in weights) <= _MOST:
            weights = [torch.cat(weights, 1)]
        parts = [part for values in weights for part in values.split(_MOST, 1)]
        penalty = self.others * sum(part.square().sum(1) for part in parts) / 2
        if self.l1 is not None:
            penalty += self.ratios * sum(part.abs().sum(1) for part in parts)
        return self.alphas * penalty
