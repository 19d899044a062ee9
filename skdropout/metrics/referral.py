"""How well an uncertainty says which predictions to keep.

Conventions of this file. Rows are kept from the least to the most uncertain. A threshold cannot
tell rows of equal uncertainty apart, so they are kept or referred together: a curve has one point
for each distinct uncertainty. Selective coverage is the share of the total weight that is kept,
selective risk the weighted mean loss of what is kept. A weight of two is the same as the row
written twice, a weight of zero the same as no row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import check_consistent_length, column_or_1d

from ._checks import checked_weight

Loss = str | Callable[[np.ndarray, np.ndarray], np.ndarray]

LOSSES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "zero_one": lambda y_true, y_pred: y_true != y_pred,
    "absolute_error": lambda y_true, y_pred: np.abs(y_true - y_pred),
    "squared_error": lambda y_true, y_pred: (y_true - y_pred) ** 2,
}


class RiskCoverageCurve(NamedTuple):
    """Selective risk against selective coverage, from the most certain rows to all rows.

    Attributes
    ----------
    coverage : ndarray of shape (n_thresholds,)
        Share of the weight that is kept, increasing, the last one is 1.
    risk : ndarray of shape (n_thresholds,)
        Mean loss of the rows that are kept.
    threshold : ndarray of shape (n_thresholds,)
        The largest uncertainty that is kept, increasing.
    """

    coverage: np.ndarray
    risk: np.ndarray
    threshold: np.ndarray


def risk_coverage_curve(
    y_true: Any,
    y_pred: Any,
    uncertainty: Any,
    *,
    loss: Loss = "zero_one",
    sample_weight: Any = None,
) -> RiskCoverageCurve:
    """Selective risk at every threshold that an uncertainty allows.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels or targets.
    y_pred : array-like of shape (n_samples,)
        Predictions for all rows, also those that would be referred.
    uncertainty : array-like of shape (n_samples,)
        The larger, the sooner the row is referred. Only the order matters, except that
        `threshold` is in its units.
    loss : {"zero_one", "absolute_error", "squared_error"} or callable, default="zero_one"
        What an error costs. A callable takes `y_true` and `y_pred` and returns one number per
        row.
    sample_weight : array-like of shape (n_samples,), default=None

    Returns
    -------
    RiskCoverageCurve

    Raises
    ------
    ValueError
        For arrays of unequal length, an uncertainty or loss that is not finite, or weights that
        are negative or all zero.

    References
    ----------
    El-Yaniv and Wiener (2010). On the foundations of noise-free selective classification. JMLR.

    Examples
    --------
    >>> from skdropout.metrics import risk_coverage_curve
    >>> curve = risk_coverage_curve([0, 0, 1, 1], [0, 0, 1, 0], [0.1, 0.2, 0.2, 0.9])
    >>> curve.coverage
    array([0.25, 0.75, 1.  ])
    >>> curve.risk
    array([0.  , 0.  , 0.25])
    """
    losses, uncertainty, weight = _checked(y_true, y_pred, uncertainty, loss, sample_weight)
    return _curve(losses, uncertainty, weight)


def aurc_score(
    y_true: Any,
    y_pred: Any,
    uncertainty: Any,
    *,
    loss: Loss = "zero_one",
    sample_weight: Any = None,
) -> float:
    """Area under the risk-coverage curve; the smaller, the better.

    The mean over rows of the selective risk at the row's own uncertainty as threshold. Without
    ties and weights this is the mean of the risks of the 1, 2, ..., n most certain rows. An
    uncertainty that is the same for all rows scores the risk of the model, and so does a random
    one on average.

    Parameters
    ----------
    y_true, y_pred, uncertainty, loss, sample_weight
        As for `risk_coverage_curve`.

    Returns
    -------
    float
        In the units of the loss.

    References
    ----------
    Geifman, Uziel and El-Yaniv (2019). Bias-reduced uncertainty estimation for deep neural
    classifiers. ICLR.

    Examples
    --------
    >>> from skdropout.metrics import aurc_score
    >>> aurc_score([0, 0, 1, 1], [0, 0, 1, 0], [0.1, 0.2, 0.3, 0.9])
    0.0625
    """
    losses, uncertainty, weight = _checked(y_true, y_pred, uncertainty, loss, sample_weight)
    return _area(_curve(losses, uncertainty, weight))


def excess_aurc_score(
    y_true: Any,
    y_pred: Any,
    uncertainty: Any,
    *,
    loss: Loss = "zero_one",
    sample_weight: Any = None,
) -> float:
    """AURC above that of an oracle that refers the largest losses first.

    `aurc_score` mixes how good the model is with how well its uncertainty orders the rows; this
    is what the order alone costs. The oracle splits ties, so it is the least AURC that these
    losses allow.

    Parameters
    ----------
    y_true, y_pred, uncertainty, loss, sample_weight
        As for `risk_coverage_curve`.

    Returns
    -------
    float
        Not negative, zero for the best order.

    References
    ----------
    Geifman, Uziel and El-Yaniv (2019). Bias-reduced uncertainty estimation for deep neural
    classifiers. ICLR.
    """
    losses, uncertainty, weight = _checked(y_true, y_pred, uncertainty, loss, sample_weight)
    oracle = oracle_curve(losses, weight)
    return _area(_curve(losses, uncertainty, weight)) - _area(oracle)


def risk_at_coverage(
    y_true: Any,
    y_pred: Any,
    uncertainty: Any,
    *,
    coverage: Any,
    loss: Loss = "zero_one",
    sample_weight: Any = None,
) -> Any:
    """Selective risk of the strictest threshold that keeps at least a share of the rows.

    Parameters
    ----------
    y_true, y_pred, uncertainty, loss, sample_weight
        As for `risk_coverage_curve`.
    coverage : float or array-like of floats
        In (0, 1].

    Returns
    -------
    float, or ndarray of the shape of `coverage`

    Raises
    ------
    ValueError
        If `coverage` is out of range, or as for `risk_coverage_curve`.
    """
    wanted = np.asarray(coverage, dtype=np.float64)
    if not ((wanted > 0) & (wanted <= 1)).all():
        raise ValueError(f"risk_at_coverage: coverage must be in (0, 1], got {coverage!r}")
    curve = risk_coverage_curve(y_true, y_pred, uncertainty, loss=loss, sample_weight=sample_weight)
    risk = curve.risk[first_at_least(curve.coverage, wanted)]
    return risk if wanted.ndim else float(risk)


def coverage_at_risk(
    y_true: Any,
    y_pred: Any,
    uncertainty: Any,
    *,
    max_risk: Any,
    loss: Loss = "zero_one",
    sample_weight: Any = None,
) -> Any:
    """Largest selective coverage at which the selective risk is at most a limit.

    This describes the given rows. The threshold behind it promises nothing for other rows:
    `skdropout.decision.TunedReferralClassifierCV` finds one that does.

    Parameters
    ----------
    y_true, y_pred, uncertainty, loss, sample_weight
        As for `risk_coverage_curve`.
    max_risk : float or array-like of floats
        Not negative, in the units of the loss.

    Returns
    -------
    float, or ndarray of the shape of `max_risk`
        Zero where no threshold reaches the risk.

    Raises
    ------
    ValueError
        If `max_risk` is negative or NaN, or as for `risk_coverage_curve`.
    """
    limit = np.asarray(max_risk, dtype=np.float64)
    if not (limit >= 0).all():
        raise ValueError(f"coverage_at_risk: max_risk must not be negative, got {max_risk!r}")
    curve = risk_coverage_curve(y_true, y_pred, uncertainty, loss=loss, sample_weight=sample_weight)
    reached = curve.risk <= limit[..., None]
    coverage = np.where(reached, curve.coverage, 0.0).max(-1)
    return coverage if limit.ndim else float(coverage)


def referral_accuracy_score(
    y_true: Any, y_pred: Any, referred: Any, *, sample_weight: Any = None
) -> float:
    """Share of rows on which referral agrees with an oracle.

    The oracle knows the labels and refers exactly the rows that the model gets wrong. So a row
    counts if it is kept and right, or referred and wrong.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
    y_pred : array-like of shape (n_samples,)
        The model's own labels for all rows, not those with the label for "refer" in them.
    referred : array-like of bool of shape (n_samples,)
        Which rows are referred.
    sample_weight : array-like of shape (n_samples,), default=None

    Returns
    -------
    float
        In [0, 1]. Referring nothing scores the accuracy of the model.

    Raises
    ------
    ValueError
        If `referred` is not boolean, or as for `risk_coverage_curve`.

    References
    ----------
    Condessa, Bioucas-Dias and Kovacevic (2017). Performance measures for classification systems
    with rejection. Pattern Recognition. There it is the "classification quality".

    Examples
    --------
    >>> from skdropout.metrics import referral_accuracy_score
    >>> referral_accuracy_score([0, 0, 1, 1], [0, 1, 1, 0], [False, True, True, False])
    0.5
    """
    mask = column_or_1d(referred)
    if mask.dtype != bool:
        raise ValueError(
            f"referral_accuracy_score: referred must hold booleans, got dtype {mask.dtype}"
        )
    wrong, mask, weight = _checked(y_true, y_pred, mask, "zero_one", sample_weight)
    return float(np.average(wrong == mask, weights=weight))


def oracle_curve(losses: np.ndarray, weight: np.ndarray | None = None) -> RiskCoverageCurve:
    """The curve of an order by the losses themselves, every row a point of its own.

    Parameters
    ----------
    losses : ndarray of shape (n_samples,)
    weight : ndarray of shape (n_samples,), default=None

    Returns
    -------
    RiskCoverageCurve
        Its `threshold` counts rows.
    """
    weight = np.ones(len(losses)) if weight is None else weight
    # Rows of equal loss are ordered by weight, so that the order of the rows does not matter.
    order = np.lexsort((weight, losses))
    return _curve(losses[order], np.arange(len(losses)), weight[order])


def first_at_least(increasing: np.ndarray, wanted: Any) -> Any:
    """Index of the first value that reaches `wanted`, up to rounding."""
    index = np.searchsorted(increasing, np.asarray(wanted) - 1e-12)
    return np.minimum(index, len(increasing) - 1)


def row_losses(y_true: Any, y_pred: Any, loss: Loss) -> np.ndarray:
    """Loss of each row, ``(n_samples,)``, float64."""
    if not callable(loss) and loss not in LOSSES:
        raise ValueError(f"loss must be callable or one of {sorted(LOSSES)}, got {loss!r}")
    y_true, y_pred = column_or_1d(y_true), column_or_1d(y_pred)
    check_consistent_length(y_true, y_pred)
    values = loss(y_true, y_pred) if callable(loss) else LOSSES[loss](y_true, y_pred)
    losses = np.asarray(values, dtype=np.float64)
    if losses.shape != y_true.shape:
        raise ValueError(
            f"loss must return one number for each of the {len(y_true)} rows, got shape "
            f"{losses.shape}"
        )
    if not np.isfinite(losses).all():
        raise ValueError("y_true and y_pred give a loss that is NaN or infinite")
    return losses


def _checked(
    y_true: Any, y_pred: Any, uncertainty: Any, loss: Loss, sample_weight: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    losses = row_losses(y_true, y_pred, loss)
    score = np.asarray(column_or_1d(uncertainty), dtype=np.float64)
    weight = checked_weight(sample_weight, len(losses))
    check_consistent_length(losses, score)
    if not np.isfinite(score).all():
        raise ValueError("uncertainty holds a value that is NaN or infinite")
    used = weight > 0
    return losses[used], score[used], weight[used]


def _curve(losses: np.ndarray, uncertainty: np.ndarray, weight: np.ndarray) -> RiskCoverageCurve:
    threshold, block = np.unique(uncertainty, return_inverse=True)
    kept = np.cumsum(np.bincount(block, weight))
    lost = np.cumsum(np.bincount(block, weight * losses))
    return RiskCoverageCurve(kept / kept[-1], lost / kept, threshold)


def _area(curve: RiskCoverageCurve) -> float:
    return float(np.diff(curve.coverage, prepend=0.0) @ curve.risk)
