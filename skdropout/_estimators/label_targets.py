"""What the targets of a classifier have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._inference.moments.outputs import GaussianOutputs
from .._predictive.scaling import (
    LogitScores,
    cooled_beside,
    quality_of_logits,
    temperature_of_logits,
)
from .held_out import HeldOut
from .targets import Target


class LabelTarget(Target):
    """Labels, whose predictive distribution is one of probabilities.

    Attributes
    ----------
    caller : str
        The estimator, for errors.
    classes : ndarray of shape (n_classes,)
        Of what there are probabilities.
    shape : tuple of int
        Of the y of one row.
    scores : LogitScores
        What calibration goes by.
    """

    can_be_calibrated = True
    caller: str
    classes: np.ndarray
    shape: tuple[int, ...]
    scores: LogitScores

    @abstractmethod
    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """Labels, from the probabilities ``(rows, n_classes)`` that users get."""

    @abstractmethod
    def column_names(self) -> list[str] | None:
        """Names of the columns of probabilities in a DataFrame; None for numbers."""

    @abstractmethod
    def _answers(self, encoded: np.ndarray) -> np.ndarray:
        """Targets as `scores` takes them, from encoded ones."""

    @abstractmethod
    def _logits(self, raw: Tensor) -> Tensor:
        """Logits as `scores` takes them, from raw outputs."""

    def check_shape(self, y: np.ndarray) -> None:
        """Refuse labels of a later call that are more or fewer per row than in the first."""
        if y.shape[1:] == self.shape:
            return
        raise ValueError(
            f"{self.caller}: y has {_per_row(y.shape[1:])}, and the model was fitted to "
            f"{_per_row(self.shape)}; give y as in that fit, or start anew"
        )

    def uncalibrated_size(self, calibration: dict[str, Any] | None) -> float:
        return 1.0 if calibration is None else calibration["temperature"]

    def cooled(self, outputs: Sequence[Any], calibration: dict[str, Any] | None) -> Sequence[Any]:
        """Raw outputs, divided by the temperature that calibration chose."""
        temperature = 1.0 if calibration is None else calibration["temperature"]
        if temperature == 1:
            return outputs
        return [
            raw.divided(temperature) if isinstance(raw, GaussianOutputs) else raw / temperature
            for raw in outputs
        ]

    def calibrate(self, held_out: Sequence[HeldOut]) -> dict[str, Any]:
        logits = [self._joined_logits(part.raws) for part in held_out]
        beside = [self._joined_logits(part.beside) for part in held_out if part.beside]
        targets = [self._answers(part.rows.y.cpu().numpy()) for part in held_out]
        weights = [part.weight for part in held_out]
        temperature = temperature_of_logits(logits, targets, weights, self.scores, beside)

        def quality(when: str, by: float) -> dict[str, float]:
            cooled = cooled_beside(logits, by, beside)
            return quality_of_logits(when, cooled, targets, weights, self.scores)

        return {
            "temperature": temperature,
            **quality("before", 1.0),
            **quality("after", temperature),
        }

    def _joined_logits(self, raws: Sequence[Tensor]) -> np.ndarray:
        return self._logits(torch.cat(list(raws)).double().cpu()).numpy()

    def out_of_fold(
        self, mean: np.ndarray, total: np.ndarray, square: np.ndarray
    ) -> dict[str, np.ndarray]:
        return {"oof_proba_": mean}


def _per_row(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} labels per row" if shape else "one label per row"
