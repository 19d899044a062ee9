"""The target of a classifier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from .._inference.classes import ClassMixture
from .._inference.moments.outputs import GaussianOutputs
from .._likelihoods.base import Likelihood
from .._likelihoods.classes import BinaryLikelihood, CategoricalLikelihood
from .._networks.plain import MomentStack
from .._networks.stack import Stack
from .._predictive.scaling import quality_of_logits, temperature_of_logits
from .._support.caller_warnings import warn
from .held_out import HeldOut
from .targets import Target

# Classes that a warning names.
_MOST_NAMED = 10


class ClassLabels(Target):
    """Labels of two classes or more.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        Sorted.
    caller : str
        The estimator, for errors.
    """

    can_be_calibrated = True

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

    def strata(self, encoded: np.ndarray) -> np.ndarray:
        return encoded

    def kept_for_training(self, encoded: np.ndarray, share: float) -> np.ndarray:
        # Held out are rows of the frequent classes only, where there are not enough for all.
        y = encoded.astype(int)
        counts = np.bincount(y, minlength=len(self.classes))
        n_served = max(2, math.ceil(share * len(y)))
        rare = counts < 2
        rare[np.argsort(-counts, kind="stable")[n_served:]] = True
        if not rare[y].any() or rare.all():
            return np.zeros(len(y), dtype=bool)
        named = [f"{self.classes[k]} ({counts[k]})" for k in np.flatnonzero(rare & (counts > 0))]
        more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
        warn(
            f"{self.caller}: no rows are held out for early stopping of the classes that "
            f"have too few of them (in brackets): {', '.join(named[:_MOST_NAMED])}{more}; they are "
            "all trained on"
        )
        return rare[y]

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
        temperature = 1.0 if calibration is None else calibration["temperature"]
        if temperature != 1:
            outputs = [
                raw.divided(temperature) if isinstance(raw, GaussianOutputs) else raw / temperature
                for raw in outputs
            ]
        return ClassMixture(outputs, likelihood)

    def calibrate(self, held_out: Sequence[HeldOut]) -> dict[str, Any]:
        logits, targets, weights = [], [], []
        for part in held_out:
            raw = torch.cat(part.raws).double().cpu()
            if self.binary:
                raw = torch.cat([torch.zeros_like(raw), raw], -1)
            logits.append(raw.numpy())
            targets.append(part.rows.y.cpu().numpy().astype(int))
            weights.append(part.weight)
        temperature = temperature_of_logits(logits, targets, weights)
        cooled = [raw / temperature for raw in logits]
        return {
            "temperature": temperature,
            **quality_of_logits("before", logits, targets, weights),
            **quality_of_logits("after", cooled, targets, weights),
        }
