"""What the functions of a classifier say together of labels that a row has or has not."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from .._predictive.uncertainty import Uncertainty
from .moments.outputs import GaussianOutputs, as_points
from .probabilities import ProbabilityMixture


class LabelMixture(ProbabilityMixture):
    """The mean of the labels' probabilities of all functions, and their spread.

    Functions say the log odds of each label, for a `MultilabelLikelihood`. Uncertainty is that of
    each label for itself, as of two classes. Given a function labels are independent, and what
    functions disagree about makes them depend on each other: `log_prob` is of all together.
    """

    def _points(self) -> tuple[list[Tensor], Tensor | None]:
        if not isinstance(self.outputs[0], GaussianOutputs):
            return list(self.outputs), None
        # What is asked of one label needs its own distribution, and that is exact for one output.
        points, shares = as_points([outputs.marginals() for outputs in self.outputs])
        shape = (len(points[0]), *self.outputs[0].mean.shape)
        return [raw.reshape(shape) for raw in points], shares

    def _joint_points(self) -> tuple[list[Tensor], Tensor | None]:
        return as_points(self.outputs)

    def _all_columns(self, probabilities: Tensor) -> Tensor:
        return probabilities

    def std(self) -> np.ndarray:
        return self._std().cpu().numpy()

    def _distributions(self) -> np.ndarray:
        has_it = self.each().reshape(len(self._probabilities), -1)
        return np.stack([1 - has_it, has_it], -1)

    def _of_rows(self, parts: Uncertainty) -> Uncertainty:
        parts = parts._replace(mean=parts.mean[:, 1])
        return Uncertainty(*(part.reshape(-1, self.likelihood.n_raw) for part in parts))
