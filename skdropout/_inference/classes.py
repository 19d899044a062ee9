"""What the functions of a classifier say together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._likelihoods.base import mixture_log_prob
from .._likelihoods.classes import BinaryLikelihood, CategoricalLikelihood
from .._predictive.base import Predictive
from .._predictive.errors import entropy_error, probability_error
from .._predictive.uncertainty import Uncertainty, entropy_uncertainty, probability_uncertainty
from .._support.arrays import as_tensor
from .moments.outputs import GaussianOutputs, as_points

_UNCERTAINTIES = {"entropy": entropy_uncertainty, "variance": probability_uncertainty}
_ERRORS = {"entropy": entropy_error, "variance": probability_error}
MEASURES = frozenset(_UNCERTAINTIES)


class ClassMixture(Predictive):
    """The mean of the class probabilities of all functions, and their spread.

    Parameters
    ----------
    outputs : sequence of Tensor of shape (n_draws, rows, n_raw) or GaussianOutputs
        Logits, or log odds, one entry per member.
    likelihood : BinaryLikelihood or CategoricalLikelihood
    """

    def __init__(
        self, outputs: Sequence[Any], likelihood: BinaryLikelihood | CategoricalLikelihood
    ) -> None:
        self.outputs, self.likelihood = outputs, likelihood

    @cached_property
    def _found(self) -> tuple[list[Tensor], Tensor | None]:
        """Probabilities under each member's functions, and what each function counts.

        Shape ``(n_functions, rows, n_classes)``, for two classes ``(n_functions, rows, 1)``: the
        second.
        """
        gaussian = isinstance(self.outputs[0], GaussianOutputs)
        points, shares = self._points()
        softmax = self.likelihood.probabilities
        # Draws may be asked for again, but what stands for a Gaussian is made for this.
        return [softmax(raw, out=raw if gaussian else None) for raw in points], shares

    def _points(self) -> tuple[list[Tensor], Tensor | None]:
        """Logits under each member's functions, and what each function counts."""
        # Log odds of several classes are against the last one, whose own are zero.
        return as_points(self.outputs, n_zeros=int(self.likelihood.n_raw > 1))

    @cached_property
    def _probabilities(self) -> Tensor:
        """Of the functions of all members."""
        members, _ = self._found
        return members[0] if len(members) == 1 else torch.cat(members)

    @cached_property
    def _mean(self) -> Tensor:
        return _mean(self._probabilities, self._found[1])

    def mean(self) -> np.ndarray:
        return _all_classes(self._mean)

    def std(self) -> np.ndarray:
        """Standard deviation of the probabilities over the functions: ``(rows, n_classes)``."""
        squares = (self._probabilities - self._mean).square_()
        std = _mean(squares, self._found[1]).sqrt_()
        # Of two classes, that of the second is that of the first.
        return std.expand(-1, max(2, std.shape[1])).cpu().numpy()

    def uncertainty(self, measure: str = "variance") -> Uncertainty:
        shares = self._found[1]
        of_functions = None if shares is None else shares.cpu().numpy()
        return _UNCERTAINTIES[measure](self.each(), of_functions)

    def error(self, n_members: int, measure: str = "variance") -> Uncertainty:
        return _ERRORS[measure](self.each(), n_members)

    def members(self, n_members: int) -> np.ndarray:
        members, shares = self._found
        each = None if shares is None else shares.view(n_members, -1)[0] * n_members
        return np.stack([_all_classes(_mean(probabilities, each)) for probabilities in members])

    def each(self) -> np.ndarray:
        """Under each function of all members: ``(n_functions, rows, n_classes)``."""
        return _all_classes(self._probabilities)

    def log_prob(self, y: np.ndarray) -> np.ndarray:
        points, shares = self._points()
        target = as_tensor(y).to(points[0].device)
        if target.is_floating_point():
            target = target.to(points[0].dtype)
        members = dict(enumerate(points))
        return mixture_log_prob(self.likelihood, members, target, shares).cpu().numpy()


def _all_classes(probabilities: Tensor) -> np.ndarray:
    """With a last axis of all classes."""
    if probabilities.shape[-1] == 1:
        probabilities = torch.cat([1 - probabilities, probabilities], -1)
    return probabilities.cpu().numpy()


def _mean(values: Tensor, shares: Tensor | None) -> Tensor:
    """Mean over functions that count as much as `shares` says."""
    if shares is None:
        # Rows are last in memory, as a rule; where they are not, torch is ten times as slow.
        return values.mT.mean(0).mT
    return torch.tensordot(shares, values, 1)
