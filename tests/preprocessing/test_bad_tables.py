"""Tables that cannot be encoded, and the sentence that each gets."""

import datetime
import decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.exceptions import NotFittedError

from skdropout.preprocessing import TableEncoder

GOOD = pd.DataFrame({"age": [1.0, 2, 3, 4], "city": list("uvuv")})


def column(values, **options):
    return pd.DataFrame({"c": pd.Series(values, **options)})


NO_CELL = "column 'c' holds a {}, .*: the argument must be a string, a number, a boolean, a date"


@pytest.mark.parametrize(
    ("X", "error", "sentence"),
    [
        (column([[1], [2]]), TypeError, NO_CELL.format("list")),
        (column([{"k": 1}, {"k": 2}]), TypeError, NO_CELL.format("dict")),
        (column([b"u", b"v"]), TypeError, NO_CELL.format("bytes")),
        (column([datetime.time(1)]), TypeError, NO_CELL.format("time")),
        (column(pd.period_range("2020", periods=2)), TypeError, NO_CELL.format("Period")),
        (column(pd.interval_range(0, 2)), TypeError, NO_CELL.format("Interval")),
        (pl.DataFrame({"c": [[1], [2]]}), TypeError, NO_CELL.format("ndarray")),
        (pl.DataFrame({"c": [{"k": 1}, {"k": 2}]}), TypeError, r"column 'c' is of dtype Struct"),
        (
            column([1, "u", None]),
            ValueError,
            r"column 'c' holds numbers \(1\) and text \('u'\); a column must be of one kind. Make",
        ),
        (
            column([datetime.date(2020, 1, 1), 3]),
            ValueError,
            "column 'c' holds dates without a time zone .* and numbers",
        ),
        (
            column([pd.Timestamp("2020", tz="UTC")], dtype=object),
            ValueError,
            r"column 'c' holds objects for dates with a time zone; .* pandas.to_datetime",
        ),
        (
            column([1.0, np.inf]),
            ValueError,
            r"column 'c' holds inf \(infinity\) in row 1; numbers must be finite",
        ),
        (np.array([[0, 1], [0, -np.inf]]), ValueError, r"column 1 holds -inf .* in row 1"),
        (column([1j, 2]), ValueError, "column 'c': Complex data not supported"),
        (
            column([f"sentence {row}" for row in range(200)]),
            ValueError,
            "column 'c' holds 200 texts, of which 200 differ, .* skrub's StringEncoder",
        ),
        (GOOD.set_axis(["a", "a"], axis=1), ValueError, "each column needs a name of its own"),
        (GOOD[:0], ValueError, r"0 sample\(s\) \(shape=\(0, 2\)\) .* required by TableEncoder"),
        (GOOD[[]], ValueError, r"0 feature\(s\) \(shape=\(4, 0\)\) .* required by TableEncoder"),
        (pl.DataFrame({"c": []}), ValueError, r"0 sample\(s\)"),
        (GOOD["age"], ValueError, "Expected a 2-dimensional container"),
        ([1, 2], ValueError, "Expected 2D array"),
        (sparse.eye(3).tocsr(), TypeError, "dense data is required"),
        (GOOD.set_axis(["a", 3], axis=1), TypeError, "all input features have string names"),
    ],
)
def test_what_is_wrong_with_the_table(X, error, sentence):
    with pytest.raises(error, match=sentence):
        TableEncoder().fit(X)


