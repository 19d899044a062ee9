"""Sparse matrices: the same predictions as for the same numbers in an array."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from skorch.callbacks import EpochScoring

import skdropout
from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from skdropout._training.rows import Rows
from skdropout.decision import FixedReferralClassifier, TunedReferralClassifierCV
from skdropout.model_selection import BatchedGridSearchCV, BatchedRandomizedSearchCV
from tests.reference import DROPOUTS, ESTIMATORS, NETWORKS, fitting_of, quick, target

# Predictions for a sparse matrix differ by how products are cut into parts.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(scope="module")
def words():
    """Counts of 40 words in 120 texts, and whether the first five of them prevail."""
    X = sparse.random(120, 40, 0.15, format="csr", random_state=0)
    return X, (np.asarray(X[:, :5].sum(1)).ravel() > 0.35).astype(int)


def _agree(model, other, X):
    for ours, theirs in zip(
        model.predict_uncertainty(X), other.predict_uncertainty(X.toarray()), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, **CLOSE)


@pytest.mark.parametrize(("dropout", "normalization"), NETWORKS)
@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_a_sparse_matrix_gives_what_the_array_gives(words, estimator_class, dropout, normalization):
    X, y = words[0], target(estimator_class, words[1])
    options = {
        "dropout": dropout,
        "normalization": normalization,
        "n_members": 2,
        "early_stopping": True,
        "input_dropout_rate": 0.1,
    }
    model = quick(estimator_class, **options).fit(X, y)
    other = quick(estimator_class, **options).fit(X.toarray(), y)
    _agree(model, other, X)
    # What was fitted to one takes the other.
    np.testing.assert_allclose(model.predict(X), model.predict(X.toarray()), **CLOSE)
    np.testing.assert_allclose(model.log_prob(X, y), other.log_prob(X.toarray(), y), **CLOSE)


@pytest.mark.parametrize("dropout", DROPOUTS)
@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_moments_and_rounds_of_a_sparse_matrix(words, estimator_class, dropout):
    X, y = words[0], target(estimator_class, words[1])
    options = {"dropout": dropout, "input_dropout_rate": 0.2, "n_members": 2}
    model = quick(estimator_class, **options).fit(X, y)
    other = quick(estimator_class, **options).fit(X.toarray(), y)
    for how in ({"inference": "moments"}, {"n_draws": "auto", "inference": "draws"}):
        _agree(model.set_params(**how), other.set_params(**how), X)


@pytest.mark.parametrize("kind", [sparse.csc_matrix, sparse.csr_array, sparse.coo_array])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_matrices_and_arrays_of_every_format_and_dtype(words, kind, dtype):
    X = kind((words[0] * 10).astype(dtype))
    model = quick(DropoutMLPClassifier).fit(X, words[1])
    other = quick(DropoutMLPClassifier).fit(X.toarray(), words[1])
    np.testing.assert_allclose(model.predict_proba(X), other.predict_proba(X.toarray()), **CLOSE)
    assert isinstance(model.predict_uncertainty(X, as_frame=True), pd.DataFrame)
    assert model.predict_proba(X).dtype == other.predict_proba(X.toarray()).dtype


@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_weights_calls_of_partial_fit_and_rows_to_stop_on(words, estimator_class):
    X, y = words[0], target(estimator_class, words[1])
    weight = np.random.default_rng(0).integers(0, 3, len(y)).astype(float)
    fitted = []
    for rows in (X.tocsc(), X.toarray()):
        model = quick(estimator_class).fit(rows, y, weight)
        model.partial_fit(rows, y, weight)
        stopped = quick(estimator_class, early_stopping=True)
        fitted.append((model, stopped.fit(rows, y, X_val=rows[:40], y_val=y[:40])))
    for model, other in zip(*fitted, strict=True):
        _agree(model, other, X)
    np.testing.assert_allclose(fitted[0][1].validation_scores_, fitted[1][1].validation_scores_)


def test_a_row_without_weight_leaves_a_sparse_matrix_too(words):
    X, y = words
    weight = np.where(np.arange(len(y)) % 3, 1.0, 0.0)
    model = quick(DropoutMLPClassifier).fit(X, y, weight)
    other = quick(DropoutMLPClassifier).fit(X[weight > 0], y[weight > 0])
    np.testing.assert_array_equal(model.predict_proba(X), other.predict_proba(X))


def test_a_smaller_network_of_a_sparse_matrix(words):
    X, y = words
    model = quick(DropoutMLPClassifier, dropout="variational", n_iter_no_change=40).fit(X, y)
    np.testing.assert_allclose(model.sparsify().predict_proba(X), model.predict_proba(X), **CLOSE)


@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_searches_and_referral_over_sparse_matrices(words, estimator_class):
    X, y = words[0].tocoo(), target(estimator_class, words[1])
    grid = {"dropout_rate": [0.1, 0.4]}
    dense = X.toarray()
    for search in (
        BatchedGridSearchCV(quick(estimator_class), grid, cv=3),
        BatchedRandomizedSearchCV(quick(estimator_class), grid, n_iter=2, cv=3, random_state=0),
    ):
        results = [search.fit(rows, y).cv_results_["mean_test_score"] for rows in (X, dense)]
        np.testing.assert_allclose(*results, **CLOSE)
        np.testing.assert_allclose(
            skdropout.predict_uncertainty(search, X).total,
            skdropout.predict_uncertainty(search, dense).total,
            **CLOSE,
        )
    if estimator_class is DropoutMLPRegressor:
        return
    model = quick(estimator_class)
    for referral in (
        FixedReferralClassifier(model, threshold=0.2),
        TunedReferralClassifierCV(model, min_coverage=0.5, cv=3, random_state=0),
    ):
        decisions = [referral.fit(rows, y).predict(rows) for rows in (X, dense)]
        assert (decisions[0] == decisions[1]).mean() > 0.97


def test_texts_in_a_pipeline():
    texts = ["a red apple", "green apples", "the red car", "a fast car"] * 20
    fruit = [1, 1, 0, 0] * 20
    model = make_pipeline(
        TfidfVectorizer(),
        DropoutMLPClassifier((8,), learning_rate_init=0.02, tol=1e-3, random_state=0),
    ).fit(texts, fruit)
    assert model.score(texts, fruit) == 1
    # With six seeds 0.88 to 0.99.
    assert model.predict_proba(["apple apple apple"])[0, 1] > 0.8
    assert skdropout.predict_uncertainty(model, texts).total.shape == (80,)


def test_a_pickle_and_a_copy_for_other_processes(words):
    X, y = words
    model = quick(DropoutMLPClassifier).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    rows = fitting_of(model, X, y).job.rows
    assert isinstance(rows, Rows)
    assert pickle.loads(pickle.dumps(rows)).same_as(rows)
    assert not rows.same_as(fitting_of(model, X.toarray(), y).job.rows)


@pytest.mark.parametrize("estimator_class", ESTIMATORS)
@pytest.mark.parametrize(
    ("value", "says"),
    [
        (np.nan, "Input X contains NaN"),
        (np.inf, "Input X contains infinity"),
        (1e300, r"X reaches 1e\+300 in absolute value, too large for float32"),
    ],
)
def test_entries_that_no_network_can_take(words, estimator_class, value, says):
    X = words[0].copy()
    X.data[7] = value
    with pytest.raises(ValueError, match=says):
        quick(estimator_class).fit(X, words[1])


@pytest.mark.parametrize("estimator_class", ESTIMATORS)
@pytest.mark.parametrize(
    "options", [*({"input_encoding": name} for name in ("scale", "piecewise", "cumulative")), {}]
)
def test_a_sparse_matrix_is_not_encoded(words, estimator_class, options):
    if not options:
        options = {"input_encoding": "auto", "categorical_features": [0]}
    with pytest.raises(ValueError, match="those of a sparse X go as they come; use input_encoding"):
        quick(estimator_class, **options).fit(*words)
    dense = quick(estimator_class, **options).fit(words[0].toarray(), words[1])
    with pytest.raises(TypeError, match="dense data is required"):
        dense.predict(words[0])


# ---- encoded tables ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def towns():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"town": rng.choice([f"town {k}" for k in range(12)], 300), "age": rng.uniform(0, 9, 300)}
    )
    return table, (table["town"].isin(["town 1", "town 5", "town 9"]) ^ (table["age"] > 7)).astype(
        int
    )


@pytest.mark.parametrize("encoding", ["scale", "piecewise"])
@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_a_table_of_few_entries_is_never_dense_as_a_whole(towns, estimator_class, encoding):
    X, y = towns[0], target(estimator_class, towns[1].to_numpy())
    model = quick(estimator_class, input_encoding=encoding, n_members=2).fit(X, y)
    n_entries = {"scale": 2, "piecewise": 4}[encoding]
    rows = fitting_of(model, X, y).job.rows
    assert 0 < len(rows.x.values) <= n_entries * len(X)
    encoded = model._encoder.set_params(sparse_output=False).transform(X)
    np.testing.assert_array_equal(rows.x.to_dense().numpy(), encoded.astype(np.float32))
    other = quick(estimator_class, input_encoding=None, n_members=2).fit(encoded, y)
    expected = other.predict_uncertainty(encoded)
    for ours, theirs in zip(model.predict_uncertainty(X), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_table_that_is_mostly_filled_is_dense():
    X = np.random.default_rng(0).standard_normal((60, 3))
    rows = fitting_of(quick(DropoutMLPClassifier, input_encoding="scale"), X, X[:, 0] > 0).job.rows
    assert rows.x.shape == (60, 3)
    assert type(rows.x).__name__ == "Tensor"


def test_scores_of_epochs_over_a_table_with_categories(towns):
    X, y = towns
    callbacks = [EpochScoring("accuracy", on_train=True, lower_is_better=False)]
    model = quick(DropoutMLPClassifier, input_encoding="scale", callbacks=callbacks).fit(X, y)
    assert model.net_.history[-1, "accuracy"] == pytest.approx(model.score(X, y), abs=0.02)


# ---- very many columns ---------------------------------------------------------------------------


@pytest.mark.parametrize("dropout", DROPOUTS)
@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_of_very_many_columns_only_those_with_entries_are_read(estimator_class, dropout):
    X = sparse.random(300, 9_000, 0.002, format="csr", random_state=0)
    y = target(estimator_class, np.arange(300) % 2)
    options = {"dropout": dropout, "input_dropout_rate": 0.2, "n_members": 2}
    model = quick(estimator_class, **options).fit(X, y)
    for how in ({"inference": "moments"}, {"inference": "draws"}, {"n_draws": 0}):
        model.set_params(**how)
        np.testing.assert_allclose(model.predict(X), model.predict(X.toarray()), rtol=1e-7)
        np.testing.assert_allclose(model.log_prob(X, y), model.log_prob(X.toarray(), y), rtol=1e-7)
    few = X[:3].astype(np.float32)
    np.testing.assert_allclose(model.predict(few), model.predict(few.toarray()), rtol=1e-5)
