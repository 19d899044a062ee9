"""Columns of numbers: scales, knots, gaps, and what a linear model gains."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer

from skdropout.preprocessing import TableEncoder
from skdropout.preprocessing._parts import quantile_knots


def dense(encoding="piecewise", **options):
    return TableEncoder(encoding, sparse_output=False, **options)


def smooth_clip(x):
    """The formula of the paper, with the quartiles of NumPy."""
    first, centre, third = np.quantile(x, [0.25, 0.5, 0.75])
    size = third - first if third > first else (x.max() - x.min()) / 2
    z = (x - centre) / size
    return z / np.sqrt(1 + (z / 3) ** 2)


def hats(x, knots):
    """scikit-learn's linear spline on the same knots, constant beyond them."""
    spline = SplineTransformer(degree=1, knots=knots.reshape(-1, 1), extrapolation="constant")
    return spline.fit(knots.reshape(-1, 1)).transform(x.reshape(-1, 1))


SKEWED = np.exp(2 * np.random.default_rng(0).normal(size=500))


def test_scale_is_the_robust_scale_of_the_paper():
    np.testing.assert_allclose(
        dense("scale").fit_transform(SKEWED[:, None])[:, 0], smooth_clip(SKEWED), rtol=1e-12
    )


def test_a_number_of_which_more_than_half_are_equal_is_scaled_by_half_its_range():
    gain = np.r_[np.zeros(90), np.full(10, 5000.0)]
    encoded = dense("scale").fit_transform(gain[:, None])[:, 0]
    np.testing.assert_allclose(encoded, np.where(gain > 0, 2 / np.sqrt(1 + 4 / 9), 0))


def test_piecewise_is_scale_and_a_linear_spline():
    encoded = dense(n_knots=9).fit_transform(SKEWED[:, None])
    assert encoded.shape == (500, 10)
    np.testing.assert_allclose(encoded[:, 0], smooth_clip(SKEWED), rtol=1e-12)
    knots = np.quantile(SKEWED, np.linspace(0, 1, 9), method="inverted_cdf")
    np.testing.assert_allclose(encoded[:, 1:], hats(SKEWED, knots), atol=1e-9)


def test_cumulative_is_scale_and_the_piecewise_linear_encoding_of_the_paper():
    encoded = dense("cumulative", n_knots=9).fit_transform(SKEWED[:, None])
    assert encoded.shape == (500, 9)
    np.testing.assert_allclose(encoded[:, 0], smooth_clip(SKEWED), rtol=1e-12)
    ends = np.quantile(SKEWED, np.linspace(0, 1, 9), method="inverted_cdf")
    for interval, (low, high) in enumerate(pairwise(ends)):
        share = np.clip((SKEWED - low) / (high - low), 0, 1)
        np.testing.assert_allclose(encoded[:, 1 + interval], share, atol=1e-9)


def test_both_bases_say_the_same_of_a_number():
    X = np.c_[SKEWED, np.r_[np.zeros(250), np.arange(250.0)]]
    X[::7, 1] = np.nan
    at_knots = dense(n_knots=7).fit(X)
    rising = dense("cumulative", n_knots=7).fit(X)
    for column in (0, 1):
        of_knots = at_knots.transform(X)[:, at_knots.column_of_feature_ == column]
        expected = of_knots[:, 1:8][:, ::-1].cumsum(1)[:, ::-1][:, 1:]
        encoded = rising.transform(X)[:, rising.column_of_feature_ == column]
        np.testing.assert_allclose(encoded[:, 1:7], expected, atol=1e-12)
        np.testing.assert_array_equal(encoded[:, 7:], of_knots[:, 8:])
    assert rising.get_feature_names_out()[:3].tolist() == ["x0", "x0_bin_0", "x0_bin_1"]


def test_levels_and_knots_may_stand_for_less_than_numbers_do():
    X = pd.DataFrame({"age": np.arange(40.0) ** 2, "city": ["Bonn", "Ulm", None, "Ulm"] * 10})
    whole = TableEncoder(n_knots=5, sparse_output=False).fit_transform(X)
    low = TableEncoder(n_knots=5, height=0.25, sparse_output=False).fit_transform(X)
    np.testing.assert_array_equal(low[:, 0], whole[:, 0])
    np.testing.assert_allclose(low[:, 1:], 0.25 * whole[:, 1:])
    assert np.unique(low[:, -3:]).tolist() == [0, 0.25]


@pytest.mark.parametrize("encoding", ["piecewise", "cumulative"])
def test_beyond_the_training_range_the_spline_is_constant(encoding):
    encoder = dense(encoding, n_knots=5).fit(SKEWED[:, None])
    ends = encoder.transform([[SKEWED.min()], [SKEWED.max()]])[:, 1:]
    np.testing.assert_array_equal(encoder.transform([[-1e9], [1e9]])[:, 1:], ends)


def test_a_few_entries_a_row_whatever_the_number_of_knots():
    X = np.random.default_rng(0).normal(size=(900, 4))
    X[::5, 0] = np.nan
    encoded = TableEncoder(n_knots=200).fit_transform(X)
    assert encoded.shape == (900, 4 * 201 + 1)
    assert encoded.format == "csr"
    assert encoded.has_canonical_format
    assert (encoded.data != 0).all()
    assert np.diff(encoded.indptr).max() <= 3 * 4


def test_a_spike_takes_one_knot_and_leaves_the_others_to_the_rest():
    rest = np.arange(1, 101.0)
    knots = quantile_knots(np.r_[np.zeros(900), rest], 9)
    np.testing.assert_array_equal(knots[0], 0)
    np.testing.assert_array_equal(
        knots[1:], np.quantile(rest, np.linspace(0, 1, 8), method="inverted_cdf")
    )


