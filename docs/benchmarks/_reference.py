"""Errors of a mean and an uncertainty against very many draws, and those of few draws beside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from sklearn.base import is_classifier

from skdropout._inference.draws import evaluate
from skdropout._predictive.uncertainty import entropy

PIECE = 1_000
FEW = (10, 30, 100, 300)
# Where the draws agree to a thousandth, errors of the mean are counted in thousandths.
_LEAST = 1e-3


def pieces(model: Any, X: np.ndarray, n_draws: int) -> Iterator[np.ndarray]:
    """New draws of what is predicted, ``(PIECE, rows, outputs)`` at a time, for one member.

    Raw outputs of a regressor (standardised), probabilities of a classifier.
    """
    stack, x = model.net_.module_, torch.from_numpy(X.astype(np.float32))
    likelihood = model.net_.criterion_
    for seed in range(n_draws // PIECE):
        with torch.inference_mode():
            plain = stack.draw(PIECE, [10_000 + seed])
            raw = torch.cat([raws[0] for _, raws in evaluate(plain, x)], 1)
            if is_classifier(model):
                raw = likelihood.distribution(raw, 0).probs
                raw = torch.stack([1 - raw, raw], -1) if raw.ndim == 2 else raw
            yield raw.double().numpy()


class Sums:
    """Running sums over draws: of values, their squares and (classes) their entropies."""

    def __init__(self, classes: bool) -> None:
        self.classes, self.n = classes, 0
        self.values, self.squares, self.entropies = (np.zeros(()) for _ in range(3))

    def add(self, draws: np.ndarray) -> Sums:
        self.n += len(draws)
        self.values = self.values + draws.sum(0)
        self.squares = self.squares + (draws**2).sum(0)
        if self.classes:
            self.entropies = self.entropies + entropy(draws).sum(0)
        return self

    @property
    def mean(self) -> np.ndarray:
        """``(rows,)``; of the last class."""
        return self.values[:, -1] / self.n

    @property
    def variance(self) -> np.ndarray:
        """Of what `mean` is the mean of."""
        return np.maximum(self.squares[:, -1] / self.n - self.mean**2, 0)

    @property
    def epistemic(self) -> np.ndarray:
        """Variance over the draws; for classes the mutual information."""
        if not self.classes:
            return self.variance
        return np.maximum(entropy(self.values / self.n) - self.entropies / self.n, 0)


def errors(mean: np.ndarray, epistemic: np.ndarray, truth: Sums) -> tuple[float, float, float]:
    """Of the epistemic part, of the mean, and the signed one of the epistemic part.

    Means over the rows. Errors of variances are relative, row by row. Mutual information is near
    zero in most rows, so its errors are divided by its mean over the rows. Errors of the mean
    are in standard deviations of the draws.
    """
    off = epistemic - truth.epistemic
    scale = truth.epistemic.mean() if truth.classes else truth.epistemic
    # A row that no unit is on for is without noise, and needs no division.
    relative = off / np.where(scale > 0, scale, 1.0)
    spread = np.maximum(np.sqrt(truth.variance), _LEAST)
    of_mean = np.abs(mean - truth.mean) / spread
    return float(np.abs(relative).mean()), float(of_mean.mean()), float(relative.mean())


def compare(model: Any, X: np.ndarray, n_draws: int) -> dict[str, tuple[float, float, float]]:
    """Errors of the moments, and of few draws (means over as many tries as there are pieces)."""
    classes = is_classifier(model)
    truth = Sums(classes)
    tries: dict[int, list[Sums]] = {n: [] for n in FEW}
    for draws in pieces(model, X, n_draws):
        truth.add(draws)
        for n in FEW:
            tries[n].append(Sums(classes).add(draws[:n]))
    found = {
        str(n): tuple(np.mean([errors(s.mean, s.epistemic, truth) for s in some], axis=0))
        for n, some in tries.items()
    }
    found["moments"] = errors(*closed_form(model, X), truth)
    return found


def closed_form(model: Any, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and epistemic part by moments, in the units of `Sums`."""
    model.set_params(inference="moments")
    if is_classifier(model):
        u = model.predict_uncertainty(X, measure="entropy")
        mean, epistemic = u.mean[:, -1], u.epistemic
    else:
        u = model.predict_uncertainty(X)
        mean = (u.mean - model._target.mean[0]) / model._target.scale[0]
        epistemic = u.epistemic / model._target.scale[0] ** 2
    model.set_params(inference="draws")
    return mean, epistemic
