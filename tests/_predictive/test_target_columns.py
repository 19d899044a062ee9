"""Targets with columns that never change."""

import warnings

import numpy as np
import pytest
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer
from sklearn.model_selection import KFold

from skdropout import DropoutMLPRegressor
from skdropout._predictive.target_columns import TargetColumns
from skdropout.metrics import neg_crps_scorer
from skdropout.model_selection import BatchedGridSearchCV
from tests.reference import quick

KINDS = {
    "homoscedastic": {},
    "heteroscedastic": {"noise": "heteroscedastic"},
    "poisson": {"loss": "poisson"},
    "units of y": {"normalize_y": False},
    "calibrated": {"calibrate": True},
    "early stopping": {"early_stopping": True},
    "moments": {"inference": "moments", "n_members": 2},
}


def _constant(y, columns):
    y = np.round(np.abs(y))
    y[:, columns] = 3.0
    return y


def _everything_predicted(model, X, y):
    return [
        *model.predict(X, return_std=True),
        *model.predict_uncertainty(X),
        model.predict_interval(X),
        model.predict_quantiles(X, [0.1, 0.5]),
        model.sample_y(X, 3),
        model.log_prob(X, y),
        model.crps(X, y),
        model.score(X, y),
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("columns", [[1], [0, 1]])
def test_a_constant_column_is_predicted_as_its_value(two_targets, kind, columns):
    X, y = two_targets
    y = _constant(y, columns)
    with pytest.warns(UserWarning, match=r"column [01] of y is constant \(3\)"):
        model = quick(DropoutMLPRegressor, **KINDS[kind]).fit(X, y)
    mean, std = model.predict(X[:5], return_std=True)
    noise = np.sqrt(3.0) if kind == "poisson" else 1e-3
    np.testing.assert_allclose(mean[:, columns], 3.0, rtol=1e-12)
    np.testing.assert_allclose(std[:, columns], noise, rtol=1e-9)
    for values in _everything_predicted(model, X, y):
        assert np.isfinite(values).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [7.0, 0.0])
def test_a_constant_target_is_predicted_as_its_value(two_targets, kind, value):
    X, _ = two_targets
    y = np.full(len(X), value)
    with pytest.warns(UserWarning, match=rf"DropoutMLPRegressor: y is constant \({value:g}\)"):
        model = quick(DropoutMLPRegressor, **KINDS[kind]).fit(X, y)
    np.testing.assert_allclose(model.predict(X), value, atol=1e-6 if kind == "poisson" else 0)
    for values in _everything_predicted(model, X, y):
        assert np.isfinite(values).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_other_columns_are_learned_as_without_it(two_targets, kind):
    X, y = two_targets
    y = _constant(y, [1])
    with pytest.warns(UserWarning, match="constant"):
        both = quick(DropoutMLPRegressor, **KINDS[kind]).fit(X, y)
    alone = quick(DropoutMLPRegressor, **KINDS[kind]).fit(X, y[:, 0])
    for ours, theirs in zip(
        both.predict(X, return_std=True), alone.predict(X, return_std=True), strict=True
    ):
        np.testing.assert_array_equal(ours[:, 0], theirs)


def test_a_stream_that_begins_constant_says_so(two_targets):
    X, y = two_targets
    with pytest.warns(UserWarning, match="column 1 of y is constant"):
        model = quick(DropoutMLPRegressor).partial_fit(X, _constant(y, [1]))
    model.partial_fit(X, _constant(y, [1]))
    with pytest.raises(ValueError, match=r"column 1 of y was constant.*\(3\).*value 4 now"):
        model.partial_fit(X, np.column_stack([y[:, 0], np.full(len(X), 4.0)]))


def test_a_search_and_an_imputer_meet_a_constant_column(two_targets):
    X, _ = two_targets
    y = np.where(np.arange(len(X)) < 60, 2.0, X[:, 0])
    search = BatchedGridSearchCV(
        quick(DropoutMLPRegressor), {"alpha": [0.0, 0.1]}, cv=KFold(2), scoring=neg_crps_scorer
    )
    with pytest.warns(UserWarning, match="constant"):
        search.fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    table = np.column_stack([X, np.full(len(X), 5.0)])
    table[::7, -1] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        filled = IterativeImputer(quick(DropoutMLPRegressor), max_iter=1).fit_transform(table)
    np.testing.assert_array_equal(filled[:, -1], 5.0)


def test_columns_are_filled_in_their_order():
    columns = TargetColumns(np.array([False, True, False]), np.array([0.0, 9.0, 0.0]))
    np.testing.assert_array_equal(columns.fill(np.array([[1.0, 2.0]]), 9.0), [[1.0, 9.0, 2.0]])
    covariance = columns.fill_covariance(np.array([[1.0, 2.0], [2.0, 5.0]]))
    np.testing.assert_array_equal(covariance, [[1, 0, 2], [0, 0, 0], [2, 0, 5]])