@pytest.mark.parametrize("n_knots", [2, 3, 5, 17, 60])
def test_knots_are_so_many_at_most_and_reach_both_ends(n_knots):
    rng = np.random.default_rng(n_knots)
    for values in (rng.normal(size=300), rng.poisson(3, 300) * 1.0, rng.zipf(1.5, 300) * 1.0):
        knots = quantile_knots(values, n_knots)
        assert len(knots) <= n_knots
        assert (np.diff(knots) > 0).all()
        assert (knots[0], knots[-1]) == (values.min(), values.max())


def test_a_number_with_few_values_has_a_column_for_each():
    x = np.array([1.0, 2, 5, 5, 2, 1, 5])
    encoded = dense().fit_transform(x[:, None])[:, 1:]
    np.testing.assert_allclose(encoded, x[:, None] == [1, 2, 5], atol=1e-12)


def test_of_two_values_a_line_tells_all():
    assert dense().fit_transform([[0.0], [1], [1]]).shape == (3, 1)


@pytest.mark.parametrize("encoding", ["piecewise", "cumulative", "scale"])
@pytest.mark.parametrize("size", [1e-300, 1e-20, 1.0, 1e20, 1e300])
def test_the_unit_of_a_number_does_not_matter(encoding, size):
    x = np.random.default_rng(0).normal(size=(200, 1))
    plain = dense(encoding).fit_transform(x)
    np.testing.assert_allclose(dense(encoding).fit_transform(x * size), plain, atol=1e-12)


def test_numbers_from_one_end_of_float64_to_the_other():
    largest = np.finfo(float).max
    x = np.array([-largest, -1, 1e-300, 1, largest])[:, None]
    encoded = dense("scale").fit_transform(x)[:, 0]
    assert (np.abs(encoded) <= 3).all()
    assert (np.diff(encoded) >= 0).all()
    assert np.isfinite(dense().fit_transform(x)).all()


@pytest.mark.parametrize("constant", [0.0, 7.0, -1e300, 0.1])
def test_a_constant_column_is_zero_and_stays_so(constant):
    encoder = dense().fit(np.full((5, 1), constant))
    np.testing.assert_array_equal(encoder.transform([[constant], [99.0]]), np.zeros((2, 1)))


def test_rounding_is_no_spread():
    x = np.array([[0.3], [0.1 + 0.2], [0.3], [0.1 + 0.2]])
    np.testing.assert_array_equal(dense().fit_transform(x), np.zeros((4, 1)))


def test_a_gap_in_training_has_a_column_of_its_own():
    x = np.array([[1.0], [2], [np.nan], [4], [5]])
    encoder = dense(n_knots=3).fit(x)
    encoded = encoder.transform(x)
    assert encoder.get_feature_names_out().tolist() == [
        "x0",
        "x0_sp_0",
        "x0_sp_1",
        "x0_sp_2",
        "missingindicator_x0",
    ]
    np.testing.assert_array_equal(encoded[2], [0, 0, 0, 0, 1])
    np.testing.assert_array_equal(encoded[[0, 1, 3, 4], -1], 0)
    present = dense(n_knots=3).fit_transform(x[[0, 1, 3, 4]])
    np.testing.assert_array_equal(encoded[[0, 1, 3, 4], :-1], present)


@pytest.mark.parametrize("encoding", ["piecewise", "cumulative", "scale"])
def test_a_gap_that_training_did_not_have_stands_at_the_centre(encoding):
    encoder = dense(encoding).fit(np.arange(101.0)[:, None])
    np.testing.assert_allclose(*encoder.transform([[np.nan], [50.0]]), atol=1e-12)


def test_a_column_without_values_is_zero_whatever_comes_later():
    X = pd.DataFrame({"empty": [np.nan, np.nan, np.nan], "x": [1.0, 2, 4]})
    encoder = dense("scale").fit(X)
    np.testing.assert_array_equal(encoder.column_of_feature_, [0, 1])
    for later in (3.0, "text", None):
        row = pd.DataFrame({"empty": [later], "x": [2.0]})
        np.testing.assert_array_equal(encoder.transform(row), [[0, 0]])


def test_numbers_left_as_they_come():
    X = np.array([[1.0, 1e300], [2, -3]])
    np.testing.assert_array_equal(dense(None).fit_transform(X), X)


@pytest.mark.parametrize("encoding", ["piecewise", "cumulative", "scale", None])
def test_single_precision_in_single_precision_out(encoding):
    X = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    single, double = dense(encoding).fit_transform(X), dense(encoding).fit_transform(X * 1.0)
    assert (single.dtype, double.dtype) == (np.float32, np.float32)
    wide = dense(encoding, dtype=np.float64).fit_transform(X)
    assert wide.dtype == np.float64
    np.testing.assert_allclose(single, wide, atol=1e-6)


def test_a_linear_model_learns_a_curve():
    rng = np.random.default_rng(0)
    x = np.exp(rng.normal(size=(2000, 1)))
    y = np.sin(3 * np.log(x[:, 0])) + 0.1 * rng.normal(size=2000)
    scores = {
        encoding: r2_score(
            y[1000:],
            make_pipeline(TableEncoder(encoding), LinearRegression())
            .fit(x[:1000], y[:1000])
            .predict(x[1000:]),
        )
        for encoding in ("scale", "piecewise", "cumulative")
    }
    # Of five other seeds: at most 0.00, at least 0.95.
    assert scores["scale"] < 0.1
    assert scores["piecewise"] > 0.9
    assert scores["cumulative"] > 0.9
