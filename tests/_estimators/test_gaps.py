"""Tables of which single cells of y are missing: rows with gaps still teach what they know."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
import torch.nn.functional as F
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import EpochScoring

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from skdropout.metrics import log_predictive_density_scorer
from skdropout.model_selection import BatchedGridSearchCV
from tests.reference import function_means, quick, twin

BOTH = pytest.mark.parametrize("estimator_class", [DropoutMLPClassifier, DropoutMLPRegressor])
NAN = float("nan")


def table(n_rows, n_outputs, seed=0):
    """Inputs, what the outputs are without noise, and outputs; these follow from two numbers."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, 5))
    hidden = np.stack([np.sin(2 * X[:, 0]) + X[:, 1], X[:, 2] * X[:, 3]], 1)
    signal = hidden @ rng.standard_normal((2, n_outputs))
    signal /= signal.std(0)
    return X, signal, signal + 0.3 * rng.standard_normal((n_rows, n_outputs))


def with_gaps(y):
    """Without 40 % of the cells."""
    return np.where(np.random.default_rng(0).random(y.shape) < 0.4, NAN, y)


def with_gaps_in_each_row(y):
    """At most two of three cells."""
    gaps = with_gaps(y)
    return np.where(np.isnan(gaps).all(1, keepdims=True) & [True, False, False], y, gaps)


def target_of(estimator_class, y):
    """Numbers for a regressor, and whether they are positive for a classifier."""
    if estimator_class is DropoutMLPRegressor:
        return y
    return np.where(np.isnan(y), NAN, y > 0)


@pytest.fixture(scope="module")
def gappy():
    """Some rows have all targets, the third has none."""
    X, _, y = table(120, 3)
    y = with_gaps(y)
    y[2] = NAN
    return X, y


def answers(model, X):
    return model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)


# ---- what is learned ----------------------------------------------------------------------------


def separate_models(model, X, y):
    """One for each column, fitted to the rows that have it."""
    rows = [~np.isnan(column) for column in y.T]
    return [
        clone(model).fit(X[there], column[there]) for there, column in zip(rows, y.T, strict=True)
    ]


def test_numbers_with_gaps_are_learned_as_well_as_by_separate_models_of_each_column():
    """Statistical, seed 0: four outputs that follow from the same two numbers, 300 rows of which
    40 % of the cells are missing, the RMSE on new rows against the outputs without noise.

    With seeds 0 to 19 it was .75 to .98 times, on average .88 times, that of the separate models.
    The bound is five standard deviations above, so fewer than one seed in 10,000 would fail.
    """
    X, signal, y = table(600, 4)
    y, train, new = with_gaps(y), slice(0, 300), slice(300, None)
    model = DropoutMLPRegressor(max_iter=100, calibrate=False, random_state=0)
    alone = separate_models(model, X[train], y[train])
    separate = np.stack([each.predict(X[new]) for each in alone], 1)
    together = model.fit(X[train], y[train]).predict(X[new])
    errors = [np.sqrt(((means - signal[new]) ** 2).mean()) for means in (together, separate)]
    assert errors[0] < 1.1 * errors[1]


def test_labels_with_gaps_are_learned_as_well_as_by_separate_models_of_each():
    """Statistical, seed 0: as above, whether each output is positive, and the log loss.

    With seeds 0 to 19 it was .94 to 1.03 times, on average .98 times, that of the separate models.
    The bound is five standard deviations above, so fewer than one seed in 10,000 would fail.
    """
    X, signal, y = table(600, 4)
    y, train, new = target_of(DropoutMLPClassifier, with_gaps(y)), slice(0, 300), slice(300, None)
    model = DropoutMLPClassifier(max_iter=60, learning_rate="cooldown", random_state=0)
    alone = separate_models(model, X[train], y[train])
    separate = np.stack([each.predict_proba(X[new])[:, 1] for each in alone], 1)
    together = model.fit(X[train], y[train]).predict_proba(X[new])
    losses = [-np.log(np.where(signal[new] > 0, p, 1 - p)).mean() for p in (together, separate)]
    assert losses[0] < 1.1 * losses[1]


EXACT = {
    "hidden_layer_sizes": (),
    "dropout": None,
    "alpha": 0.0,
    "solver": "sgd",
    "batch_size": 90,
    "n_iter_no_change": 800,
    "max_iter": 800,
    "learning_rate": "cooldown",
    "tol": 1e-4,
}


