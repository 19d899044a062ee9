"""Columns of levels: rare, unseen, missing, ordered, many, and which columns they are."""

import pickle

import numpy as np
import pandas as pd
import pytest

from skdropout.preprocessing import TableEncoder


def dense(**options):
    return TableEncoder(sparse_output=False, **options)


def column(values, name="a", **options):
    return pd.DataFrame({name: pd.Series(values, **options)})


LETTERS = ["a"] * 6 + ["b"] * 5 + ["c"] + ["d"]


def test_rare_levels_share_a_column_and_those_not_seen_join_them():
    encoder = dense().fit(column(LETTERS))
    assert encoder.get_feature_names_out().tolist() == ["a_a", "a_b", "a_infrequent_sklearn"]
    rows = encoder.transform(column(["a", "b", "c", "d", "new", None]))
    np.testing.assert_array_equal(rows, np.eye(3)[[0, 1, 2, 2, 2, 2]])


def test_without_rare_levels_one_that_was_not_seen_has_no_entry():
    encoder = dense().fit(column(LETTERS[:11]))
    rows = encoder.transform(column(["a", "new", None]))
    np.testing.assert_array_equal(rows, [[1, 0], [0, 0], [0, 0]])


def test_missing_levels_have_a_place_of_their_own():
    encoder = dense().fit(column([*LETTERS, None]))
    names = encoder.get_feature_names_out().tolist()
    assert names == ["a_a", "a_b", "a_infrequent_sklearn", "missingindicator_a"]
    rows = encoder.transform(column(["c", "new", None, np.nan]))
    np.testing.assert_array_equal(rows, np.eye(4)[[2, 2, 3, 3]])


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"min_frequency": None}, "abcd"),
        ({"min_frequency": 1}, "abcd"),
        ({"min_frequency": 6}, "a"),
        ({"min_frequency": 0.4}, "a"),
        ({"min_frequency": None, "max_categories": 3}, "ab"),
        ({"min_frequency": None, "max_categories": 1}, ""),
    ],
)
def test_which_levels_are_rare(options, kept):
    names = dense(**options).fit(column(LETTERS)).get_feature_names_out()
    assert [name for name in names if "infrequent" not in name] == [f"a_{level}" for level in kept]


def test_a_million_levels_take_a_thousand_columns_and_little_memory():
    levels = np.random.default_rng(0).integers(0, 10**6, 10**6)
    X = column(np.r_[levels, np.arange(10**6)], dtype="category")
    encoder = TableEncoder(min_frequency=2).fit(X)
    encoded = encoder.transform(X)
    assert encoded.shape == (2 * 10**6, 1000)
    assert encoded.nnz == len(X)
    assert len(pickle.dumps(encoder)) < 10**5


def test_ordered_levels_keep_their_order():
    sizes = pd.CategoricalDtype(["small", "medium", "large", "huge"], ordered=True)
    encoder = dense(min_frequency=None).fit(column(["large", "small", "medium"], dtype=sizes))
    names = encoder.get_feature_names_out().tolist()
    assert names == ["a_rank", "a_large", "a_medium", "a_small"]
    rows = encoder.transform(column(["small", "medium", "large", "huge", None], dtype=sizes))
    # "huge" was not seen, but its place beyond "large" is known.
    assert (np.diff(rows[:4, 0]) > 0).all()
    np.testing.assert_array_equal(rows[:, 1:], [*np.eye(3)[[2, 1, 0]], [0] * 3, [0] * 3])
    np.testing.assert_array_equal(rows[4, 0], rows[1, 0])


def test_levels_of_an_order_may_be_numbers_and_anything_else():
    ages = pd.DataFrame({"age": pd.cut([3.0, 40, 80, 41], [0, 18, 65, 100])})
    encoder = dense(min_frequency=None)
    rows = encoder.fit_transform(ages)
    assert rows[0, 0] < rows[1, 0] < rows[2, 0]
    np.testing.assert_array_equal(rows[1], rows[3])
    grades = pd.CategoricalDtype([3, 2, 1], ordered=True)
    rows = dense(min_frequency=None).fit_transform(column([1, 2, 3], dtype=grades))
    assert (np.diff(rows[:, 0]) < 0).all()
    days = pd.to_datetime(["2020-01-01", "2020-01-03", "2020-01-02"])
    rows = dense(min_frequency=None).fit_transform(column(pd.Categorical(days, ordered=True)))
    assert rows[0, 0] < rows[2, 0] < rows[1, 0]


def test_by_dtype_categories_text_and_booleans_are_categories():
    X = pd.DataFrame(
        {
            "category": pd.Categorical([3, 3, 8]),
            "text": ["u", "v", "u"],
            "boolean": [True, False, True],
            "object": pd.Series([True, None, False], dtype=object),
            "number": [1, 2, 3],
        }
    )
    names = dense(min_frequency=None, encoding="scale").fit(X).get_feature_names_out().tolist()
    assert names == [
        "category_3",
        "category_8",
        "text_u",
        "text_v",
        "boolean_False",
        "boolean_True",
        "object_False",
        "object_True",
        "missingindicator_object",
        "number",
    ]


@pytest.mark.parametrize("which", [["zip"], [1], [-1], [False, True], np.array([False, True])])
def test_the_user_says_which_columns_are_categories(which):
    X = pd.DataFrame({"x": [1.0, 2, 3], "zip": [10115, 10115, 20095]})
    encoder = dense(encoding="scale", categorical_features=which, min_frequency=None).fit(X)
    assert encoder.get_feature_names_out().tolist() == ["x", "zip_10115", "zip_20095"]


def test_in_arrays_and_lists_too():
    encoder = dense(encoding="scale", categorical_features=[1], min_frequency=None)
    for X in (np.array([[1.0, 5], [2, 6]]), [[1.0, 5], [2, 6]]):
        assert encoder.fit(X).get_feature_names_out().tolist() == ["x0", "x1_5", "x1_6"]


def test_none_of_them_is():
    X = pd.DataFrame({"b": [True, False], "c": pd.Categorical([4, 7])})
    encoder = dense(encoding="scale", categorical_features=None).fit(X)
    assert encoder.get_feature_names_out().tolist() == ["b", "c"]


def test_declared_categories_beside_numbers_that_are_left_alone():
    X = pd.DataFrame({"x": [1.0, 1e9], "c": pd.Categorical(["u", None])})
    rows = dense(encoding=None, min_frequency=None).fit_transform(X)
    np.testing.assert_array_equal(rows, [[1, 1, 0], [1e9, 0, 1]])


def test_a_text_that_is_declared_a_category_may_differ_in_every_row():
    X = column([f"key {row}" for row in range(300)])
    with pytest.raises(ValueError, match="300 texts, of which 300 differ"):
        dense().fit(X)
    assert dense().fit_transform(X.astype("category")).tolist() == [[1]] * 300
    assert dense(categorical_features=["a"]).fit_transform(X).tolist() == [[1]] * 300


def test_integers_that_became_floats_by_a_gap_are_the_same_levels():
    encoder = dense(categorical_features=["a"], min_frequency=None).fit(column([1, 2, 2]))
    rows = encoder.transform(column([2.0, None, 1.0]))
    np.testing.assert_array_equal(rows, [[0, 1], [0, 0], [1, 0]])


def test_truth_values_that_became_numbers_by_a_gap_are_the_same_levels():
    encoder = dense(min_frequency=None).fit(column([True, False, None], dtype=object))
    rows = encoder.transform(column([1.0, 0.0, None]))
    np.testing.assert_array_equal(rows, [[0, 1, 0], [1, 0, 0], [0, 0, 1]])
