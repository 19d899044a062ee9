"""Several labels per row, as scikit-learn's `MLPClassifier` takes them."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils import get_tags

import skdropout
from skdropout import DropoutMLPClassifier
from skdropout.metrics import log_predictive_density_scorer
from skdropout.model_selection import BatchedGridSearchCV
from tests.reference import ONE_NETWORK, quick


@pytest.fixture(scope="module")
def table():
    X, Y = make_multilabel_classification(120, n_features=8, n_classes=4, random_state=0)
    return scale(X), Y


@pytest.fixture(scope="module")
def fitted(table):
    return quick(DropoutMLPClassifier).fit(*table)


# ---- as scikit-learn's --------------------------------------------------------------------------


def test_it_learns_labels_that_mlp_classifier_learns():
    X, Y = make_multilabel_classification(n_samples=50, random_state=0)
    options = {
        "hidden_layer_sizes": 50,
        "activation": "logistic",
        "alpha": 1e-5,
        "dropout": None,
        "random_state": 0,
    }
    model = DropoutMLPClassifier(
        learning_rate_init=0.02, max_iter=1000, tol=0.01, **options, **ONE_NETWORK
    )
    assert model.fit(X, Y).score(X, Y) > 0.97
    model = DropoutMLPClassifier(learning_rate_init=0.2, solver="sgd", **options, **ONE_NETWORK)
    for _ in range(100):
        model.partial_fit(X, Y, classes=[0, 1, 2, 3, 4])
    assert model.score(X, Y) > 0.9
    stopped = quick(DropoutMLPClassifier, early_stopping=True).fit(X, Y)
    assert stopped.predict(X).shape == Y.shape


def test_probabilities_of_labels_do_not_add_up_to_one(table, fitted):
    X, Y = table
    proba = fitted.predict_proba(X)
    assert proba.shape == Y.shape
    np.testing.assert_array_equal(proba > 0.5, fitted.predict(X))
    assert np.square(proba.sum(1) - 1).sum() > 1
    np.testing.assert_allclose(fitted.predict_log_proba(X), np.log(proba))


def test_fitted_attributes_are_those_of_mlp_classifier(table, fitted):
    X, Y = table
    theirs = MLPClassifier(max_iter=1000, tol=1.0).fit(X, Y)
    np.testing.assert_array_equal(fitted.classes_, theirs.classes_)
    assert fitted.n_outputs_ == theirs.n_outputs_ == 4
    assert fitted.out_activation_ == theirs.out_activation_ == "logistic"
    assert fitted.predict(X).dtype == theirs.predict(X).dtype
    assert get_tags(fitted).classifier_tags.multi_label
    assert fitted.score(X, Y) == (fitted.predict(X) == Y).all(1).mean()


@pytest.mark.parametrize(
    "kind",
    [
        sparse.csr_matrix,
        sparse.csc_array,
        pd.DataFrame,
        np.ndarray.tolist,
        lambda Y: Y.astype(bool),
        lambda Y: Y.astype(np.float32),
        lambda Y: pd.DataFrame(Y).astype({0: bool}),
    ],
)
def test_indicators_of_any_kind(table, fitted, kind):
    X, Y = table
    model = clone(fitted).fit(X, kind(Y))
    np.testing.assert_array_equal(model.predict_proba(X), fitted.predict_proba(X))
    np.testing.assert_array_equal(model.log_prob(X, kind(Y)), fitted.log_prob(X, Y))


# ---- what it says -------------------------------------------------------------------------------


def test_without_hidden_layers_the_labels_are_as_many_logistic_regressions(table):
    """The optimum is unique, and a label's part of it does not depend on the other labels."""
    X, Y = table
    options = {
        "hidden_layer_sizes": (),
        "dropout": None,
        "solver": "sgd",
        "alpha": 1.0,
        "learning_rate_init": 0.5,
        "batch_size": len(X),
        "max_iter": 300,
        "n_iter_no_change": 20,
        "tol": 1e-7,
        "random_state": 0,
    }
    together = DropoutMLPClassifier(**options, **ONE_NETWORK).fit(X, Y)
    alone = [DropoutMLPClassifier(**options, **ONE_NETWORK).fit(X, y) for y in Y.T]
    proba = np.stack([model.predict_proba(X)[:, 1] for model in alone], 1)
    np.testing.assert_allclose(together.predict_proba(X), proba, atol=2e-3)
    log_prob = sum(model.log_prob(X, y) for model, y in zip(alone, Y.T, strict=True))
    np.testing.assert_allclose(together.log_prob(X, Y), log_prob, atol=2e-2)


