"""Scores of predictive distributions: densities, samples and intervals.

Conventions of this file. Components of a mixture come first, as draws do everywhere in this
package; samples and interval ends come last, as `sample_y` and `predict_interval` give them.
With several outputs a score is the plain mean over them, the uniform average of scikit-learn, and
single cells of `y_true` may be missing: an output is then scored over the rows in which it has a
value. A weight of two is the same as the row written twice.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._predictive.checks import checked_finite, checked_std
from .._predictive.normal import NormalMixture
from .._predictive.scores import interval_loss, sample_crps
from ._checks import checked_target, checked_weight, mean_over_rows


def log_predictive_density_score(
    y_true: Any, mean: Any, std: Any, *, sample_weight: Any = None
) -> float:
    """Mean log density of normal predictive distributions, or of mixtures of them.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_outputs)
    mean : array-like of the shape of `y_true`, or (n_components, *shape of y_true)
        With one axis more than `y_true`, the components of an equally weighted mixture.
    std : array-like, broadcastable to `mean`
        Standard deviations, positive.
    sample_weight : array-like of shape (n_samples,), default=None

    Returns
    -------
    float
        In nats, per unit of y; the greater, the better. With several outputs the mean of their
        densities, not the joint one that an estimator's `log_prob` gives.

    Raises
    ------
    ValueError
        For shapes that do not fit, values that are not finite, or a `std` that is not positive.

    References
    ----------
    Gneiting and Raftery (2007). Strictly proper scoring rules, prediction, and estimation. Journal
    of the American Statistical Association 102.

    Examples
    --------
    >>> from skdropout.metrics import log_predictive_density_score
    >>> round(log_predictive_density_score([0.0, 1.0], [0.0, 0.0], 1.0), 6)
    -1.168939
    """
    name = "log_predictive_density_score"
    mixture, y = _checked_mixture(name, y_true, mean, std)
    checked_density(name, mixture)
    scores = mixture.log_prob(y.reshape(-1, 1)).reshape(y.shape)
    return mean_over_rows(scores, checked_weight(sample_weight, len(y)), y)


def crps_loss(y_true: Any, mean: Any, std: Any, *, sample_weight: Any = None) -> float:
    """Continuous ranked probability score of normal distributions, or of mixtures of them; exact.

    The squared distance between the predictive distribution function and the step at the target,
    integrated. For a prediction without spread it is the absolute error. Time grows with the
    square of the number of components, memory does not.

    Parameters
    ----------
    y_true, mean, sample_weight
        As for `log_predictive_density_score`.
    std : array-like, broadcastable to `mean`
        Standard deviations, not negative.

    Returns
    -------
    float
        In the units of y; the smaller, the better.

    Raises
    ------
    ValueError
        For shapes that do not fit, values that are not finite, or a negative `std`.

    References
    ----------
    Gneiting and Raftery (2007). Strictly proper scoring rules, prediction, and estimation. Journal
    of the American Statistical Association 102.

    Grimit, Gneiting, Berrocal and Johnson (2006). The continuous ranked probability score for
    circular variables and its application to mesoscale forecast ensemble verification. Quarterly
    Journal of the Royal Meteorological Society 132.

    Examples
    --------
    >>> from skdropout.metrics import crps_loss
    >>> round(crps_loss([0.0], [0.0], [1.0]), 6)
    0.233695
    >>> crps_loss([3.0, 1.0], [0.0, 0.0], 0.0)
    2.0
    """
    mixture, y = _checked_mixture("crps_loss", y_true, mean, std)
    scores = mixture.crps(y.reshape(-1, 1)).reshape(y.shape)
    return mean_over_rows(scores, checked_weight(sample_weight, len(y)), y)


def sample_crps_loss(y_true: Any, samples: Any, *, sample_weight: Any = None) -> float:
    """Continuous ranked probability score of samples, taken as the predictive distribution.

    Few samples score worse than the distribution that they come from: by ``E|Y - Y'| / (2 S)``
    for ``S`` of them on average, which is what the distribution of the samples costs.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_outputs)
    samples : array-like of shape (*shape of y_true, n_draws)
        As `sample_y` gives them.
    sample_weight : array-like of shape (n_samples,), default=None

    Returns
    -------
    float
        In the units of y; the smaller, the better.

    Raises
    ------
    ValueError
        For shapes that do not fit or values that are not finite.

    References
    ----------
    Jordan, Krueger and Lerch (2019). Evaluating probabilistic forecasts with scoringRules.
    Journal of Statistical Software 90.

    Examples
    --------
    >>> from skdropout.metrics import sample_crps_loss
    >>> sample_crps_loss([1.0], [[0.0, 1.0, 2.0, 5.0]])
    0.5
    """
    name = "sample_crps_loss"
    y = checked_target(name, y_true)
    values = checked_finite(name, "samples", np.asarray(samples, dtype=np.float64))
    if values.ndim != y.ndim + 1 or values.shape[:-1] != y.shape or not values.size:
        raise ValueError(
            f"{name}: samples must have the shape of y_true, {y.shape}, and an axis of draws after "
            f"it, got {values.shape}"
        )
    scores = sample_crps(values.reshape(-1, values.shape[-1]), y.ravel())
    return mean_over_rows(scores.reshape(y.shape), checked_weight(sample_weight, len(y)), y)


def interval_coverage_score(y_true: Any, interval: Any, *, sample_weight: Any = None) -> Any:
    """Share of the targets that lie in their intervals, ends included.

    Neither great nor small values are good: it should be the level of the intervals.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_outputs)
    interval : array-like of shape (*shape of y_true, 2) or (*shape of y_true, 2, n_levels)
        Lower and upper ends, as `predict_interval` gives them.
    sample_weight : array-like of shape (n_samples,), default=None

    Returns
    -------
    float, or ndarray of shape (n_levels,)

    Raises
    ------
    ValueError
        For shapes that do not fit, values that are NaN, or an upper end below the lower one.

    Examples
    --------
    >>> from skdropout.metrics import interval_coverage_score
    >>> interval_coverage_score([0.0, 1.0, 2.0, 3.0], [[-1, 1], [0, 2], [0, 1], [3, 4]])
    0.75
    """
    y, lower, upper, single = _checked_interval("interval_coverage_score", y_true, interval)
    weight = checked_weight(sample_weight, len(y))
    inside = (lower <= y[..., None]) & (y[..., None] <= upper)
    shares = [mean_over_rows(level, weight, y) for level in np.moveaxis(inside, -1, 0)]
    return shares[0] if single else np.array(shares)


def interval_score_loss(
    y_true: Any, interval: Any, *, confidence_level: Any = 0.9, sample_weight: Any = None
) -> Any:
    """Interval score, also called Winkler score: mean width plus a penalty for each miss.

    A miss costs ``2 / (1 - confidence_level)`` times its distance from the interval. On average
    the true quantiles of both tails score best, so it rewards narrow intervals that hold what
    they say.

    Parameters
    ----------
    y_true, interval, sample_weight
        As for `interval_coverage_score`.
    confidence_level : float or array-like of shape (n_levels,), default=0.9
        Probability that each interval is meant to hold, in (0, 1).

    Returns
    -------
    float, or ndarray of shape (n_levels,)
        In the units of y; the smaller, the better.

    Raises
    ------
    ValueError
        If `confidence_level` is out of range or not one per level, or as for
        `interval_coverage_score`.

    References
    ----------
    Winkler (1972). A decision-theoretic approach to interval estimation. Journal of the American
    Statistical Association 67.

    Gneiting and Raftery (2007). Strictly proper scoring rules, prediction, and estimation. Journal
    of the American Statistical Association 102.

    Examples
    --------
    >>> from skdropout.metrics import interval_score_loss
    >>> interval_score_loss([0.0, 3.0], [[-1, 1], [0, 2]], confidence_level=0.5)
    4.0
    """
    name = "interval_score_loss"
    y, lower, upper, single = _checked_interval(name, y_true, interval)
    levels = np.atleast_1d(np.asarray(confidence_level, dtype=np.float64))
    if levels.shape != lower.shape[-1:] or not ((levels > 0) & (levels < 1)).all():
        raise ValueError(
            f"{name}: confidence_level must be in (0, 1), one number for each of the "
            f"{lower.shape[-1]} levels of interval, got {confidence_level!r}"
        )
    weight = checked_weight(sample_weight, len(y))
    scores = [
        mean_over_rows(interval_loss(lower[..., k], upper[..., k], y, level), weight, y)
        for k, level in enumerate(levels)
    ]
    return scores[0] if single else np.array(scores)


def checked_density(name: str, mixture: NormalMixture) -> None:
    """Refuse a mixture that has no density: a component without spread is a point."""
    if not mixture.variances.all():
        raise ValueError(f"{name}: std must be positive, got 0")


def _checked_mixture(
    name: str, y_true: Any, mean: Any, std: Any
) -> tuple[NormalMixture, np.ndarray]:
    """A mixture in which each target, of whatever row and output, is a row; and the targets."""
    y = checked_target(name, y_true)
    means = checked_finite(name, "mean", np.asarray(mean, dtype=np.float64))
    if means.shape != y.shape and (means.ndim != y.ndim + 1 or means.shape[1:] != y.shape):
        raise ValueError(
            f"{name}: mean must have the shape of y_true, {y.shape}, or an axis of components "
            f"before it, got {means.shape}"
        )
    if not means.size:
        raise ValueError(f"{name}: mean must hold at least one component, got {means.shape}")
    stds = checked_std(name, std, means.shape)
    means, stds = (values.reshape(-1, y.size, 1) for values in (means, stds))
    return NormalMixture(means, stds**2), y


def _checked_interval(
    name: str, y_true: Any, interval: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
    """Targets, lower and upper ends with a last axis of levels, and whether there was none."""
    y = checked_target(name, y_true)
    ends = np.asarray(interval, dtype=np.float64)
    single = ends.ndim == y.ndim + 1
    if single:
        ends = ends[..., None]
    if ends.ndim != y.ndim + 2 or ends.shape[:-1] != (*y.shape, 2) or not ends.size:
        raise ValueError(
            f"{name}: interval must have the shape of y_true, {y.shape}, then 2, and perhaps "
            f"by an axis of levels, got {np.shape(interval)}"
        )
    lower, upper = ends[..., 0, :], ends[..., 1, :]
    if not (lower <= upper).all():
        raise ValueError(f"{name}: interval holds a NaN or an upper end below its lower end")
    return y, lower, upper, single
