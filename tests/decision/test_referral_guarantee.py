"""The guarantee of `max_risk`: bounds, and simulated populations of known risk.

The tests over simulated draws are statistical, with a fixed seed. A right implementation breaks
the promise in at most 5 % of the draws on average; a test allows what a binomial count with that
probability exceeds in one of a thousand cases. If one fails after a change of the random stream
alone, look at the share: a little above the limit is bad luck, far above is a bug.
"""

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.base import BaseEstimator, ClassifierMixin

from skdropout.decision import TunedReferralClassifierCV
from skdropout.decision._cuts import Cuts, binomial_upper_bound, guaranteed_cut

N_DRAWS = 1000
N_ROWS = 400
MAX_RISK = 0.10
ALLOWED = binom.ppf(0.999, N_DRAWS, 0.05)

# Share of errors at a score in [0, 1], and among all rows with a smaller score.
POPULATIONS = {
    "rising": (lambda u: 0.4 * u**2, lambda t: 0.4 / 3 * t**2),
    "flat, just too high": (lambda u: 0.101 + 0 * u, lambda t: 0.101),
    "overconfident": (
        lambda u: np.where(u < 0.3, 0.2, 0.02),
        lambda t: 0.2 if t < 0.3 else (0.06 + 0.02 * (t - 0.3)) / t,
    ),
}


class Known(ClassifierMixin, BaseEstimator):
    """A classifier whose doubt about x in [-1, 1] is (1 - |x|) / 2."""

    def fit(self, X, y):
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X):
        proba = (1 + X[:, 0]) / 2
        return np.stack([1 - proba, proba], 1)

    def predict(self, X):
        return (X[:, 0] > 0).astype(int)


def simulate(rng, error_at):
    """Rows, labels, scores in [0, 1] and which labels `Known` gets wrong."""
    u = rng.random(N_ROWS)
    x = (1 - u) * rng.choice([-1, 1], N_ROWS)
    wrong = rng.random(N_ROWS) < error_at(u)
    return x[:, None], (x > 0).astype(int) ^ wrong, u, wrong


def broken_promises(select, population, seed=0):
    """How often a rule picks a threshold above which the true risk is too high."""
    error_at, risk_below = POPULATIONS[population]
    rng = np.random.default_rng(seed)
    broken = 0
    for _ in range(N_DRAWS):
        *_, u, wrong = simulate(rng, error_at)
        threshold = select(Cuts.of(u, wrong.astype(float)))
        broken += threshold is not None and risk_below(min(threshold, 1.0)) > MAX_RISK
    return broken


def with_guarantee(cuts):
    index, _ = guaranteed_cut(cuts, MAX_RISK, 0.95)
    return None if index is None else cuts.threshold[index]


def without_bound(cuts):
    passed = np.flatnonzero(cuts.risk <= MAX_RISK)
    return cuts.threshold[passed[-1]] if len(passed) else None


def without_correction(cuts):
    """The bound of each cut alone, and then the best of many cuts."""
    bounds = binomial_upper_bound(cuts.n_wrong, cuts.n_kept, 0.95)
    passed = np.flatnonzero(bounds <= MAX_RISK)
    return cuts.threshold[passed[-1]] if len(passed) else None


@pytest.mark.parametrize("population", POPULATIONS)
def test_promise_is_kept(population):
    assert broken_promises(with_guarantee, population) <= ALLOWED


@pytest.mark.parametrize("population", ["rising", "flat, just too high"])
def test_promise_is_broken_without_a_bound(population):
    assert broken_promises(without_bound, population) > 3 * ALLOWED


def test_promise_is_broken_without_the_correction_for_many_looks():
    assert broken_promises(without_correction, "flat, just too high") > 1.5 * ALLOWED


@pytest.mark.filterwarnings("ignore:.*no threshold reaches:UserWarning")
def test_promise_is_kept_by_the_estimator():
    error_at, risk_below = POPULATIONS["rising"]
    rng = np.random.default_rng(1)
    model = Known().fit(None, None)
    careful = TunedReferralClassifierCV(model, max_risk=MAX_RISK, cv="prefit")
    broken, coverages = 0, []
    for _ in range(N_DRAWS):
        x, y, *_ = simulate(rng, error_at)
        careful.fit(x, y)
        # Doubt is half of the score in [0, 1].
        broken += risk_below(min(2 * careful.threshold_, 1.0)) > MAX_RISK
        coverages.append(careful.selective_coverage_)
    assert broken <= ALLOWED
    # The most that the population allows is 0.866; keeping nothing would be no use.
    assert np.mean(coverages) > 0.5


# ---- bounds ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_wrong", "n_kept"), [(0, 1), (0, 59), (3, 40), (17, 20), (250, 9000)])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_bound_inverts_the_binomial_distribution(n_wrong, n_kept, level):
    bound = float(binomial_upper_bound(n_wrong, n_kept, level))
    assert binom.cdf(n_wrong, n_kept, bound) == pytest.approx(1 - level, rel=1e-6)


def test_bound_without_rows_or_without_success_is_one():
    np.testing.assert_array_equal(binomial_upper_bound([0, 1, 5], [0, 1, 5], 0.95), [1, 1, 1])


def test_bound_by_hand():
    # (1 - 0.05)^59 = 0.0485: 59 right rows show a risk below 5 % with 95 % confidence.
    assert binomial_upper_bound(0, 59, 0.95) < 0.05 < binomial_upper_bound(0, 58, 0.95)


# ---- cuts ------------------------------------------------------------------------------------


def test_cuts_by_hand():
    score, loss = np.array([0.3, 0.1, 0.2, 0.2]), np.array([1.0, 0.0, 2.0, 0.0])
    cuts = Cuts.of(score, loss, np.array([1.0, 2.0, 1.0, 1.0]), np.array([1.0, 1.0, 1.0, 3.0]))
    assert cuts.threshold.tolist() == [np.nextafter(0.2, 0), np.nextafter(0.3, 0), np.inf]
    assert cuts.n_kept.tolist() == [1, 3, 4]
    assert cuts.n_wrong.tolist() == [0, 1, 2]
    np.testing.assert_allclose(cuts.coverage, [2 / 5, 4 / 5, 1])
    np.testing.assert_allclose(cuts.risk, [0, 1 / 2, 3 / 5])
    np.testing.assert_allclose(cuts.cost, [5 / 5, (2 + 1) / 5, 3 / 5])


def test_threshold_keeps_what_the_cut_says():
    rng = np.random.default_rng(0)
    score = rng.integers(30, size=200) / 7
    cuts = Cuts.of(score, np.zeros(200))
    assert [(score <= threshold).sum() for threshold in cuts.threshold] == cuts.n_kept.tolist()


def test_search_finds_the_last_cut_that_passes_where_passing_ends_once():
    # Right up to row 300 and wrong afterwards: bounds fall first and then rise.
    wrong = np.arange(500) >= 300
    cuts = Cuts.of(np.arange(500.0), wrong.astype(float))
    index, bound = guaranteed_cut(cuts, 0.1, 0.95)
    bounds = binomial_upper_bound(cuts.n_wrong, cuts.n_kept, 1 - 0.05 / (500).bit_length())
    assert index == np.flatnonzero(bounds <= 0.1)[-1]
    assert bound == pytest.approx(bounds[index])


def test_too_few_rows_reach_nothing():
    cuts = Cuts.of(np.arange(20.0), np.zeros(20))
    index, bound = guaranteed_cut(cuts, 0.05, 0.95)
    assert index is None
    assert np.isnan(bound)
