"""Missing cells of a target: found in whatever holds it, and put back after the checks."""

import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse

from skdropout._support.gaps import gaps_in, missing_cells, put_back, split_gaps

NAN = float("nan")
Y = np.array([[1.0, 0.0], [NAN, 1.0], [0.0, NAN], [NAN, NAN]])


def _with_none(Y):
    return np.array([[None if np.isnan(v) else v for v in row] for row in Y], object)


@pytest.mark.parametrize(
    "kind",
    [
        np.asarray,
        np.float32,
        _with_none,
        np.ndarray.tolist,
        lambda Y: _with_none(Y).tolist(),
        pd.DataFrame,
        lambda Y: pd.DataFrame(Y).astype("Int64"),
        lambda Y: pd.DataFrame(Y).astype("boolean"),
        lambda Y: pd.DataFrame(Y).astype("Float64"),
        lambda Y: pd.DataFrame(Y).astype({0: "Int64"}),
        lambda Y: pd.DataFrame(_with_none(Y)),
        lambda Y: pl.DataFrame(Y, nan_to_null=True),
        lambda Y: pl.DataFrame(Y),
    ],
)
def test_gaps_are_found_in_any_table_and_put_back(kind):
    given = kind(Y)
    filled, gaps = split_gaps(given)
    np.testing.assert_array_equal(gaps, np.isnan(Y))
    assert filled.dtype.kind == "f"
    np.testing.assert_array_equal(filled, np.nan_to_num(Y))
    np.testing.assert_array_equal(put_back(filled, gaps), Y)
    np.testing.assert_array_equal(gaps_in(put_back(filled.astype(int), gaps)), gaps)


@pytest.mark.parametrize(
    "y",
    [
        Y[:1],
        Y[:, 0],
        Y[:, :1],
        Y.tolist()[0],
        [[1, 2], [3]],
        ["a", None],
        np.array([["a", "b"]]),
        sparse.csr_matrix(Y),
        None,
        pd.Series([1.0, NAN]),
        np.array([["2020-01-01", "NaT"]], "M8[s]"),
    ],
)
def test_what_has_one_column_or_no_gaps_stays_what_it_is(y):
    filled, gaps = split_gaps(y)
    assert filled is y
    assert gaps is None
    assert put_back(Y, None) is Y


def test_text_beside_a_gap_stays_text():
    filled, gaps = split_gaps(np.array([["1", None], ["0", "1"]], object))
    assert filled.tolist() == [["1", 0], ["0", "1"]]
    assert put_back(filled, gaps).tolist()[1] == ["0", "1"]


def test_missing_objects_are_found_without_pandas(monkeypatch):
    values = np.array([[None, NAN, np.float32("nan"), 1], ["a", True, 0, -1.0]], object)
    expected = [[True, True, True, False], [False] * 4]
    np.testing.assert_array_equal(missing_cells(values), expected)
    monkeypatch.setitem(sys.modules, "pandas", None)
    np.testing.assert_array_equal(missing_cells(values), expected)
