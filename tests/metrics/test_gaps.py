"""Scores of several outputs of which single targets are missing: each output over its own rows."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor, metrics
from tests.reference import quick

ROWS, OUTPUTS = 40, 3
RNG = np.random.default_rng(0)
MEANS = RNG.standard_normal((4, ROWS, OUTPUTS))
STDS = RNG.uniform(0.2, 1, (4, ROWS, OUTPUTS))
SAMPLES = RNG.standard_normal((ROWS, OUTPUTS, 6))
ENDS = np.sort(RNG.standard_normal((ROWS, OUTPUTS, 2)), axis=-1)
WEIGHT = RNG.uniform(0.1, 2, ROWS)

# Each takes targets, which rows and outputs of the predictions they belong to, and weights.
SCORES = {
    "log_predictive_density_score": lambda y, at, w: metrics.log_predictive_density_score(
        y, MEANS[:, *at], STDS[:, *at], sample_weight=w
    ),
    "crps_loss": lambda y, at, w: metrics.crps_loss(
        y, MEANS[:, *at], STDS[:, *at], sample_weight=w
    ),
    "sample_crps_loss": lambda y, at, w: metrics.sample_crps_loss(y, SAMPLES[at], sample_weight=w),
    "interval_coverage_score": lambda y, at, w: metrics.interval_coverage_score(
        y, ENDS[at], sample_weight=w
    ),
    "interval_score_loss": lambda y, at, w: metrics.interval_score_loss(
        y, ENDS[at], sample_weight=w
    ),
}
ALL = (slice(None), slice(None))


@pytest.fixture
def y():
    """The first row has no value."""
    rng = np.random.default_rng(1)
    y = rng.standard_normal((ROWS, OUTPUTS))
    y[rng.random(y.shape) < 0.4] = np.nan
    y[0] = np.nan
    return y


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_an_output_is_scored_over_the_rows_in_which_it_has_a_value(y, name, weight):
    columns = [
        SCORES[name](y[rows, k], (rows, k), None if weight is None else weight[rows])
        for k, rows in enumerate(map(np.flatnonzero, ~np.isnan(y).T))
    ]
    for given in (y, pd.DataFrame(y).astype("Float64"), y.tolist()):
        assert SCORES[name](given, ALL, weight) == pytest.approx(np.mean(columns))
    y[:, 1] = np.nan
    assert SCORES[name](y, ALL, weight) == pytest.approx(np.mean([columns[0], columns[2]]))


@pytest.mark.parametrize("name", SCORES)
def test_gaps_in_a_single_output_and_gaps_only_are_refused(y, name):
    finite = f"{name}: y_true holds a value that is NaN or infinite"
    with pytest.raises(ValueError, match=finite):
        SCORES[name](y[:, 0], (slice(None), 0), None)
    with pytest.raises(ValueError, match=finite):
        SCORES[name](np.where(np.isnan(y), np.nan, np.inf), ALL, None)
    for none, weight in ((np.full_like(y, np.nan), None), (y, np.eye(ROWS)[0])):
        with pytest.raises(ValueError, match="y holds no value in any row that counts"):
            SCORES[name](none, ALL, weight)


# ---- scorers ------------------------------------------------------------------------------------


class OfAnotherPackage(RegressorMixin, BaseEstimator):
    """Says a mean and a standard deviation of each output."""

    def fit(self, X, y):
        self.fitted_ = True
        return self

    def predict(self, X, return_std=False):
        mean = np.asarray(X)[:, :OUTPUTS]
        return (mean, np.ones_like(mean)) if return_std else mean


@pytest.fixture
def x():
    return np.random.default_rng(2).standard_normal((ROWS, 4))


def test_scorers_of_regressors_leave_missing_targets_out(x, y):
    model = make_pipeline(StandardScaler(), quick(DropoutMLPRegressor)).fit(x, y)
    other, known = OfAnotherPackage().fit(x, y), ~np.isnan(y)
    network, inside, rows = model[-1], model[:-1].transform(x), known.any(1)
    for given in (y, pd.DataFrame(y).astype("Float64")):
        got = metrics.log_predictive_density_scorer(model, x, given)
        assert got == pytest.approx(network.log_prob(inside, y)[rows].mean())
        crps = network.crps(inside, y)
        columns = [crps[known[:, k], k].mean() for k in range(OUTPUTS)]
        assert metrics.neg_crps_scorer(model, x, given) == pytest.approx(-np.mean(columns))
        score = metrics.interval_score_loss(y, network.predict_interval(inside))
        assert metrics.neg_interval_score_scorer(model, x, given) == pytest.approx(-score)
        mean, std = other.predict(x, return_std=True)
        score = metrics.crps_loss(y, mean, std)
        assert metrics.neg_crps_scorer(other, x, given) == pytest.approx(-score)
    density = np.where(known, -0.5 * ((y - mean) ** 2 + np.log(2 * np.pi)), 0).sum(1)[rows]
    score = metrics.log_predictive_density_scorer(other, x, y, sample_weight=WEIGHT)
    assert score == pytest.approx(np.average(density, weights=WEIGHT[rows]))


def test_the_scorer_of_labels_leaves_missing_ones_out(x, y):
    y = np.where(np.isnan(y), np.nan, y > 0)
    model = quick(DropoutMLPClassifier).fit(x, y)
    got = metrics.log_predictive_density_scorer(model, x, pd.DataFrame(y).astype("boolean"))
    assert got == pytest.approx(model.log_prob(x, y)[~np.isnan(y).all(1)].mean())
    for scorer in (metrics.neg_brier_scorer, metrics.neg_aurc_scorer):
        with pytest.raises(ValueError, match="several labels per row"):
            scorer(model, x, y)
