import numpy as np
import pandas as pd
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler

import skdropout
from skdropout import DropoutMLPClassifier, DropoutMLPRegressor, Uncertainty
from tests.reference import quick


def _assert_same(ours, theirs):
    assert isinstance(ours, Uncertainty)
    for mine, yours in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, yours, rtol=1e-12)


@pytest.fixture
def model(two_classes):
    return quick(DropoutMLPClassifier, dropout_rate=0.3).fit(*two_classes)


def test_the_estimator_itself(model, two_classes):
    X, _ = two_classes
    for measure in ("variance", "entropy"):
        _assert_same(
            skdropout.predict_uncertainty(model, X, measure=measure),
            model.predict_uncertainty(X, measure=measure),
        )


def test_a_pipeline_transforms_first(two_classes):
    X, y = two_classes
    pipe = make_pipeline(StandardScaler(), PCA(3), quick(DropoutMLPClassifier)).fit(X, y)
    expected = pipe[-1].predict_uncertainty(pipe[:-1].transform(X))
    _assert_same(skdropout.predict_uncertainty(pipe, X), expected)
    nested = Pipeline([("inner", pipe)]).fit(X, y)
    _assert_same(skdropout.predict_uncertainty(nested, X), skdropout.predict_uncertainty(pipe, X))


def test_a_grid_search_over_rates_in_a_pipeline_with_two_processes(two_classes):
    X, y = two_classes
    pipe = make_pipeline(StandardScaler(), quick(DropoutMLPClassifier))
    grid = {"dropoutmlpclassifier__dropout_rate": [0.05, 0.3]}
    searches = [
        GridSearchCV(pipe, grid, scoring="neg_log_loss", cv=3, n_jobs=n_jobs).fit(X, y)
        for n_jobs in (1, 2)
    ]
    scores = [search.cv_results_["mean_test_score"] for search in searches]
    np.testing.assert_allclose(*scores, rtol=1e-6)
    assert scores[0][0] != scores[0][1]
    for search in searches:
        best = search.best_estimator_
        expected = best[-1].predict_uncertainty(best[:-1].transform(X))
        _assert_same(skdropout.predict_uncertainty(search, X), expected)
        _assert_same(skdropout.predict_uncertainty(FrozenEstimator(search), X), expected)


def test_a_search_over_families_and_their_names(two_classes):
    X, y = two_classes
    search = RandomizedSearchCV(
        quick(DropoutMLPClassifier),
        {"dropout": ["bernoulli", "gaussian", skdropout.families.Gaussian()]},
        n_iter=3,
        cv=2,
        random_state=0,
    )
    search.fit(X, y)
    assert skdropout.predict_uncertainty(search, X).total.shape == (len(X),)


@pytest.mark.parametrize("wrapper", [FixedThresholdClassifier, TunedThresholdClassifierCV])
def test_threshold_classifiers(two_classes, wrapper):
    X, y = two_classes
    wrapped = wrapper(quick(DropoutMLPClassifier)).fit(X, y)
    _assert_same(
        skdropout.predict_uncertainty(wrapped, X), wrapped.estimator_.predict_uncertainty(X)
    )


def test_a_pipeline_forwards_return_std(real_target):
    X, y = real_target
    pipe = make_pipeline(StandardScaler(), quick(DropoutMLPRegressor)).fit(X, y)
    mean, std = pipe.predict(X, return_std=True)
    expected = pipe[-1].predict(pipe[:-1].transform(X), return_std=True)
    np.testing.assert_array_equal((mean, std), expected)


def test_a_frame_keeps_its_index_through_a_pipeline(real_target):
    X, y = real_target
    table = pd.DataFrame(X, index=[f"patient {k}" for k in range(len(X))]).rename(columns=str)
    pipe = make_pipeline(StandardScaler().set_output(transform="pandas"))
    pipe = make_pipeline(*[step for _, step in pipe.steps], quick(DropoutMLPRegressor))
    frame = skdropout.predict_uncertainty(pipe.fit(table, y), table, as_frame=True)
    assert frame.index.equals(table.index)


# ---- transformed targets ------------------------------------------------------------------------


