"""One number that makes a predictive distribution as wide as it should be.

It is chosen on rows that the networks were not trained on: a temperature by likelihood, a factor
on the standard deviation by what intervals hold. The most likely factor answers to the few rows
that fit worst, and was worse on new rows in likelihood too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit, log_softmax, logsumexp, softmax

from .mixture import of_cells
from .normal import NormalComponents
from .scores import binned_error, equal_width_bins, mean_of_columns

# A factor on a standard deviation, or a temperature, beyond these says that something else is
# wrong.
_LARGEST = 20.0
# Of the logarithm of either.
_TOLERANCE = 1e-4
# Of the logarithm of a temperature before any row was seen, which is normal around zero. Without
# it a few rows that are all right would make a model certain; hundreds of rows outweigh it.
_SPREAD = 0.5
# The interval that a scale is chosen by.
_LEVEL = 0.9
# Confidence levels whose interval coverage is reported.
_LEVELS = (0.5, 0.9, 0.95)
# Bins of the expected calibration error.
_N_BINS = 15
# Held-out cells without which the spread of a column with gaps is left as it is.
_FEWEST_CELLS = 10


def scale_of_std(
    mixtures: list[NormalComponents],
    targets: list[np.ndarray],
    weights: list[np.ndarray],
    beside: list[np.ndarray] | None = None,
) -> np.ndarray:
    """Factor on the standard deviation with which 90 % intervals hold 90 % of the rows.

    Parameters
    ----------
    mixtures : list of NormalComponents
        One for each part of the held-out rows.
    targets : list of ndarray of shape (rows, n_outputs)
        Single cells may be missing (NaN); they count nothing.
    weights : list of ndarray of shape (rows,)
    beside : list of ndarray of shape (n_components, rows, n_outputs), optional
        What is added to the components, whatever the factor.

    Returns
    -------
    ndarray of shape (n_outputs,)
        One factor for each output. 1 for one with gaps and fewer than ten cells.
    """
    present = ~np.isnan(np.concatenate(targets))
    total = sum(weight.sum() for weight in weights)
    if not present.all():
        total = np.concatenate(weights) @ present
    low = np.full(targets[0].shape[1], -np.log(_LARGEST))
    high = -low
    while (high - low).max() > _TOLERANCE:
        middle = (low + high) / 2
        inside = sum(
            weight @ _inside(mixture, y, _LEVEL)
            for mixture, y, weight in zip(
                scaled_beside(mixtures, np.exp(middle), beside), targets, weights, strict=True
            )
        )
        enough = inside >= _LEVEL * total
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    n_cells = present.sum(0)
    too_few = (n_cells < _FEWEST_CELLS) & (n_cells < len(present))
    return np.where(too_few, 1.0, np.exp(high))


def scaled_beside(
    mixtures: list[NormalComponents],
    scale: np.ndarray | float,
    beside: list[np.ndarray] | None,
) -> list[NormalComponents]:
    """Mixtures with their standard deviations multiplied, and what is added to them as it is."""
    scaled = [mixture.scaled(scale) for mixture in mixtures]
    if not beside:
        return scaled
    return [mixture.shifted(by) for mixture, by in zip(scaled, beside, strict=True)]


def _inside(mixture: NormalComponents, y: np.ndarray, level: float) -> np.ndarray:
    """Whether the central interval of a level holds each target: ``(rows, n_outputs)``.

    It holds none that is missing.
    """
    return np.abs(2 * mixture.cdf(y) - 1) <= level


class LogitScores(NamedTuple):
    """How good the logits of draws are, for targets of one kind.

    Attributes
    ----------
    log_prob : callable
        Log probability of each row's target, ``(rows,)``, from logits ``(n_draws, rows, ...)`` and
        targets.
    top : callable
        Probability of the likeliest answer and whether it is right, ``(rows,)`` or of several
        answers a row ``(rows, n_labels)``, from the same.
    """

    log_prob: Callable[[np.ndarray, np.ndarray], np.ndarray]
    top: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def class_log_prob(logits: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Log of the true class's mean probability over draws: ``(rows,)``."""
    log_p = log_softmax(logits, axis=-1)[:, np.arange(len(y)), y]
    return logsumexp(log_p, axis=0) - np.log(len(log_p))