@pytest.mark.parametrize("normalization", [None, "layer"])
@BOTH
def test_a_step_is_along_the_gradient_of_the_cells_that_are_there(
    in_float64, estimator_class, normalization
):
    """By the reverse pass and, with normalization, by autograd: both against plain PyTorch."""
    X, _, y = table(40, 3)
    y = target_of(estimator_class, with_gaps_in_each_row(y))
    weight = np.random.default_rng(0).uniform(0.2, 2, 40)
    weight /= weight.mean()
    options = {"solver": "sgd", "momentum": 0.0, "alpha": 0.0, "batch_size": 40, "dropout": None}
    options |= {"normalization": normalization, "nesterovs_momentum": False}
    before, after = (
        twin(
            quick(estimator_class, learning_rate_init=step, **options).partial_fit(
                X, y, sample_weight=weight
            )
        )
        for step in (1e-300, 0.1)
    )
    raw = before(torch.from_numpy(X))
    known = ~np.isnan(y)
    if estimator_class is DropoutMLPRegressor:
        counted = known * weight[:, None] / (known * weight[:, None]).sum(0)
        residual = y - np.nansum(y * counted, 0)
        target = torch.from_numpy(residual / np.sqrt(np.nansum(residual**2 * counted, 0)))
        cells = 0.5 * (raw - target.nan_to_num()) ** 2
    else:
        target = torch.from_numpy(y).nan_to_num()
        cells = F.binary_cross_entropy_with_logits(raw, target, reduction="none")
    (cells * torch.from_numpy(known * weight[:, None])).sum().div(40).backward()
    for old, new in zip(before.parameters(), after.parameters(), strict=True):
        torch.testing.assert_close(new, old - 0.1 * old.grad, rtol=1e-6, atol=1e-9)


def test_without_hidden_layers_each_column_is_the_regression_on_its_rows():
    """The optimum is unique: least squares, whose residuals are the noise."""
    X, _, y = table(90, 3)
    y = with_gaps_in_each_row(y)
    model = quick(DropoutMLPRegressor, **EXACT, learning_rate_init=0.2).fit(X, y)
    prediction = model.predict(X)
    for column in range(3):
        there = ~np.isnan(y[:, column])
        inputs = np.column_stack([np.ones(90), X])
        weights, *_ = np.linalg.lstsq(inputs[there], y[there, column])
        np.testing.assert_allclose(prediction[:, column], inputs @ weights, atol=1e-3)
        residual = (y[:, column] - inputs @ weights)[there]
        assert model.noise_std_[column] == pytest.approx(residual.std(), rel=1e-3)


def test_without_hidden_layers_each_label_is_a_logistic_regression_on_its_rows():
    X, _, y = table(90, 3)
    y = target_of(
        DropoutMLPClassifier,
        with_gaps_in_each_row(y + np.random.default_rng(1).normal(size=y.shape)),
    )
    model = quick(DropoutMLPClassifier, **EXACT, learning_rate_init=1.0).fit(X, y)
    for column, proba in zip(y.T, model.predict_proba(X).T, strict=True):
        there = ~np.isnan(column)
        alone = LogisticRegression(C=np.inf, tol=1e-8).fit(X[there], column[there])
        np.testing.assert_allclose(proba, alone.predict_proba(X)[:, 1], atol=2e-3)


def test_the_scale_and_noise_of_a_column_are_those_of_its_rows():
    """Inputs say nothing: each mean is that of the column, and the noise its spread."""
    X, (_, _, y) = np.zeros((90, 2)), table(90, 3)
    y = with_gaps_in_each_row(100 * y + 7)
    weight = np.random.default_rng(0).uniform(0.2, 2, 90)
    options = {"alpha": 0.0, "dropout": None, "batch_size": 90, "max_iter": 300, "tol": 1e-4}
    options |= {"learning_rate": "cooldown", "n_iter_no_change": 20, "hidden_layer_sizes": (64, 64)}
    options["beta_2"] = 0.999
    for noise in ("homoscedastic", "heteroscedastic"):
        model = quick(DropoutMLPRegressor, **options, noise=noise).fit(X, y, sample_weight=weight)
        mean, std = model.predict(X), model.noise_std_
        for column in range(3):
            there = ~np.isnan(y[:, column])
            values, weights = y[there, column], weight[there]
            expected = np.average(values, weights=weights)
            spread = np.sqrt(np.average((values - expected) ** 2, weights=weights))
            np.testing.assert_allclose(mean[:, column], expected, atol=0.001 * spread)
            assert std[column] == pytest.approx(spread, rel=0.001)


