"""Targets of several outputs of which single ones are missing: each part against those present."""

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import multivariate_normal

from skdropout._predictive.normal import CorrelatedNormalMixture, NormalMixture
from skdropout._predictive.poisson import PoissonMixture
from skdropout._predictive.scaling import (
    OF_LABELS,
    label_log_prob,
    quality_of_logits,
    quality_of_mixtures,
    scale_of_std,
    temperature_of_logits,
)
from skdropout._predictive.scores import mean_of_columns
from skdropout._predictive.target_columns import TargetColumns, column_means
from skdropout.metrics import expected_calibration_error

N_COMPONENTS, ROWS, OUTPUTS = 4, 8, 3


def _with_gaps(y, seed=0):
    """With a row that has all, and a row that has none."""
    missing = np.random.default_rng(seed).random(y.shape) < 0.4
    missing[0], missing[1] = False, True
    return np.where(missing, np.nan, y)


@pytest.fixture
def parts():
    rng = np.random.default_rng(0)
    means = rng.standard_normal((N_COMPONENTS, ROWS, OUTPUTS))
    roots = rng.standard_normal((N_COMPONENTS, ROWS, OUTPUTS, OUTPUTS))
    noise = rng.uniform(0.2, 1, (N_COMPONENTS, 1, OUTPUTS))
    return means, noise, roots @ roots.swapaxes(-1, -2), _with_gaps(rng.standard_normal((ROWS, 3)))


def test_the_density_of_a_row_is_that_of_the_targets_that_it_has(parts):
    means, noise, _, y = parts
    got = NormalMixture(means, noise).log_prob(y)
    for row in range(ROWS):
        there = ~np.isnan(y[row])
        own = NormalMixture(means[:, row : row + 1, there], noise[..., there])
        np.testing.assert_allclose(got[row], own.log_prob(y[row, there]), atol=1e-12)
    assert got[1] == 0


def test_the_density_of_correlated_targets_is_the_marginal_one(parts):
    means, noise, covariance, y = parts
    got = CorrelatedNormalMixture(means, noise, covariance).log_prob(y)
    assert got[1] == pytest.approx(0, abs=1e-12)
    for row in np.delete(np.arange(ROWS), 1):
        there = np.flatnonzero(~np.isnan(y[row]))
        if not len(there):
            assert got[row] == pytest.approx(0, abs=1e-12)
            continue
        densities = [
            multivariate_normal.pdf(
                y[row, there],
                means[component, row, there],
                covariance[component, row][np.ix_(there, there)]
                + np.diag(noise[component, 0, there]),
            )
            for component in range(N_COMPONENTS)
        ]
        np.testing.assert_allclose(got[row], np.log(np.mean(densities)), rtol=1e-9)


def test_the_probability_of_counts_is_that_of_those_that_are_there(parts):
    means, *_, y = parts
    counts = np.round(np.exp(y))
    got = PoissonMixture(np.exp(means)).log_prob(counts)
    for row in range(ROWS):
        there = ~np.isnan(y[row])
        own = PoissonMixture(np.exp(means[:, row : row + 1, there]))
        np.testing.assert_allclose(got[row], own.log_prob(counts[row, there]), atol=1e-12)


def test_a_missing_target_has_no_crps(parts):
    means, noise, _, y = parts
    full = np.nan_to_num(y)
    for mixture in (NormalMixture(means, noise), PoissonMixture(np.exp(means))):
        targets = np.abs(np.round(y)), np.abs(np.round(full))
        got, expected = (mixture.crps(values) for values in targets)
        np.testing.assert_array_equal(got, np.where(np.isnan(y), np.nan, expected))


# ---- calibration --------------------------------------------------------------------------------


def test_the_scale_of_a_column_is_found_on_the_rows_that_have_it():
    rng = np.random.default_rng(0)
    means, noise = rng.standard_normal((5, 90, 3)), rng.uniform(0.1, 2, (5, 90, 3))
    y, weight = _with_gaps(2 * rng.standard_normal((90, 3))), rng.uniform(0.2, 2, 90)
    cut = [slice(0, 30), slice(30, 90)]
    got = scale_of_std(
        [NormalMixture(means[:, rows], noise[:, rows]) for rows in cut],
        [y[rows] for rows in cut],
        [weight[rows] for rows in cut],
    )
    for column in range(3):
        there = ~np.isnan(y[:, column])
        own = (values[:, there, column : column + 1] for values in (means, noise))
        alone = scale_of_std(
            [NormalMixture(*own)], [y[there, column : column + 1]], [weight[there]]
        )
        np.testing.assert_allclose(got[column], alone[0], rtol=1e-12)


