"""Likelihoods of class labels."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Bernoulli, Categorical

from .base import Likelihood

_LOG2_E = math.log2(math.e)


class BinaryLikelihood(Likelihood):
    """Two classes, one raw output: the log odds of the second."""

    n_raw = 1

    def loss(self, raw: Tensor, y: Tensor) -> Tensor:
        y = y.unsqueeze(-1).expand(raw.shape)
        return F.binary_cross_entropy_with_logits(raw, y, reduction="none").squeeze(-1)

    def gradient(self, raw: Tensor, y: Tensor) -> Tensor:
        return raw.sigmoid().sub_(y.unsqueeze(-1))

    def distribution(self, raw: Tensor, member: int) -> Bernoulli:
        return Bernoulli(logits=raw[..., 0], validate_args=False)

    def probabilities(self, raw: Tensor, out: Tensor | None = None) -> Tensor:
        """Of the second class: ``(..., rows, 1)``. `out` is memory for them, or `raw` itself."""
        return torch.sigmoid(raw, out=out)


class CategoricalLikelihood(Likelihood):
    """Several classes, one raw output each: logits.

    Parameters
    ----------
    n_classes : int
    """

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.n_raw = n_classes

    def loss(self, raw: Tensor, y: Tensor) -> Tensor:
        y = y.expand(raw.shape[:2]).flatten()
        return F.cross_entropy(raw.flatten(0, 1), y, reduction="none").view(raw.shape[:2])

    def gradient(self, raw: Tensor, y: Tensor) -> Tensor:
        index = y.expand(raw.shape[:2]).unsqueeze(-1)
        return raw.softmax(-1).scatter_add_(-1, index, raw.new_full((), -1.0).expand(index.shape))

    def distribution(self, raw: Tensor, member: int) -> Categorical:
        return Categorical(logits=raw, validate_args=False)

    def probabilities(self, raw: Tensor, out: Tensor | None = None) -> Tensor:
        """Of the classes: ``(..., rows, n_classes)``. `out` is memory for them, or `raw` itself."""
        # Measured: over a short last axis torch takes thirty times as long as with the rows last in
        # memory, and its own softmax a third longer than powers of two.
        logits = raw.mT.contiguous()
        out = None if out is None else out.mT
        powers = torch.sub(logits, logits.amax(-2, keepdim=True), out=out)
        powers.mul_(_LOG2_E).exp2_()
        return powers.div_(powers.sum(-2, keepdim=True)).mT
