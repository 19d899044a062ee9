"""Tables as they come: text, gaps and categories inside the estimators."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import skdropout
from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from skdropout.decision import FixedReferralClassifier
from skdropout.model_selection import BatchedGridSearchCV
from skdropout.preprocessing import TableEncoder
from tests import reference
from tests.reference import ESTIMATORS, target

N_ROWS = 120


def quick(estimator_class, **parameters):
    """An estimator that trains for seven epochs, with its own encoding."""
    return reference.quick(estimator_class, **{"input_encoding": "auto", **parameters})


@pytest.fixture(scope="module")
def passengers():
    rng = np.random.default_rng(0)
    sex = rng.choice(["male", "female"], N_ROWS)
    age = np.where(rng.random(N_ROWS) < 0.2, np.nan, rng.uniform(1, 80, N_ROWS))
    port = rng.choice(["S", "C", None], N_ROWS, p=[0.6, 0.3, 0.1])
    fare = rng.lognormal(2, 1.5, N_ROWS)
    table = pd.DataFrame(
        {"sex": sex, "age": age, "port": pd.Categorical(port), "fare": fare},
        index=[f"passenger {k}" for k in range(N_ROWS)],
    )
    survived = ((sex == "female") ^ (rng.random(N_ROWS) < 0.15)).astype(int)
    return table, survived


@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_a_table_with_text_and_gaps_is_fitted_as_it_comes(passengers, estimator_class):
    X, y = passengers
    y = target(estimator_class, y)
    model = quick(estimator_class, max_iter=30, tol=1e-4, learning_rate_init=0.01)
    with pytest.warns(UserWarning, match="max_iter"):
        model.fit(X, y)
    # Accuracy, or R^2: three quarters of the variance follow from one column of text.
    assert model.score(X, y) > 0.4
    assert model.n_features_in_ == 4
    assert model.feature_names_in_.tolist() == X.columns.tolist()
    frame = model.predict_uncertainty(X.iloc[[5, 3]], as_frame=True)
    assert frame.index.tolist() == ["passenger 5", "passenger 3"]


@pytest.mark.parametrize(
    ("encoding", "options"),
    [
        ("scale", {}),
        ("piecewise", {"height": 0.25}),
        ("cumulative", {"n_knots": ...}),
    ],
)
@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_the_encoding_is_the_table_encoders(passengers, estimator_class, encoding, options):
    if "n_knots" in options:
        options = {**options, "n_knots": {DropoutMLPClassifier: 33}.get(estimator_class, 17)}
    X, y = passengers
    y = target(estimator_class, y)
    inside = quick(estimator_class, input_encoding=encoding).fit(X, y)
    outside = make_pipeline(
        TableEncoder(encoding, sparse_output=False, **options),
        quick(estimator_class, input_encoding=None),
    ).fit(X, y)
    np.testing.assert_array_equal(inside.predict(X), outside.predict(X))
    np.testing.assert_array_equal(
        inside.log_prob(X, y), outside[-1].log_prob(outside[0].transform(X), y)
    )


@pytest.mark.parametrize(
    ("estimator_class", "n_rows", "n_columns", "encoding"),
    [
        (DropoutMLPRegressor, 30, 2, "piecewise"),
        (DropoutMLPRegressor, 30, 200, "piecewise"),
        (DropoutMLPRegressor, 30, 201, "scale"),
        (DropoutMLPRegressor, 2000, 2, "cumulative"),
        (DropoutMLPClassifier, 1999, 2, "scale"),
        (DropoutMLPClassifier, 2000, 2, "cumulative"),
        (DropoutMLPClassifier, 2000, 201, "scale"),
    ],
)
@pytest.mark.parametrize("as_table", [np.asarray, pd.DataFrame, np.ndarray.tolist])
def test_rows_and_columns_choose_the_encoding(
    estimator_class, n_rows, n_columns, encoding, as_table
):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(n_rows, n_columns)), np.arange(n_rows) % 2
    small = {"hidden_layer_sizes": (2,), "max_iter": 1, "tol": 100.0, "n_iter_no_change": 1}
    model = quick(estimator_class, **small)
    with pytest.warns(UserWarning, match="max_iter"):
        model.fit(as_table(X), y)
    assert model._encoder.encoding == encoding


@pytest.mark.filterwarnings("ignore:.*max_iter")
@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_a_table_of_which_intervals_make_too_many_numbers_is_kept_small(estimator_class):
    X = np.random.default_rng(0).normal(size=(16_000, 199))
    options = {"hidden_layer_sizes": (2,), "max_iter": 1, "cv": None, "calibrate": False}
    model = quick(estimator_class, **options, early_stopping=False)
    assert model.fit(X, X[:, 0] > 0)._encoder.encoding == "piecewise"
    assert model.fit(X[:2000], X[:2000, 0] > 0)._encoder.encoding == "cumulative"


@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_numbers_in_a_stream_go_as_they_come(two_classes, estimator_class):
    """The first rows may be one row, of which no column says how it varies."""
    X, y = two_classes
    y = target(estimator_class, y)
    streams = [quick(estimator_class), quick(estimator_class, input_encoding=None)]
    classes = {"classes": [0, 1]} if estimator_class is DropoutMLPClassifier else {}
    for model in streams:
        model.partial_fit(X[:2], y[:2], **classes).partial_fit(X, y)
    frame = pd.DataFrame(X, columns=list("abcde"))
    streams.append(quick(estimator_class).partial_fit(frame[:2], y[:2], **classes))
    streams[2].partial_fit(frame, y)
    expected = streams[0].predict(X)
    np.testing.assert_array_equal(streams[1].predict(X), expected)
    np.testing.assert_array_equal(streams[2].predict(frame), expected)


@pytest.mark.parametrize("as_table", [np.asarray, pd.DataFrame, pl.DataFrame])
def test_a_gap_in_an_array_or_a_frame_of_numbers(two_classes, as_table):
    X, y = two_classes
    X = X.copy()
    X[3, 2] = np.nan
    model = quick(DropoutMLPClassifier).fit(as_table(X), y)
    assert np.isfinite(model.predict_proba(as_table(X))).all()
    with pytest.raises(ValueError, match="NaN"):
        quick(DropoutMLPClassifier, input_encoding=None).fit(as_table(X), y)


@pytest.fixture(scope="module")
def stays():
    """Every dtype that has a nullable twin, in a table with gaps and without."""
    rng = np.random.default_rng(1)
    whole = pd.DataFrame(
        {
            "nights": rng.integers(0, 9, N_ROWS),
            "fever": rng.normal(38, 1, N_ROWS),
            "alone": rng.random(N_ROWS) < 0.5,
            "ward": rng.choice(["A", "B"], N_ROWS),
            "came": pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.permutation(N_ROWS), unit="D"),
        }
    )
    objects = whole.astype({"nights": float, "alone": object, "ward": object})
    return {
        "text": whole,
        "numbers": whole[["nights", "fever", "alone"]],
        "gaps": objects.mask(rng.random(whole.shape) < 0.1),
        "gaps in numbers": objects[["nights", "fever"]].mask(rng.random((N_ROWS, 2)) < 0.1),
    }


def _as_polars(table):
    columns = {name: column.astype(object) for name, column in table.items()}
    return pl.DataFrame(
        {name: [None if pd.isna(c) else c for c in cells] for name, cells in columns.items()}
    )


CONTAINERS = {
    "nullable": (lambda table: table.convert_dtypes(), "auto"),
    "polars": (_as_polars, "auto"),
    # "auto" looks at dtypes, and leaves numbers as they come only where the dtype says so.
    "objects": (lambda table: table.convert_dtypes().astype(object), "scale"),
}


@pytest.mark.parametrize("kind", ["text", "numbers", "gaps", "gaps in numbers"])
@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_one_table_in_other_containers_is_one_model(stays, estimator_class, container, kind):
    X, y = stays[kind], target(estimator_class, np.arange(N_ROWS) % 2)
    contain, encoding = CONTAINERS[container]
    other = contain(X)
    model = quick(estimator_class, input_encoding=encoding).fit(X, y)
    again = quick(estimator_class, input_encoding=encoding).fit(other, y)
    expected = model.predict_uncertainty(X)
    for answer in (model.predict_uncertainty(other), again.predict_uncertainty(other)):
        for ours, theirs in zip(answer, expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


LABELS = np.where(np.arange(N_ROWS) % 3, "no", "yes")


@pytest.mark.parametrize(
    "y",
    [
        pd.Series(LABELS, dtype="string"),
        pd.Series(LABELS, dtype="category"),
        pl.Series(LABELS),
        pl.Series(LABELS, dtype=pl.Categorical),
    ],
    ids=["string", "category", "polars", "polars category"],
)
def test_labels_in_other_containers(stays, y):
    X = stays["gaps"]
    expected = quick(DropoutMLPClassifier).fit(X, LABELS)
    model = quick(DropoutMLPClassifier).fit(X, y)
    assert model.classes_.tolist() == ["no", "yes"]
    np.testing.assert_array_equal(model.predict_proba(X), expected.predict_proba(X))
    assert model.score(X, y) == expected.score(X, LABELS)


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "boolean"])
@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_nullable_targets(stays, estimator_class, dtype):
    X, y = stays["gaps"], np.arange(N_ROWS) % 2
    expected = quick(estimator_class).fit(X, y).log_prob(X, y)
    model = quick(estimator_class).fit(X, pd.Series(y, dtype=dtype))
    np.testing.assert_array_equal(model.log_prob(X, pd.Series(y, dtype=dtype)), expected)
    with pytest.raises(ValueError, match="Input y contains NaN"):
        quick(estimator_class).fit(X, pd.Series([None, *y[1:]], dtype=dtype))


def test_what_is_new_at_prediction_has_a_place(passengers):
    X, y = passengers
    model = quick(DropoutMLPClassifier).fit(X, y)
    new = X.iloc[:3].copy()
    new["sex"] = "unknown"
    new["fare"] = np.nan
    assert np.isfinite(model.predict_proba(new)).all()


def test_infinite_values_and_changed_columns_are_refused_by_name(passengers):
    X, y = passengers
    wrong = X.copy()
    wrong.loc["passenger 7", "fare"] = np.inf
    with pytest.raises(ValueError, match="fare"):
        quick(DropoutMLPClassifier).fit(wrong, y)
    model = quick(DropoutMLPClassifier).fit(X, y)
    with pytest.raises(ValueError, match=r"fare"):
        model.predict(wrong)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(X[["age", "sex", "port", "fare"]])


def test_a_failed_fit_leaves_the_table_that_was_fitted(passengers):
    X, y = passengers
    model = quick(DropoutMLPClassifier).fit(X, y)
    before = model.predict_proba(X)
    with pytest.raises(ValueError, match="inconsistent"):
        model.fit(X[["age", "fare"]], y[:-1])
    np.testing.assert_array_equal(model.predict_proba(X), before)


def test_given_validation_rows_are_encoded_too(passengers):
    X, y = passengers
    model = quick(DropoutMLPClassifier, early_stopping=True)
    model.fit(X[:80], y[:80], X_val=X[80:], y_val=y[80:])
    assert len(model.validation_scores_) == model.n_iter_


def test_a_stream_keeps_the_encoding_of_its_first_call(passengers):
    X, y = passengers
    model = quick(DropoutMLPClassifier).partial_fit(X[:60], y[:60])
    levels = model._encoder.get_feature_names_out().tolist()
    late = X[60:].copy()
    late["sex"] = "unknown"
    model.partial_fit(late, y[60:])
    assert model._encoder.get_feature_names_out().tolist() == levels


@pytest.mark.parametrize("search_class", [GridSearchCV, BatchedGridSearchCV])
def test_a_search_fits_the_encoding_inside_each_fold(passengers, search_class):
    X, y = passengers
    grid = {"input_encoding": ["scale", "piecewise"], "dropout_rate": [0.1, 0.4]}
    network = quick(DropoutMLPClassifier, solver="sgd", max_iter=7)
    search = search_class(network, grid, cv=3, scoring="neg_log_loss", error_score="raise")
    assert np.isfinite(search.fit(X, y).cv_results_["mean_test_score"]).all()
    u = skdropout.predict_uncertainty(search, X[:4], as_frame=True)
    assert u.index.tolist() == X.index[:4].tolist()


def test_both_searches_agree_on_a_table(passengers):
    X, y = passengers
    grid = {"input_encoding": ["scale", "piecewise"], "alpha": [0.1, 1.0]}
    network = quick(DropoutMLPClassifier, solver="sgd")
    scores = [
        search(network, grid, cv=3, scoring="neg_log_loss").fit(X, y).cv_results_
        for search in (GridSearchCV, BatchedGridSearchCV)
    ]
    one, other = (result["mean_test_score"] for result in scores)
    np.testing.assert_allclose(one, other, rtol=1e-4)


def test_referral_and_pickles_take_the_table(passengers):
    X, y = passengers
    model = pickle.loads(pickle.dumps(quick(DropoutMLPClassifier).fit(X, y)))
    decided = FixedReferralClassifier(model, threshold=0.2).predict(X)
    assert set(decided) <= {-1, 0, 1}
    assert clone(model).get_params() == model.get_params()


def test_a_row_of_weight_zero_teaches_the_encoding_nothing(passengers):
    X, y = passengers
    wild = X.copy()
    wild.loc["passenger 0", "fare"] = 1e12
    wild.loc["passenger 0", "sex"] = "unknown"
    weight = np.ones(N_ROWS)
    weight[0] = 0
    weighed = quick(DropoutMLPClassifier).fit(wild, y, weight)
    left_out = quick(DropoutMLPClassifier).fit(X[1:], y[1:])
    np.testing.assert_array_equal(weighed.predict_proba(X), left_out.predict_proba(X))


def test_columns_that_numbers_stand_for_categories_in(two_classes):
    X, y = two_classes
    X = np.column_stack([X, np.arange(len(X)) % 4])
    model = quick(DropoutMLPClassifier, categorical_features=[5]).fit(X, y)
    names = model._encoder.get_feature_names_out().tolist()
    assert len(names) == 5 + 4


def test_categories_that_nothing_would_encode_are_refused(two_classes):
    model = quick(DropoutMLPClassifier, input_encoding=None, categorical_features=[0])
    with pytest.raises(ValueError, match=r"categorical_features=\[0\].*input_encoding=None"):
        model.fit(*two_classes)


def test_counts_of_a_table():
    X = pd.DataFrame({"kind": ["a", "b"] * 40, "size": np.arange(80.0)})
    y = np.where(X.kind == "a", 1.0, 5.0)
    model = quick(DropoutMLPRegressor, loss="poisson").fit(X, y)
    assert (model.predict(X) > 0).all()