def test_few_held_out_cells_do_not_narrow_a_column():
    y = np.zeros((40, 3))
    y[9:, 1] = y[:, 2] = np.nan
    mixture = NormalMixture(np.zeros((1, 40, 3)), np.ones((1, 40, 3)))
    got = scale_of_std([mixture], [y], [np.ones(40)])
    np.testing.assert_allclose(got, [1 / 20, 1, 1], rtol=1e-3)


def test_reported_coverage_is_the_mean_of_the_columns():
    rng = np.random.default_rng(0)
    y, weight = _with_gaps(rng.standard_normal((60, 3))), rng.uniform(0.2, 2, 60)
    mixture = NormalMixture(np.zeros((1, 60, 3)), np.ones((1, 60, 3)))
    got = quality_of_mixtures("x", [mixture], [y], [weight])
    inside = np.abs(y) <= 0.6744897501960817  # Half of a normal distribution.
    columns = [
        np.average(inside[there, column], weights=weight[there])
        for column, there in enumerate(~np.isnan(y).T)
    ]
    assert got["coverage_x"][0.5] == pytest.approx(np.mean(columns))
    assert got["log_prob_x"] == pytest.approx(np.average(mixture.log_prob(y), weights=weight))


def test_the_temperature_of_labels_goes_by_those_that_are_known():
    rng = np.random.default_rng(0)
    logits = 3 * rng.standard_normal((2, 200, 3))
    y = _with_gaps((rng.random((200, 3)) < expit(logits[0] / 2)).astype(float))
    log_prob = label_log_prob(logits, y)
    there = ~np.isnan(y)
    known = np.where(there, np.where(y == 1, expit(logits), expit(-logits)), 1.0)
    np.testing.assert_allclose(log_prob, np.log(known.prod(-1).mean(0)))
    # With one draw labels are independent, so each known cell may as well be a row of its own.
    one = logits[:1]
    cells, answers = one[:, there][..., None], y[there][:, None]
    together = temperature_of_logits([one], [y], [np.ones(200)], OF_LABELS)
    alone = temperature_of_logits([cells], [answers], [np.ones(len(answers))], OF_LABELS)
    assert together == pytest.approx(alone, rel=1e-3)
    quality = quality_of_logits("x", [one], [y], [np.ones(200)], OF_LABELS)
    stated = expit(one[0])[there]
    proba = np.stack([1 - stated, stated], 1)
    expected = expected_calibration_error(y[there].astype(int), proba)
    assert quality["ece_x"] == pytest.approx(expected)


# ---- columns ------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
def test_the_mean_of_a_column_is_over_the_rows_that_have_it(weighted):
    rng = np.random.default_rng(0)
    y = _with_gaps(rng.standard_normal((30, 3)))
    weight = rng.uniform(0.1, 2, 30) if weighted else None
    for column, mean in enumerate(column_means(y, weight)):
        there = ~np.isnan(y[:, column])
        weights = None if weight is None else weight[there]
        assert mean == np.average(y[there, column], weights=weights)


def test_a_column_is_constant_if_the_values_that_it_has_are():
    y = np.array([[np.nan, 3.0, np.nan], [2.0, np.nan, 1.0], [np.nan, 3.0, 4.0]])
    columns = TargetColumns.of(y)
    assert columns.constant.tolist() == [True, True, False]
    assert columns.values[:2].tolist() == [2.0, 3.0]


def test_the_mean_of_columns_leaves_out_one_without_a_cell():
    values = np.array([[1.0, 2.0, 9.0], [3.0, 4.0, 9.0], [5.0, 6.0, 9.0]])
    missing = np.array([[False, True, True], [False, False, True], [False, False, True]])
    assert mean_of_columns(values, np.array([1.0, 1.0, 2.0]), missing) == pytest.approx(
        np.mean([(1 + 3 + 10) / 4, (4 + 12) / 3])
    )
    assert np.isnan(mean_of_columns(values, np.ones(3), np.ones_like(missing)))