def test_shapes(table, fitted):
    X, Y = table
    proba, std = fitted.predict_proba(X, return_std=True)
    assert proba.shape == std.shape == Y.shape
    samples = fitted.sample_proba(X, n_samples=100)
    assert samples.shape == (100, *Y.shape)
    np.testing.assert_allclose(samples.mean(0), proba)
    assert fitted.predict_members(X).shape == (1, *Y.shape)
    joint = np.where(Y == 1, samples, 1 - samples).prod(-1).mean(0)
    np.testing.assert_allclose(fitted.log_prob(X, Y), np.log(joint))
    for measure in ("variance", "entropy"):
        uncertainty, error = fitted.predict_uncertainty(X, measure=measure, return_error=True)
        assert {part.shape for part in (*uncertainty, *error)} == {Y.shape}
        np.testing.assert_allclose(uncertainty.mean, proba)
        assert (uncertainty.epistemic > 0).any(0).all()


def test_a_frame_numbers_the_labels(table):
    X, Y = table
    X = pd.DataFrame(X).set_axis([f"patient {k}" for k in range(len(X))])
    model = make_pipeline(StandardScaler(), quick(DropoutMLPClassifier)).fit(X, Y)
    frame = skdropout.predict_uncertainty(model, X, as_frame=True)
    assert frame.columns.tolist() == [
        f"{part}_{label}"
        for part in ("mean", "total", "epistemic", "aleatoric")
        for label in range(4)
    ]
    assert frame.index.equals(X.index)


@pytest.mark.parametrize("hidden", [(30,), (30, 30)])
def test_moments_are_nearer_to_very_many_draws_than_a_hundred_are(table, hidden):
    X, Y = table
    model = quick(DropoutMLPClassifier, hidden_layer_sizes=hidden, n_iter_no_change=40).fit(X, Y)

    def answers(**params):
        model.set_params(n_draws=100, inference="draws").set_params(**params)
        return [*model.predict_proba(X, return_std=True), model.log_prob(X, Y)]

    many, few, closed = answers(n_draws=4000), answers(), answers(inference="moments")
    for true, hundred, moments in zip(many, few, closed, strict=True):
        assert np.abs(moments - true).mean() < np.abs(hundred - true).mean()
    assert answers(inference="moments")[0].shape == Y.shape


def test_auto_draws_until_every_label_is_known_well_enough(table):
    X, Y = table
    model = quick(DropoutMLPClassifier, dropout_rate=0.5, n_draws="auto").fit(X, Y)
    uncertainty, error = model.predict_uncertainty(X, return_error=True)
    assert (error.mean <= 0.0251 * np.sqrt(uncertainty.total)).all()


def test_members_are_trained_and_say_something_each(table):
    X, Y = table
    model = quick(DropoutMLPClassifier, n_members=3).fit(X, Y)
    members = model.predict_members(X)
    assert members.shape == (3, *Y.shape)
    np.testing.assert_allclose(members.mean(0), model.predict_proba(X))
    model.set_params(inference="moments")
    np.testing.assert_allclose(model.predict_members(X).mean(0), model.predict_proba(X))


def test_one_temperature_calibrates_all_labels(table):
    X, Y = table
    model = DropoutMLPClassifier(
        early_stopping=False,
        learning_rate_init=0.01,
        max_iter=60,
        n_iter_no_change=60,
        random_state=0,
    )
    with pytest.warns(UserWarning, match="max_iter"):
        model.fit(X, Y)
    found = model.calibration_
    assert found["temperature"] > 1
    assert found["log_prob_after"] > found["log_prob_before"]
    assert found["ece_after"] < found["ece_before"]
    calibrated = model.sample_proba(X)
    model.calibration_ = None
    plain = model.sample_proba(X)
    # Where rounding to float32 has left something of the smaller probability.
    told = np.abs(plain - 0.5) < 0.499
    assert told.mean() > 0.5
    odds = [np.log(p[told]) - np.log1p(-p[told]) for p in (calibrated, plain)]
    np.testing.assert_allclose(odds[0] * found["temperature"], odds[1], rtol=1e-4)


# ---- everything around --------------------------------------------------------------------------


def test_rows_of_weight_zero_are_left_out(table):
    X, Y = table
    weight = np.repeat([1.0, 0.0], 60)
    weighted = quick(DropoutMLPClassifier).fit(X, Y, sample_weight=weight)
    part = quick(DropoutMLPClassifier).fit(X[:60], Y[:60])
    np.testing.assert_array_equal(weighted.predict_proba(X), part.predict_proba(X))


