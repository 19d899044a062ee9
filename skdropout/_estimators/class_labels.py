"""The target of a classifier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy.special import expit, softmax
from torch import Tensor

from .._inference.classes import ClassMixture
from .._likelihoods.base import Likelihood
from .._likelihoods.classes import BinaryLikelihood, CategoricalLikelihood
from .._networks.plain import MomentStack
from .._networks.stack import Stack
from .._predictive.scaling import OF_CLASSES
from .._support.caller_warnings import warn
from .label_targets import LabelTarget

# Classes that a warning names.
_MOST_NAMED = 10


class ClassLabels(LabelTarget):
    """Labels of two classes or more.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        Sorted.
    caller : str
        The estimator, for errors.
    """

    shape = ()
    scores = OF_CLASSES

    def __init__(self, classes: np.ndarray, caller: str) -> None:
        self.classes, self.caller = classes, caller
        self.binary = len(classes) == 2

    def attributes(self) -> dict[str, Any]:
        return {
            "classes_": self.classes,
            "n_outputs_": 1 if self.binary else len(self.classes),
            "out_activation_": "logistic" if self.binary else "softmax",
        }

    def encode(self, y: np.ndarray) -> np.ndarray:
        unknown = np.setdiff1d(y, self.classes)
        if len(unknown):
            raise ValueError(
                f"{self.caller}: y holds the labels {unknown.tolist()}, which are not "
                f"among the classes of the fit, {self.classes.tolist()}"
            )
        index = np.searchsorted(self.classes, y)
        return index.astype(np.float32 if self.binary else np.int64)

    def decode(self, encoded: np.ndarray) -> np.ndarray:
        return self.classes[encoded.astype(int)]

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        return self.classes[probabilities.argmax(1)]

    def responses(self, encoded: np.ndarray) -> np.ndarray:
        if self.binary:
            return encoded.reshape(-1, 1).astype(np.float64)
        return np.eye(len(self.classes))[encoded.astype(int)]

    def linked(self, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self.binary:
            return raw, expit(raw)
        return raw - raw.mean(1, keepdims=True), softmax(raw, axis=1)

    def column_names(self) -> list[str]:
        return [f"proba_{label}" for label in self.classes]

    def strata(self, encoded: np.ndarray) -> np.ndarray:
        return encoded

    def kept_for_training(
        self, encoded: np.ndarray, share: float, quiet: bool = False
    ) -> np.ndarray:
        # Held out are rows of the frequent classes only, where there are not enough for all.
        y = encoded.astype(int)
        counts = np.bincount(y, minlength=len(self.classes))
        n_served = max(2, math.ceil(share * len(y)))
        rare = counts < 2
        rare[np.argsort(-counts, kind="stable")[n_served:]] = True
        if not rare[y].any() or rare.all():
            return np.zeros(len(y), dtype=bool)
        if not quiet:
            self._warn_of(rare, counts)
        return rare[y]

    def _warn_of(self, rare: np.ndarray, counts: np.ndarray) -> None:
        named = [f"{self.classes[k]} ({counts[k]})" for k in np.flatnonzero(rare & (counts > 0))]
        more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
        warn(
            f"{self.caller}: no rows are held out for early stopping of the classes that "
            f"have too few of them (in brackets): {', '.join(named[:_MOST_NAMED])}{more}; they are "
            "all trained on"
        )

    def likelihood(self, n_members: int) -> Likelihood:
        return BinaryLikelihood() if self.binary else CategoricalLikelihood(len(self.classes))

    def moments(self, stack: Stack) -> MomentStack:
        """With several classes, of the log odds against the last: one output less to follow."""
        # Mutual information of rows that are nearly certain is made by the longer tail.
        moments = replace(stack.moments(), log_odds=True)
        if self.binary:
            return moments
        n_classes = len(self.classes)
        directions = torch.eye(n_classes - 1, n_classes, dtype=torch.float32)
        directions[:, -1] = -1
        return replace(moments, directions=directions)

    def predictive(
        self, outputs: Sequence[Any], likelihood: Any, calibration: dict[str, Any] | None
    ) -> ClassMixture:
        return ClassMixture(self.cooled(outputs, calibration), likelihood)

    def _answers(self, encoded: np.ndarray) -> np.ndarray:
        return encoded.astype(int)

    def _logits(self, raw: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(raw), raw], -1) if self.binary else raw
