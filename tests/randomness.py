"""Randomised statistical tests: which there are, how often they fail, and what to do then.

Two kinds of test
-----------------
*Exact* tests compare numbers that must be equal bit for bit, or up to rounding; the tolerance in
such a test is a rounding error and nothing else. Almost all tests are of this kind.

*Statistical* tests compare an estimate from random numbers with its expectation, or with another
estimate made in an independent way. They call one of the functions of this module, and no other
test does; search for ``randomness`` to find them all.

Seeds and failure rate
----------------------
Every statistical test has a fixed seed, so on one machine it always passes or always fails. The
bound is `Z` = 6 standard errors of the estimate, two-sided. For a normal estimate one comparison
exceeds it with probability 2e-9; the suite makes about 10,000 comparisons, so with *new* random
numbers (another seed, a torch or NumPy with other streams) a correct program fails somewhere
about once in 50,000 suites. Estimates of variances are less normal than means; with the numbers
of draws used here that costs a factor of at most some hundreds, which is still rarer than once in
a hundred suites.

When one fails
--------------
1. Run it with two other seeds. If it passes with both, and only the streams have changed (a new
   torch, a new processor), change the seed and say so in the commit.
2. If it fails again, the program is wrong, or the test's expectation is. Double the draws: a true
   difference grows to 1.4 times as many standard errors, an accident does not.
3. Never widen `Z`, and never delete a comparison, to make a test pass.
"""

from __future__ import annotations

import numpy as np

Z = 6.0


def assert_mean(samples: np.ndarray, expected: np.ndarray | float) -> None:
    """The mean over axis 0 is as expected, within `Z` standard errors."""
    error = samples.std(0, ddof=1) / np.sqrt(len(samples))
    _assert_within(samples.mean(0) - expected, error)


def assert_variance(samples: np.ndarray, expected: np.ndarray | float) -> None:
    """The variance over axis 0 is as expected, within `Z` standard errors."""
    _assert_within(samples.var(0) - expected, variance_error(samples))


def assert_same_moments(first: np.ndarray, second: np.ndarray) -> None:
    """Two sets of samples along axis 0 have the same mean and the same variance."""
    error = np.sqrt(first.var(0) / len(first) + second.var(0) / len(second))
    _assert_within(first.mean(0) - second.mean(0), error)
    error = np.hypot(variance_error(first), variance_error(second))
    _assert_within(first.var(0) - second.var(0), error)


def assert_share(hits: float, trials: float, probability: float) -> None:
    """A count is binomial with the given probability."""
    error = np.sqrt(probability * (1 - probability) / trials)
    _assert_within(np.asarray(hits / trials - probability), np.asarray(error))


def assert_calibrated_share(held: float, level: float, n_calibrated: int, n_new: int) -> None:
    """A share of new rows lies inside limits that other rows have set to hold this level.

    Both the limits and the share are uncertain.
    """
    n_rows = 1 / (1 / n_calibrated + 1 / n_new)
    assert_share(held * n_rows, n_rows, level)


def assert_one_more(sample: np.ndarray, samples: np.ndarray) -> None:
    """A sample is one more of those along axis 0: within `Z` of their standard deviations."""
    _assert_within(sample - samples.mean(0), samples.std(0, ddof=1))


def variance_error(samples: np.ndarray) -> np.ndarray:
    """Standard error of the variance over axis 0, from the fourth central moment."""
    centred = samples - samples.mean(0)
    fourth = (centred**4).mean(0)
    return np.sqrt(np.maximum(fourth - samples.var(0) ** 2, 0) / len(samples))


def standard_errors_apart(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Difference of two means over axis 0, in standard errors."""
    error = np.sqrt(first.var(0) / len(first) + second.var(0) / len(second))
    return np.abs(first.mean(0) - second.mean(0)) / error


def _assert_within(difference: np.ndarray, error: np.ndarray) -> None:
    # A standard error of zero leaves rounding only.
    worst = np.max(np.abs(difference) / (error + 1e-12))
    assert worst <= Z, f"{worst:.1f} standard errors from what is expected; allowed are {Z}"
