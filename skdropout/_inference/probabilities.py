"""What the functions of a classifier say together, whatever the probabilities are of."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._likelihoods.base import mixture_log_prob
from .._predictive.base import Predictive
from .._predictive.errors import entropy_error, probability_error
from .._predictive.uncertainty import Uncertainty, entropy_uncertainty, probability_uncertainty
from .._support.arrays import as_tensor
from .moments.outputs import GaussianOutputs

_UNCERTAINTIES = {"entropy": entropy_uncertainty, "variance": probability_uncertainty}
_ERRORS = {"entropy": entropy_error, "variance": probability_error}
MEASURES = frozenset(_UNCERTAINTIES)


class ProbabilityMixture(Predictive):
    """The mean of the probabilities of all functions, and their spread.

    Parameters
    ----------
    outputs : sequence of Tensor of shape (n_draws, rows, n_raw) or GaussianOutputs
        What the likelihood makes probabilities from, one entry per member.
    likelihood : Likelihood
        With `probabilities`.
    """

    def __init__(self, outputs: Sequence[Any], likelihood: Any) -> None:
        self.outputs, self.likelihood = outputs, likelihood

    @abstractmethod
    def _points(self) -> tuple[list[Tensor], Tensor | None]:
        """Raw outputs under each member's functions, and what each function counts.

        Of what stands for a Gaussian the probabilities are made in place.
        """

    @abstractmethod
    def _joint_points(self) -> tuple[list[Tensor], Tensor | None]:
        """The same, for what depends on all raw outputs of a row together."""

    @abstractmethod
    def _all_columns(self, probabilities: Tensor) -> Tensor:
        """With a last axis of all that users get probabilities of."""

    @abstractmethod
    def std(self) -> np.ndarray:
        """Standard deviation of the probabilities over the functions, of the shape of `mean`."""

    @abstractmethod
    def _distributions(self) -> np.ndarray:
        """Under each function: ``(n_functions, n, n_classes)``, of sum one over the last axis."""

    @abstractmethod
    def _of_rows(self, parts: Uncertainty) -> Uncertainty:
        """What was found out for each of the distributions, as users get it."""

    @cached_property
    def _found(self) -> tuple[list[Tensor], Tensor | None]:
        """Probabilities under each member's functions, and what each function counts."""
        gaussian = isinstance(self.outputs[0], GaussianOutputs)
        points, shares = self._points()
        probabilities = self.likelihood.probabilities
        # Draws may be asked for again, but what stands for a Gaussian is made for this.
        return [probabilities(raw, out=raw if gaussian else None) for raw in points], shares

    @cached_property
    def _probabilities(self) -> Tensor:
        """Of the functions of all members."""
        members, _ = self._found
        return members[0] if len(members) == 1 else torch.cat(members)

    @cached_property
    def _mean(self) -> Tensor:
        return _mean(self._probabilities, self._found[1])

    def mean(self) -> np.ndarray:
        return self._columns(self._mean)

    def _std(self) -> Tensor:
        squares = (self._probabilities - self._mean).square_()
        return _mean(squares, self._found[1]).sqrt_()

    def uncertainty(self, measure: str = "variance") -> Uncertainty:
        shares = self._found[1]
        of_functions = None if shares is None else shares.cpu().numpy()
        return self._of_rows(_UNCERTAINTIES[measure](self._distributions(), of_functions))

    def error(self, n_members: int, measure: str = "variance") -> Uncertainty:
        return self._of_rows(_ERRORS[measure](self._distributions(), n_members))

    def members(self, n_members: int) -> np.ndarray:
        members, shares = self._found
        each = None if shares is None else shares.view(n_members, -1)[0] * n_members
        return np.stack([self._columns(_mean(member, each)) for member in members])

    def each(self) -> np.ndarray:
        """Under each function of all members: ``(n_functions, rows, n_columns)``."""
        return self._columns(self._probabilities)

    def log_prob(self, y: np.ndarray) -> np.ndarray:
        points, shares = self._joint_points()
        target = as_tensor(y).to(points[0].device)
        if target.is_floating_point():
            target = target.to(points[0].dtype)
        members = dict(enumerate(points))
        return mixture_log_prob(self.likelihood, members, target, shares).cpu().numpy()

    def _columns(self, probabilities: Tensor) -> np.ndarray:
        return self._all_columns(probabilities).cpu().numpy()


def _mean(values: Tensor, shares: Tensor | None) -> Tensor:
    """Mean over functions that count as much as `shares` says."""
    if shares is None:
        # Rows are last in memory, as a rule; where they are not, torch is ten times as slow.
        return values.mT.mean(0).mT
    return torch.tensordot(shares, values, 1)