def _top_class(logits: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    probabilities = softmax(logits, axis=-1).mean(0)
    return probabilities.max(1), probabilities.argmax(1) == y


def label_log_prob(logits: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Log of the mean probability over draws of all labels of a row together: ``(rows,)``.

    Parameters
    ----------
    logits : ndarray of shape (n_draws, rows, n_labels)
    y : ndarray of shape (rows, n_labels)
        Zeros and ones, or NaN where it is missing.
    """
    log_p = of_cells(log_expit(np.where(y == 1, logits, -logits)), y).sum(-1)
    return logsumexp(log_p, axis=0) - np.log(len(log_p))


def _top_answer(logits: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    probabilities = expit(logits).mean(0)
    has_it = probabilities > 0.5
    return np.where(has_it, probabilities, 1 - probabilities), has_it == (y == 1)


OF_CLASSES = LogitScores(class_log_prob, _top_class)
OF_LABELS = LogitScores(label_log_prob, _top_answer)


def temperature_of_logits(
    logits: list[np.ndarray],
    targets: list[np.ndarray],
    weights: list[np.ndarray],
    scores: LogitScores = OF_CLASSES,
    beside: list[np.ndarray] | None = None,
) -> float:
    """Most likely divisor of the logits of each draw, for the mean of the probabilities.

    Parameters
    ----------
    logits : list of ndarray of shape (n_draws, rows, n_classes or n_labels)
        One for each part of the held-out rows.
    targets : list of ndarray of shape (rows,) or (rows, n_labels)
        Integers; of labels also NaN where one is missing.
    weights : list of ndarray of shape (rows,)
    scores : LogitScores
    beside : list of ndarray, optional
        What is added to the logits, whatever the temperature.

    Returns
    -------
    float

    Notes
    -----
    A temperature near one is likelier from the start (`_SPREAD`).
    """

    def log_likelihood(temperature: float) -> float:
        return sum(
            weight @ scores.log_prob(raw, y)
            for raw, y, weight in zip(
                cooled_beside(logits, temperature, beside), targets, weights, strict=True
            )
        )

    return _most_likely(log_likelihood)


def cooled_beside(
    logits: list[np.ndarray], temperature: float, beside: list[np.ndarray] | None
) -> list[np.ndarray]:
    """Logits divided by a temperature, and what is added to them as it is."""
    cooled = [raw / temperature for raw in logits]
    if not beside:
        return cooled
    return [raw + more for raw, more in zip(cooled, beside, strict=True)]


def _most_likely(log_likelihood: Callable[[float], float]) -> float:
    bound = np.log(_LARGEST)
    found = minimize_scalar(
        lambda log_value: (log_value / _SPREAD) ** 2 / 2 - log_likelihood(np.exp(log_value)),
        bounds=(-bound, bound),
        method="bounded",
        options={"xatol": _TOLERANCE},
    )
    return float(np.exp(found.x))


def quality_of_mixtures(
    when: str,
    mixtures: list[NormalComponents],
    targets: list[np.ndarray],
    weights: list[np.ndarray],
) -> dict[str, Any]:
    """Mean log density of held-out rows, and how many of them central intervals hold.

    Parameters
    ----------
    when : str
        Ending of the names.
    mixtures, targets, weights : list
        As for `scale_of_std`.
    """
    weight = np.concatenate(weights)
    log_prob = np.concatenate([m.log_prob(y) for m, y in zip(mixtures, targets, strict=True)])
    coverage, missing = {}, np.isnan(np.concatenate(targets))
    for level in _LEVELS:
        parts = [_inside(m, y, level) for m, y in zip(mixtures, targets, strict=True)]
        inside = np.concatenate(parts)
        coverage[level] = (
            mean_of_columns(inside, weight, missing)
            if missing.any()
            else float(np.average(inside.mean(1), weights=weight))
        )
    mean = float(np.average(log_prob, weights=weight))
    return {f"log_prob_{when}": mean, f"coverage_{when}": coverage}


def quality_of_logits(
    when: str,
    logits: list[np.ndarray],
    targets: list[np.ndarray],
    weights: list[np.ndarray],
    scores: LogitScores = OF_CLASSES,
) -> dict[str, float]:
    """Mean log probability of held-out rows, and their expected calibration error.

    Parameters
    ----------
    when : str
        Ending of the names.
    logits, targets, weights, scores
        As for `temperature_of_logits`.
    """
    log_prob = [scores.log_prob(raw, y) for raw, y in zip(logits, targets, strict=True)]
    weight = np.concatenate(weights)
    mean = float(np.average(np.concatenate(log_prob), weights=weight))
    tops = [scores.top(raw, y) for raw, y in zip(logits, targets, strict=True)]
    top, right = (np.concatenate(parts) for parts in zip(*tops, strict=True))
    # As `skdropout.metrics.expected_calibration_error` by default, over all answers.
    weight = np.repeat(weight, top.size // len(weight))
    weight[np.isnan(np.concatenate(targets).ravel())] = 0.0
    top, right = top.ravel(), right.ravel()
    ece = binned_error(top, right, weight, equal_width_bins(top, _N_BINS))
    return {f"log_prob_{when}": mean, f"ece_{when}": ece}
