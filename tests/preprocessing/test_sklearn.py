"""`TableEncoder` as scikit-learn's: its checks, DataFrames of all kinds, containers, names."""

import pickle
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from skdropout.preprocessing import TableEncoder


@parametrize_with_checks(
    [
        TableEncoder(encoding, sparse_output=sparse_output)
        for encoding in ("piecewise", "cumulative", "scale", None)
        for sparse_output in (True, False)
    ]
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def test_tags_say_what_is_accepted():
    for encoding in ("piecewise", "cumulative", "scale", None):
        tags = get_tags(TableEncoder(encoding)).input_tags
        assert tags.categorical
        assert not tags.sparse
        assert tags.allow_nan == (encoding is not None)


TABLE = pd.DataFrame(
    {
        "integer": [3, 1, 2, 1],
        "gaps": [1.5, None, 2.5, 0.0],
        "text": ["u", None, "v", "u"],
        "truth": pd.Series([True, None, False, True], dtype=object),
        "level": pd.Categorical(["p", "q", None, "p"], ["q", "p"]),
        "order": pd.Categorical(["p", "q", None, "p"], ["q", "p"], ordered=True),
        "when": pd.to_datetime(["2020-02-01 10:00", None, "2021-03-02 00:00", "2021-03-03 00:00"]),
        "zoned": pd.to_datetime(["2020-02-01", None, "2021-03-02", "2021-03-03"]).tz_localize(
            "Europe/Berlin"
        ),
        "wait": pd.to_timedelta([1, None, 3, 9], unit="s"),
    }
)


def dense(**options):
    return TableEncoder(min_frequency=None, sparse_output=False, **options)


def as_polars(table):
    types = {
        "truth": pl.Boolean,
        "level": pl.Categorical,
        "order": pl.Enum(["q", "p"]),
        "when": pl.Datetime,
        "zoned": pl.Datetime(time_zone="Europe/Berlin"),
        "wait": pl.Duration,
    }
    cells = {
        name: [None if pd.isna(cell) else cell for cell in column.astype(object)]
        for name, column in table.items()
    }
    return pl.DataFrame(cells, schema_overrides=types)


def as_objects(table):
    return table.astype(dict.fromkeys(("integer", "gaps", "text", "truth"), object))


@pytest.mark.parametrize(
    "other",
    [
        as_polars,
        as_objects,
        lambda table: table.convert_dtypes(),
        lambda t: t.set_index(pd.Index([7] * 4)),
    ],
    ids=["polars", "objects", "nullable", "index"],
)
def test_one_table_in_other_containers(other):
    encoder = dense().fit(TABLE)
    rows = encoder.transform(TABLE)
    np.testing.assert_array_equal(encoder.transform(other(TABLE)), rows)
    np.testing.assert_array_equal(dense().fit_transform(other(TABLE)), rows)


def test_rows_do_not_depend_on_those_beside_them():
    encoder = dense().fit(TABLE)
    rows = encoder.transform(TABLE)
    for row in range(4):
        np.testing.assert_array_equal(encoder.transform(TABLE[row : row + 1]), rows[[row]])


def test_arrays_and_lists_with_text():
    X = [["u", 1.0], ["v", None], ["u", 3.0]]
    expected = dense().fit_transform(pd.DataFrame(X))
    np.testing.assert_array_equal(dense().fit_transform(X), expected)
    np.testing.assert_array_equal(dense().fit_transform(np.array(X, object)), expected)
    text = np.array([["u", "p"], ["v", "p"]])
    assert dense().fit_transform(text).tolist() == [[1, 0, 1], [0, 1, 1]]


def test_where_pandas_was_never_imported(monkeypatch):
    X = np.array([["u", 1.0, None], ["v", None, np.nan], [np.nan, np.float32("nan"), 2]], object)
    expected = dense().fit_transform(X)
    monkeypatch.delitem(sys.modules, "pandas")
    np.testing.assert_array_equal(dense().fit_transform(X), expected)


def test_sparse_columns_of_pandas_are_numbers():
    X = pd.DataFrame({"x": [0.0, 1, 0, 4]})
    sparse = X.astype(pd.SparseDtype(float, 0.0))
    np.testing.assert_array_equal(dense().fit_transform(sparse), dense().fit_transform(X))


def test_each_output_column_knows_its_input_column_and_its_name():
    encoder = dense().fit(TABLE)
    names = encoder.get_feature_names_out()
    n_columns = encoder.transform(TABLE).shape[1]
    assert len(set(names)) == len(names) == len(encoder.column_of_feature_) == n_columns
    for name, of in zip(names, encoder.column_of_feature_, strict=True):
        assert name.removeprefix("missingindicator_").startswith(TABLE.columns[of])
    assert set(encoder.column_of_feature_) == set(range(TABLE.shape[1]))


@pytest.mark.parametrize(("library", "frame"), [("pandas", pd.DataFrame), ("polars", pl.DataFrame)])
def test_output_as_a_frame(library, frame):
    encoder = dense().set_output(transform=library)
    encoded = encoder.fit_transform(TABLE.set_index(pd.Index([5, 7, 6, 8])))
    assert isinstance(encoded, frame)
    assert list(encoded.columns) == encoder.get_feature_names_out().tolist()
    np.testing.assert_array_equal(encoded.to_numpy(), dense().fit_transform(TABLE))
    if library == "pandas":
        assert encoded.index.tolist() == [5, 7, 6, 8]


def test_sparse_and_dense_output_are_equal():
    encoder = TableEncoder().fit(TABLE)
    np.testing.assert_array_equal(
        encoder.transform(TABLE).toarray(),
        encoder.set_params(sparse_output=False).transform(TABLE),
    )


def test_copies_and_pickles():
    encoder = dense(n_knots=5).fit(TABLE)
    rows = encoder.transform(TABLE)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(encoder)).transform(TABLE), rows)
    np.testing.assert_array_equal(clone(encoder).fit_transform(TABLE), rows)


def test_a_search_over_knots_and_encodings():
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    X = pd.DataFrame({"x": x, "noise": rng.choice(list("uvw"), 400)})
    y = np.abs(x) > 0.7
    pipe = make_pipeline(TableEncoder(), LogisticRegression())
    grid = {"tableencoder__encoding": ["scale", "piecewise"]}
    search = GridSearchCV(pipe, grid, scoring="neg_log_loss", error_score="raise").fit(X, y)
    assert search.best_params_ == {"tableencoder__encoding": "piecewise"}
