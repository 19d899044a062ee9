"""Tables that are strange or wrong, and the sentence that each gets in the estimator's name."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from skdropout import DropoutMLPClassifier
from tests.reference import ESTIMATORS, quick, target

N_ROWS = 240
_rng = np.random.default_rng(0)
GOOD = pd.DataFrame(
    {"age": _rng.uniform(1, 80, N_ROWS), "city": _rng.choice(["Ulm", "Kiel"], N_ROWS)}
)
NUMBERS = GOOD[["age"]].assign(height=_rng.normal(170, 9, N_ROWS))
Y = (np.arange(N_ROWS) % 3 == 0).astype(int)


@pytest.fixture(params=["auto", "scale", "piecewise", "cumulative"])
def encoding(request):
    return request.param


@pytest.fixture(params=ESTIMATORS)
def make(request, encoding):
    def made(**parameters):
        return quick(request.param, input_encoding=encoding, **parameters)

    return made


def fitted(model, X):
    return model.fit(X, target(type(model), Y[: len(X)]))


def mixed(*values):
    """The good table with a column that holds these values in turn."""
    cells = (list(values) * N_ROWS)[:N_ROWS]
    return GOOD.assign(c=pd.Series(cells, dtype=object))


NO_CELL = "column 'c' holds a {}, .*: the argument must be a string, a number, a boolean, a date"
REFUSED = {
    "lists": (mixed([1], [2]), NO_CELL.format("list")),
    "lists of polars": (pl.DataFrame({"c": [[1], [2]] * 120}), NO_CELL.format("ndarray")),
    "dictionaries": (mixed({"k": 1}), NO_CELL.format("dict")),
    "mixed types": (
        mixed(1, "u", None),
        r"column 'c' holds numbers \(1\) and text \('u'\); a column must be of one kind. Make it",
    ),
    "names": (GOOD.set_axis(["a", "a"], axis=1), "each column needs a name of its own"),
    "names of numbers": (NUMBERS.set_axis(["a", "a"], axis=1), "each column needs a name of its"),
    "infinity": (GOOD.assign(age=np.inf), r"column 'age' holds inf \(infinity\) in row 0"),
    "infinity among numbers": (
        NUMBERS.assign(height=[1.0, -np.inf] * 120),
        r"column 'height' holds -inf \(infinity\) in row 1; numbers must be finite",
    ),
    "infinity of polars": (
        pl.DataFrame({"age": [1.0, np.inf] * 120}),
        r"column 'age' holds inf \(infinity\) in row 1",
    ),
    "free text": (
        mixed(*(f"sentence {row}" for row in range(N_ROWS))),
        "column 'c' holds 240 texts, of which 240 differ, .* skrub's StringEncoder",
    ),
    "no rows": (GOOD[:0], r"0 sample\(s\) \(shape=\(0, 2\)\) .* required by"),
    "no rows of numbers": (NUMBERS[:0], r"0 sample\(s\) \(shape=\(0, 2\)\) .* required by"),
    "no rows of polars": (pl.DataFrame({"c": []}), r"0 sample\(s\) \(shape=\(0, 1\)\)"),
    "no columns": (GOOD[[]], r"0 feature\(s\) \(shape=\(240, 0\)\) .* required by"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_table_that_cannot_be_fitted_is_refused_in_the_estimators_name(make, kind):
    X, sentence = REFUSED[kind]
    model = make()
    with pytest.raises((ValueError, TypeError), match=sentence) as caught:
        fitted(model, X)
    assert type(model).__name__ in str(caught.value)
    assert "TableEncoder" not in str(caught.value)
    assert not [attribute for attribute in vars(model) if attribute.endswith("_")]


LATER = {
    "a column less": (GOOD[["age"]], "now missing:\n- city"),
    "a column more": (GOOD.assign(more=1), "unseen at fit time:\n- more"),
    "another order": (GOOD[["city", "age"]], "same order"),
    "a category that became a number": (
        GOOD.assign(city=7),
        "column 'city' held text in fit and holds numbers now, 7.0 for example",
    ),
    "a number that became text": (
        GOOD.assign(age="seven"),
        "column 'age' held numbers in fit and holds text now, seven for example",
    ),
    "a number that became a date": (
        GOOD.assign(age=pd.Timestamp("2020")),
        "column 'age' held numbers in fit and holds dates",
    ),
    "infinity": (GOOD.assign(age=np.inf), r"column 'age' holds inf \(infinity\) in row 0"),
    "lists": (GOOD.assign(city=[[1]] * N_ROWS), "column 'city' holds a list"),
    "no rows": (GOOD[:0], r"0 sample\(s\)"),
    "names": (GOOD.set_axis(["age", "age"], axis=1), "each column needs a name of its own"),
}


@pytest.mark.parametrize("kind", LATER)
def test_later_rows_that_are_of_another_kind_are_refused_in_the_estimators_name(make, kind):
    X, sentence = LATER[kind]
    model = fitted(make(), GOOD)
    y = target(type(model), Y[: len(X)])
    # Names are compared by scikit-learn, which does not say for whom.
    name = "" if "column" in kind or "order" in kind else type(model).__name__
    for ask in (model.predict, model.predict_uncertainty, lambda X: model.log_prob(X, y)):
        with pytest.raises((ValueError, TypeError), match=sentence) as caught:
            ask(X)
        assert name in str(caught.value)
        assert "TableEncoder" not in str(caught.value)


def test_categories_that_are_not_columns_are_refused_in_the_estimators_name(make):
    model = make(categorical_features=["nobody"])
    name = type(model).__name__
    with pytest.raises(ValueError, match=rf"{name}: categorical_features=\['nobody'\] does not"):
        fitted(model, GOOD)


def test_what_encodes_is_named_after_the_class_of_the_user():
    class Ward(DropoutMLPClassifier):
        pass

    with pytest.raises(TypeError, match=r"^Ward: column 'c' holds a list"):
        fitted(Ward(), mixed([1]))


@pytest.mark.parametrize("empty", [np.nan, None, pd.NA, pd.NaT])
def test_a_column_without_a_value_says_nothing(make, empty):
    """Not even where later rows have values."""
    model = fitted(make(), GOOD.assign(empty=empty))
    with_values = GOOD[:5].assign(empty=[1.0, 2, 3, 4, 5])
    np.testing.assert_array_equal(
        model.predict(GOOD[:5].assign(empty=empty)), model.predict(with_values)
    )


def test_a_million_levels(make):
    """They take a column for the rare ones, and later levels go with these."""
    levels = pd.Index(np.arange(1_000_000).astype(str))
    rows = pd.Categorical.from_codes(np.arange(N_ROWS) * 4000, categories=levels)
    model = fitted(make(), GOOD.assign(key=rows))
    assert model.net_.module_.linears[0].weight.shape[1] < 40
    later = GOOD[:2].assign(key=pd.Categorical(["7", "nobody"]))
    earlier = GOOD[:2].assign(key=pd.Categorical(["0", "4000"]))
    np.testing.assert_array_equal(model.predict(later), model.predict(earlier))


def test_one_row_is_too_little_to_learn_from(make):
    few = "y must hold at least 2 classes|needs at least 2 rows to learn how y varies"
    model = make()
    with pytest.raises(ValueError, match=few) as caught:
        model.fit(GOOD[:1], [1])
    assert type(model).__name__ in str(caught.value)


def test_one_row_to_answer_is_answered_as_among_others(make):
    X = GOOD.copy()
    X.loc[3, "age"] = np.nan
    model = fitted(make(), X)
    among = model.predict_uncertainty(X)
    alone = model.predict_uncertainty(X[3:4])
    for ours, theirs in zip(alone, among, strict=True):
        np.testing.assert_allclose(ours, theirs[3:4], rtol=1e-5)
    # As pandas has it where a single row comes from a form.
    form = pd.DataFrame([{"age": None, "city": X.city[3]}])
    np.testing.assert_array_equal(model.predict(form), model.predict(X[3:4]))