@BOTH
def test_a_row_without_any_target_is_left_out(estimator_class, gappy):
    """As if it were not there: before anything is random, encoding and own validation too."""
    X, y = gappy
    y = target_of(estimator_class, y)
    known = ~np.isnan(y).all(1)
    frame = pd.DataFrame(X, columns=list("abcde")).assign(kind=np.where(known, "a", "only here"))
    weight = np.random.default_rng(0).uniform(0.2, 2, len(X))
    for rows in (X, frame):
        for weights in (None, weight):
            whole, part = (quick(estimator_class, input_encoding="auto") for _ in range(2))
            some = rows[known] if rows is X else rows.loc[known]
            given = (None, None) if weights is None else (weights, weights[known])
            whole.fit(rows, y, sample_weight=given[0])
            part.fit(some, y[known], sample_weight=given[1])
            np.testing.assert_array_equal(answers(whole, rows), answers(part, rows))
            assert whole.t_ == part.t_
    whole, part = (quick(estimator_class, early_stopping=True) for _ in range(2))
    whole.fit(X, y, X_val=X, y_val=y, sample_weight_val=weight)
    part.fit(X, y, X_val=X[known], y_val=y[known], sample_weight_val=weight[known])
    assert whole.validation_scores_ == part.validation_scores_


@pytest.mark.parametrize(
    "options",
    [
        {"n_members": 2, "normalization": "batch"},
        {"dropout": "concrete"},
        {"dropout": "variational", "n_members": 2},
        {"dropout": "bayes_by_backprop"},
        {"early_stopping": True, "calibrate": True},
        {"calibrate": True, "input_encoding": "piecewise"},
        {"noise": "heteroscedastic", "learning_rate": "cooldown"},
        {"loss": "poisson"},
        {"normalize_y": False, "solver": "sgd", "learning_rate_init": 1e-4},
    ],
)
@BOTH
def test_every_kind_of_training_has_room_for_gaps(estimator_class, gappy, options):
    if estimator_class is DropoutMLPClassifier:
        options = {k: v for k, v in options.items() if k not in ("noise", "loss", "normalize_y")}
    X, y = gappy
    y = target_of(estimator_class, y)
    y = np.round(np.exp(y)) if options.get("loss") == "poisson" else y
    model = quick(estimator_class, **options).fit(X, y)
    assert np.isfinite(model.loss_curve_).all()
    assert np.isfinite(answers(model, X)).all()
    log_prob = model.log_prob(X, y)
    assert np.isfinite(log_prob).all()
    assert log_prob[2] == 0
    assert np.isfinite(model.set_params(inference="moments").log_prob(X, y)).all()


# ---- tables of any kind -------------------------------------------------------------------------


def _with_none(y):
    return np.array([[None if np.isnan(v) else v for v in row] for row in y], object)


@pytest.mark.parametrize(
    "kind",
    [
        np.ndarray.tolist,
        np.float32,
        _with_none,
        pd.DataFrame,
        lambda y: pd.DataFrame(_with_none(y)),
        lambda y: pd.DataFrame(y).convert_dtypes(),
        lambda y: pd.DataFrame(y).astype({0: "Float64", 1: object}),
        lambda y: pl.DataFrame(y, nan_to_null=True),
    ],
)
@BOTH
def test_gaps_in_any_table(estimator_class, gappy, kind):
    X, y = gappy
    y = target_of(estimator_class, y).astype(np.float32).astype(float)
    expected, model = quick(estimator_class).fit(X, y), quick(estimator_class).fit(X, kind(y))
    np.testing.assert_array_equal(answers(model, X), answers(expected, X))
    np.testing.assert_array_equal(model.log_prob(X, kind(y)), expected.log_prob(X, y))
    assert model.score(X, kind(y)) == expected.score(X, y)
    assert model.predict(X).dtype == expected.predict(X).dtype


