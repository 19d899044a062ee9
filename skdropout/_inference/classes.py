"""What the functions of a classifier say together of classes that exclude each other."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .._predictive.uncertainty import Uncertainty
from .moments.outputs import as_points
from .probabilities import ProbabilityMixture


class ClassMixture(ProbabilityMixture):
    """The mean of the class probabilities of all functions, and their spread.

    Functions say logits, or log odds: with a `BinaryLikelihood` of the second class, with a
    `CategoricalLikelihood` of all of them.
    """

    def _points(self) -> tuple[list[Tensor], Tensor | None]:
        # Log odds of several classes are against the last one, whose own are zero.
        return as_points(self.outputs, n_zeros=int(self.likelihood.n_raw > 1))

    def _joint_points(self) -> tuple[list[Tensor], Tensor | None]:
        return self._points()

    def _all_columns(self, probabilities: Tensor) -> Tensor:
        if probabilities.shape[-1] > 1:
            return probabilities
        return torch.cat([1 - probabilities, probabilities], -1)

    def std(self) -> np.ndarray:
        std = self._std()
        # Of two classes, that of the second is that of the first.
        return std.expand(-1, max(2, std.shape[1])).cpu().numpy()

    def _distributions(self) -> np.ndarray:
        return self.each()

    def _of_rows(self, parts: Uncertainty) -> Uncertainty:
        return parts