def test_labels_that_no_row_has(table):
    X, Y = table
    model = quick(DropoutMLPClassifier, n_iter_no_change=100, learning_rate_init=0.01)
    model.fit(X, np.where([1, 0, 1, 1], Y, 0))
    assert (model.predict(X)[:, 1] == 0).all()
    assert model.predict_proba(X)[:, 1].mean() < 0.1


def test_early_stopping_watches_given_rows(table):
    X, Y = table
    model = quick(DropoutMLPClassifier, early_stopping=True)
    model.fit(X[:80], Y[:80], X_val=X[80:], y_val=Y[80:])
    expected = model.log_prob(X[80:].astype(np.float32), Y[80:]).mean()
    assert model.best_validation_score_ == pytest.approx(expected, abs=0.2)
    with pytest.raises(ValueError, match="y has one label per row, and the model was fitted to 4"):
        model.fit(X[:80], Y[:80], X_val=X[80:], y_val=Y[80:, 0])


def test_batched_searches_find_what_scikit_learns_do(table):
    X, Y = table
    grid = {"dropout_rate": [0.1, 0.4], "alpha": [1e-4, 1.0]}
    options = {"cv": 3, "scoring": log_predictive_density_scorer, "error_score": "raise"}
    model = quick(DropoutMLPClassifier)
    batched, plain = (
        search(model, grid, **options).fit(X, Y) for search in (BatchedGridSearchCV, GridSearchCV)
    )
    for fold in range(3):
        key = f"split{fold}_test_score"
        np.testing.assert_allclose(batched.cv_results_[key], plain.cv_results_[key], atol=1e-3)
    assert batched.predict(X).shape == Y.shape


def test_scikit_learns_scores_of_labels(table):
    X, Y = table
    for scoring in ("accuracy", "f1_micro", "roc_auc", "average_precision"):
        scores = cross_val_score(quick(DropoutMLPClassifier), X, Y, cv=3, scoring=scoring)
        assert np.isfinite(scores).all()


def test_a_pickle_says_the_same(table, fitted):
    X, Y = table
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.log_prob(X, Y), fitted.log_prob(X, Y))


def test_warm_start_goes_on_with_the_same_labels_only(table):
    X, Y = table
    model = quick(DropoutMLPClassifier, warm_start=True).fit(X, Y)
    before = model.predict_proba(X)
    assert (model.fit(X, Y).predict_proba(X) != before).any()
    before = model.predict_proba(X)
    for y, found in ((Y[:, 0], "one label per row"), (Y[:, :3], "3 labels per row")):
        with pytest.raises(ValueError, match=f"y has {found}, and the model was fitted to 4"):
            model.fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), before)
    with pytest.raises(ValueError, match="y has one label per row"):
        model.log_prob(X, Y[:, 0])
    cold = model.set_params(warm_start=False).fit(X, Y[:, 0])
    assert cold.predict(X).ndim == 1


def test_partial_fit_takes_the_numbers_of_the_labels(table):
    X, Y = table
    given = DropoutMLPClassifier(random_state=0, **ONE_NETWORK).partial_fit(X, Y, classes=range(4))
    left_out = DropoutMLPClassifier(random_state=0, **ONE_NETWORK).partial_fit(X, Y)
    np.testing.assert_array_equal(given.predict_proba(X), left_out.predict_proba(X))
    given.partial_fit(X[:1], Y[:1], classes=[0, 1, 2, 3])
    with pytest.raises(
        ValueError, match=r"classes must be those of the first call, \[0, 1, 2, 3\]"
    ):
        given.partial_fit(X, Y, classes=[0, 1])
    with pytest.raises(ValueError, match=r"4 labels per row, so classes must be range\(4\)"):
        DropoutMLPClassifier(**ONE_NETWORK).partial_fit(X, Y, classes=[0, 1])


# ---- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda Y: 2 * Y - 1, "column 0 holds -1 in row 1"),
        (lambda Y: Y + 0.5, r"column 0 holds [01]\.5 in row 0"),
        (lambda Y: np.where(Y == 1, "ill", "well"), "column 0 holds '(ill|well)' in row 0"),
    ],
)
def test_labels_that_are_not_zero_or_one(table, change, found):
    X, Y = table
    Y = Y.copy()
    Y[:2, 0] = 1, 0
    with pytest.raises(ValueError, match=f"several labels per row, each 0 or 1; {found}"):
        quick(DropoutMLPClassifier).fit(X, change(Y))


@pytest.mark.parametrize("class_weight", ["balanced", {0: 1, 1: 2}])
def test_classes_of_several_labels_have_no_weights(table, class_weight):
    with pytest.raises(ValueError, match=r"class_weight=.* is for one label per row, and y has 4"):
        quick(DropoutMLPClassifier, class_weight=class_weight).fit(*table)