def test_labels_of_booleans_with_gaps(gappy):
    X, y = gappy
    y = target_of(DropoutMLPClassifier, y)
    expected = quick(DropoutMLPClassifier).fit(X, y)
    model = clone(expected).fit(X, pd.DataFrame(y).astype("boolean"))
    np.testing.assert_array_equal(model.predict_proba(X), expected.predict_proba(X))
    assert model.predict(X).dtype == int


# ---- what it says -------------------------------------------------------------------------------


def test_log_prob_of_numbers_is_the_joint_one_of_those_that_are_there(gappy):
    X, y = gappy
    model = quick(DropoutMLPRegressor, n_draws=20).fit(X, y)
    means, noise = function_means(model, X), model.noise_std_
    cells = -0.5 * (((means - y[:, None]) / noise) ** 2 + np.log(2 * np.pi * noise**2))
    expected = np.log(np.exp(np.nansum(cells, axis=-1)).mean(1))
    np.testing.assert_allclose(model.log_prob(X, y), expected, atol=1e-6)
    crps = model.crps(X, y)
    np.testing.assert_array_equal(np.isnan(crps), np.isnan(y))
    whole = model.crps(X, np.nan_to_num(y))
    np.testing.assert_array_equal(crps[~np.isnan(y)], whole[~np.isnan(y)])


def test_log_prob_of_labels_is_the_joint_one_of_those_that_are_known(gappy):
    X, y = gappy
    y = target_of(DropoutMLPClassifier, y)
    model = quick(DropoutMLPClassifier).fit(X, y)
    samples = model.sample_proba(X, n_samples=100)
    known = np.where(np.isnan(y), 1, np.where(y == 1, samples, 1 - samples))
    np.testing.assert_allclose(model.log_prob(X, y), np.log(known.prod(-1).mean(0)))


def test_score_of_numbers_is_the_mean_of_the_columns_scores(gappy):
    X, y = gappy
    model = quick(DropoutMLPRegressor).fit(X, y)
    weight, prediction = np.random.default_rng(0).uniform(0.2, 2, len(X)), model.predict(X)
    for weights in (None, weight):
        columns = [
            r2_score(y[there, k], prediction[there, k], sample_weight=w)
            for k, there in enumerate(~np.isnan(y).T)
            for w in (None if weights is None else weights[there],)
        ]
        assert model.score(X, y, weights) == pytest.approx(np.mean(columns))
    few = np.where([[False, True, False]], NAN, y)
    few[5, 1] = 1.0
    assert model.score(X, few) == pytest.approx(
        np.mean(
            [
                r2_score(y[there, k], prediction[there, k])
                for k in (0, 2)
                for there in (~np.isnan(y[:, k]),)
            ]
        )
    )
    full = np.nan_to_num(y)
    assert model.score(X, full) == r2_score(full, prediction)


def test_score_of_labels_counts_rows_whose_known_labels_are_right(gappy):
    X, y = gappy
    y = target_of(DropoutMLPClassifier, y)
    model = quick(DropoutMLPClassifier).fit(X, y)
    prediction, weight = model.predict(X), np.random.default_rng(0).uniform(0.2, 2, len(X))
    known = ~np.isnan(y)
    rows = [row for row in range(len(X)) if known[row].any()]
    right = [(prediction[row] == y[row])[known[row]].all() for row in rows]
    assert 0 < np.mean(right) < 1
    assert model.score(X, y) == pytest.approx(np.mean(right))
    assert model.score(X, y, weight) == pytest.approx(np.average(right, weights=weight[rows]))


@BOTH
def test_early_stopping_watches_the_cells_that_are_there(estimator_class, gappy):
    X, y = gappy
    y = target_of(estimator_class, y)
    model = quick(estimator_class, early_stopping=True, dropout=None)
    model.fit(X[:80], y[:80], X_val=X[80:], y_val=y[80:])
    known = ~np.isnan(y[80:]).all(1)
    expected = model.log_prob(X[80:], y[80:])[known].mean()
    if estimator_class is DropoutMLPRegressor:
        # Scores are of the standardised target, whose units are those of the present cells.
        known_cells = ~np.isnan(y[80:])[known]
        expected += (known_cells @ np.log(np.nanstd(y[:80], axis=0))).mean()
    assert model.best_validation_score_ == pytest.approx(expected, abs=1e-4)