@pytest.mark.parametrize("data", ["real_target", "two_targets"])
@pytest.mark.parametrize("scaler", [StandardScaler, MinMaxScaler])
def test_a_linear_target_transform_is_undone(request, data, scaler):
    X, y = request.getfixturevalue(data)
    wrapped = TransformedTargetRegressor(quick(DropoutMLPRegressor), transformer=scaler())
    wrapped.fit(X, y)
    got = skdropout.predict_uncertainty(wrapped, X)
    transformed = scaler().fit_transform(y.reshape(len(y), -1)).reshape(y.shape)
    direct = quick(DropoutMLPRegressor).fit(X, transformed).predict_uncertainty(X)
    columns = y.reshape(len(y), -1)
    units = columns.std(0) if scaler is StandardScaler else np.ptp(columns, axis=0)
    units = units[0] if y.ndim == 1 else units
    np.testing.assert_allclose(got.mean, wrapped.predict(X), rtol=1e-6)
    np.testing.assert_allclose(got.epistemic, direct.epistemic * units**2, rtol=1e-6)
    np.testing.assert_allclose(got.aleatoric, direct.aleatoric * units**2, rtol=1e-6)
    np.testing.assert_array_equal(got.total, got.epistemic + got.aleatoric)


def test_a_linear_function_of_the_target(real_target):
    X, y = real_target
    wrapped = TransformedTargetRegressor(
        quick(DropoutMLPRegressor), func=lambda y: -y / 10 + 3, inverse_func=lambda t: 30 - 10 * t
    ).fit(X, y)
    got = skdropout.predict_uncertainty(wrapped, X)
    inner = wrapped.regressor_.predict_uncertainty(X)
    np.testing.assert_allclose(got.mean, 30 - 10 * inner.mean)
    np.testing.assert_allclose(got.total, 100 * inner.total)


def test_a_logarithm_of_the_target_is_an_error(real_target):
    X, y = real_target
    wrapped = TransformedTargetRegressor(
        quick(DropoutMLPRegressor), func=np.log, inverse_func=np.exp
    ).fit(X, y - y.min() + 1)
    with pytest.raises(ValueError, match="target transform FunctionTransformer is not linear"):
        skdropout.predict_uncertainty(wrapped, X)


def test_a_transform_that_is_linear_near_zero_only_is_an_error(real_target):
    X, y = real_target
    wrapped = TransformedTargetRegressor(
        quick(DropoutMLPRegressor),
        func=lambda y: y,
        inverse_func=lambda t: np.minimum(t, 60.0),
        check_inverse=False,
    ).fit(X, y)
    with pytest.raises(ValueError, match="is not linear, so a variance"):
        skdropout.predict_uncertainty(wrapped, X)


def test_a_transform_that_mixes_outputs_is_an_error(two_targets):
    X, y = two_targets
    wrapped = TransformedTargetRegressor(quick(DropoutMLPRegressor), transformer=PCA(2)).fit(X, y)
    with pytest.raises(ValueError, match="target transform PCA mixes the outputs"):
        skdropout.predict_uncertainty(wrapped, X)
    with pytest.raises(ValueError, match="predict_interval: the target transform PCA mixes"):
        skdropout.predict_interval(wrapped, X)


# ---- what cannot be asked -----------------------------------------------------------------------


def test_a_search_without_refit_is_an_error(two_classes):
    search = GridSearchCV(
        quick(DropoutMLPClassifier), {"dropout_rate": [0.1]}, refit=False, cv=2
    ).fit(*two_classes)
    with pytest.raises(ValueError, match=r"GridSearchCV has refit=False.*refit=True"):
        skdropout.predict_uncertainty(search, two_classes[0])


@pytest.mark.parametrize(
    "wrap", [lambda model: model, make_pipeline, FrozenEstimator], ids=["bare", "pipe", "frozen"]
)
def test_an_estimator_that_says_nothing_is_a_type_error(two_classes, wrap):
    fitted = wrap(LogisticRegression().fit(*two_classes))
    with pytest.raises(TypeError, match="LogisticRegression neither has a predict_uncertainty"):
        skdropout.predict_uncertainty(fitted, two_classes[0])


@pytest.mark.parametrize("thing", [None, 3, "model"])
def test_something_else_is_a_type_error(two_classes, thing):
    with pytest.raises(TypeError, match=f"{type(thing).__name__} neither has"):
        skdropout.predict_uncertainty(thing, two_classes[0])


@pytest.mark.parametrize(
    "unfitted",
    [
        DropoutMLPClassifier(),
        make_pipeline(StandardScaler(), DropoutMLPClassifier()),
        make_pipeline(FunctionTransformer(), DropoutMLPClassifier()),
        GridSearchCV(DropoutMLPClassifier(), {"dropout_rate": [0.1]}),
        FixedThresholdClassifier(DropoutMLPClassifier()),
        TransformedTargetRegressor(DropoutMLPRegressor()),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_what_is_not_fitted_says_so(two_classes, unfitted):
    with pytest.raises(NotFittedError):
        skdropout.predict_uncertainty(unfitted, two_classes[0])
