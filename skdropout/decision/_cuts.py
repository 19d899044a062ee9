"""Where to cut a list of scored rows into kept and referred."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

from ..metrics.referral import first_at_least


@dataclass(frozen=True)
class Cuts:
    """Every way to split rows by a threshold on their score, the strictest first.

    All fields have shape (n_cuts,), one cut for each distinct score. Each keeps at least one
    row, the last one all rows.

    Attributes
    ----------
    threshold : ndarray
        Rows with a larger score are referred. Each is the largest number below the next score,
        so that the rows kept are a random sample of all rows below that score; the last one is
        infinite.
    n_kept, n_wrong : ndarray of int
        Rows kept, and rows kept with a loss that is not zero. Each row counts once.
    coverage : ndarray
        Share of the weight that is kept.
    risk : ndarray
        Weighted mean loss of the rows kept.
    cost : ndarray
        Weighted mean over all rows of the loss if kept and of the cost of referral if not.
    """

    threshold: np.ndarray
    n_kept: np.ndarray
    n_wrong: np.ndarray
    coverage: np.ndarray
    risk: np.ndarray
    cost: np.ndarray

    @classmethod
    def of(
        cls,
        score: np.ndarray,
        loss: np.ndarray,
        weight: np.ndarray | None = None,
        refer_cost: np.ndarray | None = None,
    ) -> Cuts:
        """All cuts of some rows.

        Parameters
        ----------
        score : ndarray of shape (n_samples,)
            Finite; the larger, the sooner referred.
        loss : ndarray of shape (n_samples,)
            Of keeping the row.
        weight : ndarray of shape (n_samples,), default=None
            Positive.
        refer_cost : ndarray of shape (n_samples,), default=None
            Of referring the row; None for zero.

        Returns
        -------
        Cuts
        """
        weight = np.ones(len(score)) if weight is None else weight
        refer_cost = np.zeros(len(score)) if refer_cost is None else refer_cost
        values, block = np.unique(score, return_inverse=True)

        def kept(amount: np.ndarray) -> np.ndarray:
            return np.cumsum(np.bincount(block, amount))

        referring = weight @ refer_cost - kept(weight * refer_cost)
        return cls(
            threshold=np.append(np.nextafter(values[1:], -np.inf), np.inf),
            n_kept=kept(np.ones(len(score))).astype(int),
            n_wrong=kept(loss != 0).astype(int),
            coverage=kept(weight) / weight.sum(),
            risk=kept(weight * loss) / kept(weight),
            cost=(kept(weight * loss) + referring) / weight.sum(),
        )

    def __len__(self) -> int:
        return len(self.threshold)


def binomial_upper_bound(n_wrong: np.ndarray, n_kept: np.ndarray, level: float) -> np.ndarray:
    """Upper confidence bound of a binomial probability.

    Parameters
    ----------
    n_wrong, n_kept : array-like of int
        Events and trials, broadcast against each other.
    level : float
        Confidence of the one-sided bound.

    Returns
    -------
    ndarray
        The probability under which `n_wrong` or fewer events have the probability
        ``1 - level``; one without trials.

    References
    ----------
    Clopper and Pearson (1934). The use of confidence or fiducial limits illustrated in the case
    of the binomial. Biometrika.
    """
    n_wrong, n_kept = np.broadcast_arrays(n_wrong, n_kept)
    n_right = n_kept - n_wrong
    bound = betaincinv(n_wrong + 1.0, np.maximum(n_right, 1.0), level)
    return np.where(n_right > 0, bound, 1.0)


def guaranteed_cut(
    cuts: Cuts, max_risk: float, confidence_level: float
) -> tuple[int | None, float]:
    """The most coverage at which the risk is below a limit with a given confidence.

    Bisection over the cuts: a cut passes if the upper confidence bound of its risk is at most
    `max_risk`, and the search goes on among the cuts that keep more; otherwise among those that
    keep fewer. The error probability is shared evenly by the steps, so that all their bounds
    hold at once. If the true risk rises with coverage, the search goes the same way for every
    sample up to its first wrong step, and sharing by the number of steps is exact. Where it does
    not rise, the way depends on the sample, and the shared error probability is an
    approximation.

    Two departures from the paper. A threshold lies just below the first score that is
    referred, not at the last one that is kept: given that score, the rows below it are
    a random sample, and the binomial bound is exact. And cuts so strict that no sample could
    pass them are left out of the search.

    Parameters
    ----------
    cuts : Cuts
        Of rows that the model has not seen, with losses zero and one.
    max_risk : float
    confidence_level : float

    Returns
    -------
    index : int or None
        None if no cut passed.
    bound : float
        Upper bound of the risk at the cut; NaN without one.

    References
    ----------
    Geifman and El-Yaniv (2017). Selective classification for deep neural networks. NeurIPS.
    Algorithm 2.
    """
    level = 1 - (1 - confidence_level) / len(cuts).bit_length()
    # (1 - max_risk)^n > 1 - level for smaller n: too few rows even if all are right.
    fewest = np.log1p(-level) / np.log1p(-max_risk)
    low, high = int(np.searchsorted(cuts.n_kept, fewest - 1e-9)), len(cuts)
    best, best_bound = None, np.nan
    while low < high:
        middle = (low + high) // 2
        bound = float(binomial_upper_bound(cuts.n_wrong[middle], cuts.n_kept[middle], level))
        if bound <= max_risk:
            best, best_bound, low = middle, bound, middle + 1
        else:
            high = middle
    return best, best_bound


def covering_cut(cuts: Cuts, min_coverage: float) -> int:
    """The strictest cut that keeps at least a share of the weight."""
    return int(first_at_least(cuts.coverage, min_coverage))


def cheapest_cut(cuts: Cuts, cost_of_referring_all: float) -> int | None:
    """The cut of the least mean cost; None if referring everything is cheaper."""
    best = int(np.argmin(cuts.cost))
    return best if cuts.cost[best] <= cost_of_referring_all else None


def cut_of_threshold(cuts: Cuts, scores: np.ndarray, threshold: float) -> int | None:
    """The cut that a given threshold makes; None if it keeps no row."""
    n_below = int(np.searchsorted(np.unique(scores), threshold, side="right"))
    return n_below - 1 if n_below else None