def test_calibrated_intervals_hold_their_share_of_the_cells_that_are_there():
    """Each column's factor is the least with which 90 % of its held-out cells are inside."""
    X, _, y = table(150, 2)
    y = with_gaps(y)
    model = DropoutMLPRegressor(max_iter=20, random_state=0).fit(X, y)
    known = ~np.isnan(y)
    held = model.calibration_["coverage_after"][0.9]
    assert 0.9 <= held < 0.9 + 1 / (known.sum(0).min() - 10)
    labels = target_of(DropoutMLPClassifier, y)
    model = DropoutMLPClassifier(calibrate=True, tol=0.1, random_state=0).fit(X, labels)
    found = model.calibration_
    assert found["log_prob_after"] > found["log_prob_before"]
    assert found["ece_after"] < found["ece_before"] < 1


# ---- everything around --------------------------------------------------------------------------


@BOTH
def test_partial_fit_takes_gaps_and_calls_without_a_column(estimator_class, gappy):
    X, y = gappy
    y = target_of(estimator_class, y)
    model = quick(estimator_class).partial_fit(X[:60], y[:60])
    before = answers(model, X)
    noise = getattr(model, "noise_std_", None)
    no_second = y[60:] * [1, NAN, 1]
    model.partial_fit(X[60:], no_second)
    assert (answers(model, X) != before).any(0).all()
    if noise is not None:
        assert (model.noise_std_ == noise).tolist() == [False, True, False]


def test_partial_fit_with_gaps_where_the_first_call_had_none():
    X, _, y = table(120, 3)
    model = quick(DropoutMLPRegressor).partial_fit(X, y)
    model.partial_fit(X, with_gaps(y))
    assert np.isfinite(model.predict(X)).all()
    assert np.isfinite(model.noise_std_).all()


@BOTH
def test_warm_start_goes_on_with_gaps(estimator_class, gappy):
    X, y = gappy
    y = target_of(estimator_class, y)
    model = quick(estimator_class, warm_start=True).fit(X, np.nan_to_num(y))
    before = answers(model, X)
    after = answers(model.fit(X, y), X)
    assert np.isfinite(after).all()
    assert (after != before).any()


@BOTH
def test_batched_searches_find_what_scikit_learns_do(estimator_class, gappy):
    X, y = gappy
    y = target_of(estimator_class, y)
    network = quick(estimator_class, n_members=2)
    name = f"{estimator_class.__name__.lower()}__"
    grid = {f"{name}dropout_rate": [0.1, 0.4], f"{name}alpha": [1e-4, 1.0]}
    scoring = {"ours": log_predictive_density_scorer, "default": lambda m, X, y: m.score(X, y)}
    options = {"cv": KFold(3), "scoring": scoring, "refit": "ours", "error_score": "raise"}
    batched, plain = (
        search(make_pipeline(StandardScaler(), network), grid, **options).fit(X, y)
        for search in (BatchedGridSearchCV, GridSearchCV)
    )
    for name in (f"split{fold}_test_ours" for fold in range(3)):
        np.testing.assert_allclose(batched.cv_results_[name], plain.cv_results_[name], atol=1e-3)
    assert batched.score(X, y) == pytest.approx(plain.score(X, y), abs=1e-3)
    assert batched.predict(X).shape == y.shape


@BOTH
def test_scikit_learns_tools_score_and_predict_with_gaps(estimator_class, gappy):
    X, y = gappy
    y = target_of(estimator_class, y)
    model = make_pipeline(StandardScaler(), quick(estimator_class))
    scores = cross_val_score(model, X, y, cv=KFold(3), error_score="raise")
    assert np.isfinite(scores).all()
    assert cross_val_predict(model, X, y, cv=KFold(3)).shape == y.shape


@BOTH
def test_a_callback_that_scores_gets_the_gaps(estimator_class, gappy):
    X, y = gappy
    y = target_of(estimator_class, y)
    seen = []

    def scoring(model, X, y):
        seen.append(y)
        return model.score(X, y)

    callback = EpochScoring(scoring, on_train=True, name="own", lower_is_better=False)
    model = quick(estimator_class, callbacks=[callback]).fit(X, y)
    known = ~np.isnan(y).all(1)
    np.testing.assert_allclose(seen[-1], y[known], rtol=1e-5)
    assert model.net_.history[-1, "own"] == pytest.approx(model.score(X, y), abs=1e-6)


