"""The target of a classifier of rows that have several labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import expit
from torch import Tensor

from .._inference.labels import LabelMixture
from .._likelihoods.base import Likelihood
from .._likelihoods.labels import MultilabelLikelihood
from .._networks.plain import MomentStack
from .._networks.stack import Stack
from .._predictive.scaling import OF_LABELS
from .._support.gaps import missing_cells
from .label_targets import LabelTarget


class LabelIndicators(LabelTarget):
    """A column of zeros and ones for each of several labels that a row has or has not.

    Parameters
    ----------
    n_labels : int
    caller : str
        The estimator, for errors.
    """

    scores = OF_LABELS

    def __init__(self, n_labels: int, caller: str) -> None:
        self.caller, self.shape, self.classes = caller, (n_labels,), np.arange(n_labels)

    def attributes(self) -> dict[str, Any]:
        return {
            "classes_": self.classes,
            "n_outputs_": len(self.classes),
            "out_activation_": "logistic",
        }

    def encode(self, y: np.ndarray) -> np.ndarray:
        return y.astype(np.float32)

    def decode(self, encoded: np.ndarray) -> np.ndarray:
        return _as_integers(encoded)

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        return (probabilities > 0.5).astype(int)

    def responses(self, encoded: np.ndarray) -> np.ndarray:
        return encoded.astype(np.float64)

    def linked(self, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return raw, expit(raw)

    def column_names(self) -> None:
        return None

    def strata(self, encoded: np.ndarray) -> None:
        return None

    def kept_for_training(
        self, encoded: np.ndarray, share: float, quiet: bool = False
    ) -> np.ndarray:
        return np.zeros(len(encoded), dtype=bool)

    def likelihood(self, n_members: int) -> Likelihood:
        return MultilabelLikelihood(len(self.classes))

    def moments(self, stack: Stack) -> MomentStack:
        return stack.moments()

    def predictive(
        self, outputs: Sequence[Any], likelihood: Any, calibration: dict[str, Any] | None
    ) -> LabelMixture:
        return LabelMixture(self.cooled(outputs, calibration), likelihood)

    def _answers(self, encoded: np.ndarray) -> np.ndarray:
        return encoded

    def _logits(self, raw: Tensor) -> Tensor:
        return raw


def checked_indicators(y: np.ndarray, caller: str) -> np.ndarray:
    """Several columns of y, all zero or one; as integers, or floats where cells are missing.

    Parameters
    ----------
    y : ndarray of shape (n_samples, n_labels)
        NaN where a cell is missing.
    caller : str
        The estimator.

    Raises
    ------
    ValueError
        For other values.
    """
    known = (y == 0) | (y == 1) | missing_cells(y)
    if not known.all():
        row, column = np.argwhere(~known)[0]
        raise ValueError(
            f"{caller}: several columns of y are several labels per row, each 0 or 1; column "
            f"{column} holds {y[row].tolist()[column]!r} in row {row}. Make one 0/1 column per "
            "label (MultiLabelBinarizer), or fit one model per column"
        )
    return _as_integers(y)


def _as_integers(y: np.ndarray) -> np.ndarray:
    return y.astype(np.float64) if missing_cells(y).any() else y.astype(int)