@pytest.mark.parametrize(
    ("X", "sentence"),
    [
        (GOOD[["age"]], "now missing:\n- city"),
        (GOOD.assign(more=1), "unseen at fit time:\n- more"),
        (GOOD[["city", "age"]], "same order"),
        (GOOD.assign(city=7), "column 'city' held text in fit and holds numbers now, 7.0 for"),
        (GOOD.assign(age="7"), "column 'age' held numbers in fit and holds text now, 7 for"),
        (GOOD.assign(age=pd.Timestamp("2020")), "held numbers in fit and holds dates"),
        (GOOD.assign(age=np.inf), r"column 'age' holds inf \(infinity\) in row 0"),
        (GOOD[:0], r"0 sample\(s\)"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_is_wrong_with_later_rows(X, sentence):
    encoder = TableEncoder().fit(GOOD)
    with pytest.raises(ValueError, match=sentence):
        encoder.transform(X)


@pytest.mark.parametrize(
    ("X", "sentence"),
    [
        (column(["u", "v"]), "column 'c' holds text, and encoding=None takes numbers and declared"),
        (column([1.0, None]), "column 'c' holds NaN or another missing value in row 1"),
        (column([None, None]), "column 'c' holds NaN or another missing value in row 0"),
        (column(pd.to_datetime(["2020"])), "column 'c' holds dates without a time zone, and"),
        (column(pd.to_timedelta([1], unit="s")), "column 'c' holds durations, and encoding=None"),
    ],
)
def test_as_they_come_takes_numbers_without_gaps(X, sentence):
    with pytest.raises(ValueError, match=sentence):
        TableEncoder(None).fit(X)


def test_as_they_come_later_too():
    encoder = TableEncoder(None, dtype=np.float32).fit(column([1.0, 2]))
    with pytest.raises(ValueError, match="holds NaN or another missing value in row 1"):
        encoder.transform(column([1.0, None]))
    with pytest.raises(ValueError, match=r"holds 1e\+300 in row 0, which is infinite in float32"):
        encoder.transform(column([1e300]))


@pytest.mark.parametrize(
    ("X", "which"),
    [(GOOD, ["nobody"]), (GOOD, [2]), (GOOD, [True]), (GOOD, [0.5]), ([[1, 2]], ["nobody"])],
)
def test_which_columns_are_meant(X, which):
    with pytest.raises(ValueError, match=r"TableEncoder: categorical_features=\[.* of the 2 col"):
        TableEncoder(categorical_features=which).fit(X)


def test_text_that_is_not_among_the_categories():
    for which in (None, [], ["age"]):
        with pytest.raises(ValueError, match="column 'city' holds text and is not among categ"):
            TableEncoder(categorical_features=which).fit(GOOD)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("encoding", "spline"),
        ("n_knots", 1),
        ("categorical_features", "city"),
        ("min_frequency", 0),
        ("min_frequency", 1.5),
        ("max_categories", 0),
        ("sparse_output", "yes"),
        ("dtype", np.int64),
    ],
)
def test_parameters_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of TableEncoder must be"):
        TableEncoder(**{name: value}).fit(GOOD)


def test_a_failed_fit_leaves_the_earlier_one():
    encoder = TableEncoder().fit(GOOD)
    before, rows = encoder.get_feature_names_out(), encoder.transform(GOOD).toarray()
    for bad in (column([1, "u"]), GOOD.set_axis(["a", 3], axis=1), GOOD[:0]):
        with pytest.raises((ValueError, TypeError)):
            encoder.fit(bad)
    np.testing.assert_array_equal(encoder.get_feature_names_out(), before)
    np.testing.assert_array_equal(encoder.transform(GOOD).toarray(), rows)


def test_a_failed_fit_leaves_a_new_encoder_new():
    encoder = TableEncoder()
    with pytest.raises(ValueError, match="of one kind"):
        encoder.fit(column([1, "u"]))
    with pytest.raises(NotFittedError):
        encoder.transform(GOOD)


def test_one_row_is_a_table():
    assert np.isfinite(TableEncoder().fit_transform(GOOD[:1]).toarray()).all()


def test_one_row_with_gaps_that_pandas_takes_for_objects():
    encoder = TableEncoder(sparse_output=False).fit(GOOD)
    row = encoder.transform(pd.DataFrame([{"age": None, "city": None}]))
    same = encoder.transform(pd.DataFrame([{"age": 2.5, "city": "nowhere"}]))
    np.testing.assert_allclose(row, same, atol=1e-12)


def test_exact_decimal_numbers_are_numbers():
    exact = column([decimal.Decimal("1.5"), None, decimal.Decimal(4)], dtype=object)
    plain = column([1.5, None, 4.0])
    for same in (exact, pl.DataFrame({"c": exact["c"].to_list()})):
        encoded = TableEncoder(sparse_output=False).fit_transform(same)
        np.testing.assert_array_equal(
            encoded, TableEncoder(sparse_output=False).fit_transform(plain)
        )