# ---- what is refused ----------------------------------------------------------------------------


def _changed(y, where, value):
    y = y.copy()
    y[where] = value
    return y


BAD = {
    "infinity": (lambda y: _changed(y, (0, 0), np.inf), "Input y contains infinity"),
    "one column": (lambda y: y[:, 0], "Input y contains NaN"),
    "one column of two axes": (lambda y: y[:, :1], "Input y contains NaN"),
    "a column without a value": (
        lambda y: _changed(y, (slice(None), 1), NAN),
        "column 1 of y has no value in any row, so there is nothing to learn it from; leave the "
        "column out",
    ),
    "no value": (lambda y: np.full_like(y, NAN), "y has no value in any row"),
    "sparse": (lambda y: sparse.csr_matrix(y), "Input y contains NaN"),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@BOTH
def test_bad_targets_with_gaps(estimator_class, gappy, kind, method):
    X, y = gappy
    y = target_of(estimator_class, y)
    change, message = BAD[kind]
    model = quick(estimator_class)
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(X, change(y))
    assert not hasattr(model, "n_features_in_")


def test_other_values_beside_gaps(gappy):
    X, y = gappy
    labels = target_of(DropoutMLPClassifier, y)
    labels[:2, 0] = NAN, 1
    for change, found in (
        (lambda y: y + 0.5, "column 0 holds 1.5 in row 1"),
        (
            lambda y: np.where(np.isnan(y), None, np.where(y == 1, "ill", "well")),
            "column 0 holds 'ill'",
        ),
        (lambda y: np.where(np.isnan(y), None, np.where(y == 1, "1", "0")), "column 0 holds '1'"),
    ):
        with pytest.raises(ValueError, match=f"several labels per row, each 0 or 1; {found}"):
            quick(DropoutMLPClassifier).fit(X, change(labels))
    text = np.where(np.isnan(y), None, "a")
    with pytest.raises(ValueError, match="could not convert string to float: 'a'"):
        quick(DropoutMLPRegressor).fit(X, text)
    with pytest.raises(ValueError, match=r"loss='poisson' needs y .* got -"):
        quick(DropoutMLPRegressor, loss="poisson").fit(X, y)


@BOTH
def test_a_column_known_only_in_rows_that_do_not_count(estimator_class, gappy):
    X, y = gappy
    y = target_of(estimator_class, y)
    weight = (~np.isnan(y[:, 2])).astype(float)
    message = "column 2 of y has no value in any row with a positive sample_weight"
    with pytest.raises(ValueError, match=message):
        quick(estimator_class).fit(X, y, sample_weight=1 - weight)
    with pytest.raises(ValueError, match="y_val has no value in any row"):
        quick(estimator_class, early_stopping=True).fit(X, y, X_val=X[2:3], y_val=y[2:3])
    with pytest.raises(ValueError, match="y has no value in any row with a positive sample_weight"):
        quick(estimator_class).fit(X, y, sample_weight=np.eye(120)[2])
    model = quick(estimator_class).fit(X, y)
    with pytest.raises(ValueError, match="y has no value in any row"):
        model.partial_fit(X[2:3], y[2:3])
    for none in (np.full_like(y, NAN), y[2:3]):
        with pytest.raises(ValueError, match=r"\.score: no (column|row) of y has a value"):
            model.score(X[: len(none)], none)
    with pytest.raises(ValueError, match=r"y has shape \(120, 2\)"):
        model.score(X, y[:, :2])


def test_a_column_of_one_value_beside_gaps_is_constant(gappy):
    X, y = gappy
    y = y * [1, NAN, 1]
    y[[3, 7], 1] = 4.0
    with pytest.warns(UserWarning, match=r"column 1 of y is constant \(4\)"):
        model = quick(DropoutMLPRegressor).partial_fit(X, y)
    assert (model.predict(X)[:, 1] == 4).all()
    model.partial_fit(X, y)
    y[3, 1] = 5.0
    with pytest.raises(ValueError, match="column 1 of y was constant in the first call"):
        model.partial_fit(X, y)
