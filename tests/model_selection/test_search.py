"""The batched searches give what scikit-learn's give.

Both train in float64 here: see `in_float64`.
"""

import warnings
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    GroupShuffleSplit,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    cross_val_score,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from skorch.callbacks import GradientNormClipping

import skdropout
from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from skdropout._estimators import fitting
from skdropout._training.jobs import TrainedStack
from skdropout._training.net import DropoutNet
from skdropout._training.run import TrainingRun
from skdropout.decision import TunedReferralClassifierCV
from skdropout.displays import DropoutRateDisplay
from skdropout.families import BayesByBackprop, Bernoulli, BernoulliLinear
from skdropout.model_selection import BatchedGridSearchCV, BatchedRandomizedSearchCV
from tests.reference import CROSS_FITTED, ONE_NETWORK, fitting_of, quick, target

RATES = [0.1, 0.3, 0.5]
TIMES = {"mean_fit_time", "std_fit_time", "mean_score_time", "std_score_time"}
TOLERANCE = {"rtol": 1e-6, "atol": 1e-7}

pytestmark = pytest.mark.usefixtures("in_float64")


def assert_same_search(ours, theirs):
    """Two fitted searches tell the same, but for the times."""
    assert ours.cv_results_.keys() == theirs.cv_results_.keys()
    for name, expected in theirs.cv_results_.items():
        values = ours.cv_results_[name]
        if name == "params":
            assert [list(map(str, p.items())) for p in values] == [
                list(map(str, p.items())) for p in expected
            ]
            continue
        assert values.shape == expected.shape
        assert values.dtype == expected.dtype
        if name.startswith("param_"):
            assert list(map(str, values)) == list(map(str, expected))
        elif name.startswith("rank_"):
            np.testing.assert_array_equal(values, expected)
        elif name not in TIMES:
            np.testing.assert_allclose(values, expected, **TOLERANCE)
    assert ours.multimetric_ == theirs.multimetric_
    assert ours.n_splits_ == theirs.n_splits_
    for name in ("best_index_", "best_params_"):
        assert str(getattr(ours, name, None)) == str(getattr(theirs, name, None))
    assert vars(ours).keys() - {"param_grid"} == vars(theirs).keys() - {"param_grid"}
    assert getattr(ours, "best_score_", 0) == pytest.approx(
        getattr(theirs, "best_score_", 0), rel=1e-6, abs=1e-7
    )


def both(estimator, grid, X, y, fit_params=None, **parameters):
    """The fitted batched search and scikit-learn's, compared."""
    searches = []
    for search_class in (BatchedGridSearchCV, GridSearchCV):
        search = search_class(estimator, grid, **{"cv": 3, **parameters})
        searches.append(search.fit(X, y, **(fit_params or {})))
    assert_same_search(*searches)
    return searches


@pytest.fixture
def counted(monkeypatch):
    """Members of the nets that were trained, in the order of the trainings."""
    sizes, train = [], DropoutNet.partial_fit

    def counting(net, *args, **kwargs):
        sizes.append(len(net.plans))
        return train(net, *args, **kwargs)

    monkeypatch.setattr(DropoutNet, "partial_fit", counting)
    return sizes


# ---- the same as scikit-learn ------------------------------------------------------------------


def test_a_classifier(two_classes, counted):
    ours, theirs = both(
        quick(DropoutMLPClassifier),
        {"dropout_rate": RATES},
        *two_classes,
        scoring="neg_log_loss",
        return_train_score=True,
    )
    # One stack of three rates and three folds, and the refit; scikit-learn makes ten fits.
    assert counted == [9, 1] + 10 * [1]
    X, _ = two_classes
    np.testing.assert_array_equal(ours.predict_proba(X), theirs.predict_proba(X))
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    assert ours.n_features_in_ == 5


@pytest.mark.parametrize(
    "grid",
    [
        {"alpha": [0.0, 1.0], "l1_ratio": [0.0, 0.5]},
        {"learning_rate_init": [0.001, 0.01, 0.05]},
        {"random_state": [0, 1]},
        {"class_weight": [None, "balanced", {0: 1, 1: 5}]},
        {"input_dropout_rate": [0.0, 0.2]},
        {"n_members": [1, 3]},
        {"n_draws": [0, 5]},
        {"dropout_rate": [(0.1,), [0.5]]},
        {"dropout": [None, "bernoulli", "gaussian"], "dropout_rate": [0.0, 0.3]},
        {"hidden_layer_sizes": [(4,), (6, 5)], "activation": ["relu", "tanh"]},
        {"batch_size": [16, 30], "solver": ["adam", "sgd"]},
        {"normalization": [None, "layer"], "shuffle": [True, False]},
        [{"dropout": [BayesByBackprop()], "dropout__prior_std": [0.3, 1.0]}, {"alpha": [0.1]}],
    ],
    ids=str,
)
def test_what_candidates_differ_in(two_classes, grid):
    both(quick(DropoutMLPClassifier), grid, *two_classes, scoring="neg_log_loss")


@pytest.mark.parametrize("early_stopping", [False, True])
def test_candidates_that_stop_at_different_epochs(two_classes, early_stopping):
    model = DropoutMLPClassifier(
        (8,),
        **{**ONE_NETWORK, "early_stopping": early_stopping},
        learning_rate_init=0.03,
        n_iter_no_change=3,
        tol=0.01,
        random_state=0,
        max_iter=60,
    )
    grid = {"dropout_rate": [0.05, 0.4, 0.7], "alpha": [0.0, 1.0]}
    both(model, grid, *two_classes, scoring={"loss": "neg_log_loss", "n": _epochs}, refit="loss")


def _epochs(estimator, X, y):
    return float(len(estimator.loss_curve_))


def test_a_scorer_sees_a_fitted_estimator_like_any_other(two_classes):
    def attributes(estimator, X, y):
        assert type(estimator) is DropoutMLPClassifier
        assert "fit" not in vars(estimator)
        assert len(estimator.net_.module_.members) == 1
        assert estimator.dropout_rates_.tolist() == [estimator.dropout_rate]
        terms = np.array(list(estimator.loss_terms_.values())).sum(0)
        np.testing.assert_allclose(terms, estimator.loss_curve_, rtol=1e-5)
        return {
            "n_iter": estimator.n_iter_,
            "t": estimator.t_,
            "loss": estimator.loss_,
            "classes": len(estimator.classes_),
            "weight": float(estimator.net_.module_.linears[0].weight.detach().abs().sum()),
        }

    both(
        quick(DropoutMLPClassifier),
        {"dropout_rate": RATES},
        *two_classes,
        scoring=attributes,
        refit="loss",
    )


@pytest.mark.parametrize("outputs", [1, 2])
def test_regressors(real_target, two_targets, outputs):
    X, y = real_target if outputs == 1 else two_targets
    model = quick(DropoutMLPRegressor, learning_rate_init=0.01)
    grid = {"dropout_rate": [0.0, 0.1], "normalize_y": [True, False]}
    both(model, grid, X, y, scoring="neg_mean_squared_error")


def test_several_classes_some_of_which_a_fold_lacks():
    X, y = make_classification(60, 5, n_informative=4, n_redundant=0, n_classes=3, random_state=0)
    order = np.argsort(y, kind="stable")
    labels = np.array(["x", "yy", "zzz"])[y[order]]
    both(quick(DropoutMLPClassifier), {"dropout_rate": RATES}, X[order], labels, cv=KFold(3))


def test_splits_that_can_be_read_once(two_classes):
    ours, theirs = (
        search_class(quick(DropoutMLPClassifier), {"dropout_rate": RATES}, cv=splits)
        for search_class, splits in (
            (BatchedGridSearchCV, KFold(3).split(two_classes[0])),
            (GridSearchCV, list(KFold(3).split(two_classes[0]))),
        )
    )
    assert_same_search(ours.fit(*two_classes), theirs.fit(*two_classes))
    assert isinstance(ours.cv, Iterator)


SCORINGS = {
    "list": (["accuracy", "neg_log_loss"], "neg_log_loss"),
    "dict": ({"a": "accuracy", "b": "roc_auc"}, "b"),
    "no refit": (["accuracy", "neg_log_loss"], False),
    "rule": (["accuracy", "neg_log_loss"], lambda results: 1),
    "rule of one": ("accuracy", lambda results: int(results["mean_test_score"].argmin())),
    "one, no refit": ("neg_log_loss", False),
    "own": (None, True),
}


@pytest.mark.parametrize("kind", SCORINGS)
def test_scoring_and_refit(two_classes, kind):
    scoring, refit = SCORINGS[kind]
    ours, theirs = both(
        quick(DropoutMLPClassifier),
        {"dropout_rate": RATES},
        *two_classes,
        scoring=scoring,
        refit=refit,
    )
    assert hasattr(ours, "best_estimator_") == hasattr(theirs, "best_estimator_") == bool(refit)
    if refit:
        assert "fit" not in vars(ours.best_estimator_)
        assert "__sklearn_clone__" not in vars(ours.best_estimator_)
        X, _ = two_classes
        np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))


SPLITTERS = {
    "groups": (GroupKFold(3), True),
    "group shuffle": (GroupShuffleSplit(4, random_state=0), True),
    "shuffle": (ShuffleSplit(3, random_state=0), False),
    "repeated": (RepeatedStratifiedKFold(n_splits=2, n_repeats=2, random_state=0), False),
    "list": ([(np.arange(0, 90), np.arange(90, 120)), (np.arange(30, 120), np.arange(30))], False),
}


@pytest.mark.parametrize("kind", SPLITTERS)
def test_splitters(two_classes, kind):
    cv, grouped = SPLITTERS[kind]
    groups = np.random.default_rng(0).integers(8, size=120)
    fit_params = {"groups": groups} if grouped else {}
    grid = {"dropout_rate": RATES}
    both(quick(DropoutMLPClassifier), grid, *two_classes, fit_params=fit_params, cv=cv)


def test_a_splitter_that_splits_anew_each_time(two_classes):
    model = quick(DropoutMLPClassifier)
    cv = ShuffleSplit(2, random_state=np.random.RandomState(0))
    seen = []

    def rows(estimator, X, y):
        seen.append(X.sum())
        return 0.0

    BatchedGridSearchCV(model, {"alpha": [0, 1]}, cv=cv, scoring=rows, refit=False).fit(
        *two_classes
    )
    assert seen[:2] == seen[2:]


def test_a_random_search(two_classes):
    distributions = {"alpha": loguniform(1e-3, 1), "dropout_rate": [0.1, 0.2, 0.5]}
    searches = [
        search_class(
            quick(DropoutMLPClassifier), distributions, n_iter=6, cv=2, random_state=0
        ).fit(*two_classes)
        for search_class in (BatchedRandomizedSearchCV, RandomizedSearchCV)
    ]
    assert_same_search(*searches)


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(0)])
def test_random_states(two_classes, random_state):
    model = quick(DropoutMLPClassifier, random_state=random_state)
    ours, theirs = (
        search_class(model, {"dropout_rate": RATES}, cv=2, scoring=_first_weight).fit(*two_classes)
        for search_class in (BatchedGridSearchCV, GridSearchCV)
    )
    if random_state is None:
        scores = [ours.cv_results_[f"split{k}_test_score"] for k in range(2)]
        assert len(np.unique(scores)) == 6
    else:
        assert_same_search(ours, theirs)


def _first_weight(estimator, X, y):
    return float(estimator.net_.module_.linears[0].weight.detach()[0, 0, 0])


# ---- pipelines ---------------------------------------------------------------------------------


class Counting(StandardScaler):
    """Counts its fits, in all copies."""

    n_fits: list = []

    def fit(self, X, y=None, sample_weight=None):
        self.n_fits.append(self.with_mean)
        return super().fit(X, y, sample_weight)


def test_a_pipeline_fits_its_first_steps_once_for_each_of_their_settings(two_classes):
    pipe = Pipeline([("scale", Counting()), ("net", quick(DropoutMLPClassifier))])
    grid = {"net__dropout_rate": RATES, "scale__with_mean": [True, False]}
    ours = BatchedGridSearchCV(pipe, grid, cv=3, refit=False)
    Counting.n_fits.clear()
    ours.fit(*two_classes)
    assert sorted(Counting.n_fits) == 3 * [False] + 3 * [True]
    theirs = GridSearchCV(pipe, grid, cv=3, refit=False).fit(*two_classes)
    assert_same_search(ours, theirs)


@pytest.mark.parametrize("in_pipeline", [False, True])
def test_rows_are_checked_once_for_the_candidates_that_see_them_alike(
    two_classes, monkeypatch, in_pipeline
):
    calls, check = [], DropoutMLPClassifier._check_xy

    def counting(network, X, *args):
        calls.append(len(X))
        return check(network, X, *args)

    monkeypatch.setattr(DropoutMLPClassifier, "_check_xy", counting)
    estimator, prefix = quick(DropoutMLPClassifier), ""
    if in_pipeline:
        estimator, prefix = Pipeline([("scale", StandardScaler()), ("net", estimator)]), "net__"
    grid = {f"{prefix}dropout_rate": RATES, f"{prefix}alpha": [0.0, 1.0]}
    BatchedGridSearchCV(estimator, grid, cv=3, refit=False).fit(*two_classes)
    assert len(calls) == 3
    # Weights of the classes are a part of what is encoded.
    grid = {f"{prefix}class_weight": [None, "balanced"]}
    BatchedGridSearchCV(estimator, grid, cv=3, refit=False).fit(*two_classes)
    assert len(calls) == 3 + 6


def test_rows_are_split_for_early_stopping_once_for_all_candidates(two_classes, monkeypatch):
    calls, split = [], fitting.held_out_part

    def counting(*args, **options):
        calls.append(args)
        return split(*args, **options)

    monkeypatch.setattr(fitting, "held_out_part", counting)
    network = quick(DropoutMLPClassifier, early_stopping=True)
    grid = {"dropout_rate": RATES, "validation_fraction": [0.1, 0.3], "random_state": [0, 1]}
    ours = BatchedGridSearchCV(network, grid, cv=3, refit=False).fit(*two_classes)
    assert len(calls) == 3 * 2 * 2
    assert_same_search(ours, GridSearchCV(network, grid, cv=3, refit=False).fit(*two_classes))


def test_folds_of_unequal_size_share_a_stack(two_classes, counted):
    X, y = (values[:118] for values in two_classes)
    network = quick(DropoutMLPClassifier, batch_size=32)
    both(network, {"dropout_rate": RATES}, X, y, cv=KFold(5), refit=False)
    assert counted == [15] + 15 * [1]


@pytest.mark.parametrize(
    "grid",
    [
        {"scale": [StandardScaler(), MinMaxScaler(), "passthrough"], "net__alpha": [0.1, 1.0]},
        {"net": [quick(DropoutMLPClassifier), LogisticRegression()]},
        {"net": [quick(DropoutMLPClassifier)], "net__dropout_rate": [0.1, 0.2]},
    ],
    ids=str,
)
def test_steps_that_are_searched_over(two_classes, grid):
    pipe = Pipeline([("scale", StandardScaler()), ("net", quick(DropoutMLPClassifier))])
    ours, theirs = both(pipe, grid, *two_classes, scoring="neg_log_loss")
    X, _ = two_classes
    np.testing.assert_array_equal(ours.predict_proba(X), theirs.predict_proba(X))


def test_a_pipeline_of_a_network_alone(two_classes):
    grid = {"dropoutmlpclassifier__dropout_rate": RATES}
    both(make_pipeline(quick(DropoutMLPClassifier)), grid, *two_classes)


def test_frames(two_classes):
    X, y = two_classes
    frame = pd.DataFrame(X, columns=list("abcde"), index=np.arange(len(X)) + 7)
    pipe = Pipeline([("scale", StandardScaler().set_output(transform="pandas"))])
    pipe.steps.append(("net", quick(DropoutMLPClassifier)))
    ours, _ = both(pipe, {"net__dropout_rate": RATES}, frame, pd.Series(y, index=frame.index))
    assert ours.feature_names_in_.tolist() == list("abcde")


# ---- metadata ----------------------------------------------------------------------------------


def test_sample_weights(two_classes):
    X, y = two_classes
    weight = np.random.default_rng(0).integers(0, 3, len(X)).astype(float)
    fit_params = {"sample_weight": weight}
    both(quick(DropoutMLPClassifier), {"dropout_rate": RATES}, X, y, fit_params=fit_params)


def test_sample_weights_through_a_pipeline(two_classes):
    X, y = two_classes
    weight = np.random.default_rng(0).uniform(0.1, 3, len(X))
    pipe = Pipeline([("scale", StandardScaler()), ("net", quick(DropoutMLPClassifier))])
    both(pipe, {"net__dropout_rate": RATES}, X, y, fit_params={"net__sample_weight": weight})


def test_metadata_routing(two_classes):
    X, y = two_classes
    rng = np.random.default_rng(0)
    weight, groups = rng.uniform(0.1, 3, len(X)), rng.integers(9, size=len(X))
    with sklearn.config_context(enable_metadata_routing=True):
        network = quick(DropoutMLPClassifier).set_fit_request(sample_weight=True, groups=False)
        network.set_score_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipe = Pipeline([("scale", scaler), ("net", network)])
        fit_params = {"sample_weight": weight, "groups": groups}
        both(pipe, {"net__dropout_rate": RATES}, X, y, fit_params=fit_params, cv=GroupKFold(3))


# ---- failures ----------------------------------------------------------------------------------


def test_a_candidate_that_fails(two_classes):
    with (
        pytest.warns(UserWarning, match="test scores are non-finite"),
        pytest.warns(FitFailedWarning, match=r"3 fits failed out of a total of 9(.|\n)*alpha"),
    ):
        both(quick(DropoutMLPClassifier), {"alpha": [0.1, -1.0, 1.0]}, *two_classes)
    search = BatchedGridSearchCV(quick(DropoutMLPClassifier), {"alpha": [0.1, -1.0]}, cv=2)
    with pytest.raises(ValueError, match="'alpha' parameter of DropoutMLPClassifier"):
        search.set_params(error_score="raise").fit(*two_classes)
    assert not [name for name in vars(search) if name.endswith("_")]


def test_a_candidate_that_diverges(real_target):
    model = quick(DropoutMLPRegressor, solver="sgd", momentum=0.0)
    grid = {"learning_rate_init": [1e-3, 1e25, 1e-2]}
    with pytest.warns(FitFailedWarning, match="training diverged.*learning_rate_init=1e"):
        ours, _ = both(model, grid, *real_target, error_score=-7.0)
    np.testing.assert_array_equal(ours.cv_results_["split0_test_score"][1], -7.0)


class FailsAtThirty(BernoulliLinear):
    """Somebody's own layer, which cannot be trained with one of the rates."""

    def masks(self, *args, **kwargs):
        if (abs(self.rates - 0.3) < 1e-3).any():
            raise RuntimeError("no masks at a rate of 0.3")
        return super().masks(*args, **kwargs)


class SomeonesFamily(Bernoulli):
    layer = FailsAtThirty


class NoKey(Bernoulli):
    def stack_key(self):
        raise RuntimeError("no key")


def test_a_candidate_that_fails_in_training_does_not_end_the_search(two_classes, capsys):
    model = quick(DropoutMLPClassifier, dropout=SomeonesFamily())
    with (
        pytest.warns(UserWarning, match="test scores are non-finite"),
        pytest.warns(FitFailedWarning, match=r"3 fits failed(.|\n)*no masks at a rate of 0\.3"),
    ):
        ours, _ = both(model, {"dropout_rate": RATES}, *two_classes, verbose=1, refit=False)
    assert np.isnan(ours.cv_results_["mean_test_score"]).tolist() == [False, True, False]
    assert "9 of 9 fits are made one by one: their stack failed" in capsys.readouterr().out


def test_a_family_that_no_stack_can_take_is_fitted_alone(two_classes, capsys):
    grid = {"dropout": ["bernoulli", NoKey()]}
    scores = [
        search_class(quick(DropoutMLPClassifier), grid, cv=3, verbose=1, refit=False)
        .fit(*two_classes)
        .cv_results_["mean_test_score"]
        for search_class in (GridSearchCV, BatchedGridSearchCV)
    ]
    np.testing.assert_allclose(*scores, **TOLERANCE)
    assert "3 of 6 fits are made one by one: it cannot be fitted" in capsys.readouterr().out


@pytest.mark.parametrize(("n_rows", "batch_size"), [(61, 20), (60, 39), (41, 1)])
def test_folds_with_a_row_too_many_for_batch_normalization(two_classes, n_rows, batch_size):
    X, y = (values[:n_rows] for values in two_classes)
    # Not Adam: a bias before batch statistics has no gradient but for rounding, which Adam makes
    # as large as any other.
    model = quick(DropoutMLPClassifier, normalization="batch", solver="sgd")
    model.set_params(batch_size=max(batch_size, 2))
    both(model, {"dropout_rate": RATES}, X, y, scoring="neg_log_loss", error_score="raise")
    if batch_size == 1:
        with pytest.warns(UserWarning, match="batch_size=1 is raised to 2"):
            both(model, {"batch_size": [1, 2]}, X, y, error_score="raise")


def test_a_fold_with_a_class_of_one_row(two_classes):
    X, y = two_classes
    y = np.where(np.arange(len(y)) == 7, 2, y)
    model = quick(DropoutMLPClassifier, early_stopping=True)
    with pytest.warns(UserWarning, match=r"no rows are held out .* 2 \(1\); they are all"):
        both(model, {"dropout_rate": RATES}, X, y, cv=KFold(3), error_score="raise")


def test_a_fold_with_one_class(two_classes):
    X, y = two_classes
    one = np.flatnonzero(y == 1)
    cv = [(np.arange(80), np.arange(80, 120)), (one[:40], np.arange(40))]
    with pytest.warns(FitFailedWarning, match="at least 2 classes"):
        both(quick(DropoutMLPClassifier), {"dropout_rate": RATES}, X, y, cv=cv, error_score=0.0)


def test_a_parameter_that_does_not_exist(two_classes):
    search = BatchedGridSearchCV(quick(DropoutMLPClassifier), {"dropout_rat": [0.1]})
    with pytest.raises(ValueError, match="Invalid parameter 'dropout_rat'"):
        search.fit(*two_classes)


def test_warnings_are_those_of_the_fits(two_classes):
    model = DropoutMLPClassifier((4,), max_iter=3, random_state=0, **ONE_NETWORK)
    caught = []
    for search_class in (BatchedGridSearchCV, GridSearchCV):
        with warnings.catch_warnings(record=True) as records:
            warnings.simplefilter("always")
            search_class(model, {"dropout_rate": RATES}, cv=2, refit=False).fit(*two_classes)
        caught.append([str(record.message) for record in records])
        assert all(issubclass(record.category, ConvergenceWarning) for record in records)
    assert caught[0] == caught[1]
    assert len(caught[0]) == 6


def test_a_failed_search_stays_as_it_was(two_classes):
    X, y = two_classes
    search = BatchedGridSearchCV(quick(DropoutMLPClassifier), {"dropout_rate": RATES}, cv=2)
    search.fit(X, y)
    before = dict(vars(search))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        search.fit(X, y[:-1])
    assert vars(search) == before


# ---- what falls back ---------------------------------------------------------------------------


@pytest.mark.parametrize("search_class", [GridSearchCV, BatchedGridSearchCV])
def test_other_estimators(two_classes, search_class, capsys):
    search = search_class(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2, verbose=1)
    search.fit(*two_classes)
    note = "BatchedGridSearchCV: the estimator is neither"
    assert (note in capsys.readouterr().out) == (search_class is BatchedGridSearchCV)
    assert len(search.cv_results_["params"]) == 2


def test_what_is_wrapped_or_has_callbacks_is_fitted_one_by_one(real_target, counted, capsys):
    X, y = real_target
    inner = quick(DropoutMLPRegressor)
    wrapped = TransformedTargetRegressor(inner, transformer=StandardScaler())
    both(
        make_pipeline(StandardScaler(), wrapped),
        {"transformedtargetregressor__regressor__dropout_rate": [0.1, 0.2]},
        X,
        y,
        verbose=1,
    )
    assert "6 of 6 fits are made one by one: the estimator is neither" in capsys.readouterr().out
    clipped = quick(DropoutMLPRegressor, callbacks=[GradientNormClipping(1.0)])
    both(clipped, {"dropout_rate": [0.1, 0.2]}, X, y, verbose=1)
    assert "6 of 6 fits are made one by one: it has callbacks" in capsys.readouterr().out
    assert set(counted) == {1}


def test_part_of_the_candidates_fall_back(two_classes, counted):
    pipe = Pipeline([("net", LogisticRegression())])
    grid = {"net": [LogisticRegression(), quick(DropoutMLPClassifier), Ridge()]}
    with pytest.warns(UserWarning, match="."):
        both(pipe, grid, *two_classes, scoring="roc_auc")
    assert counted[0] == 3


# ---- stacks ------------------------------------------------------------------------------------


def test_stacks_are_cut_to_size(two_classes, counted):
    model = quick(DropoutMLPClassifier, hidden_layer_sizes=(3000,))
    both(model, {"dropout_rate": RATES}, *two_classes, refit=False)
    assert max(counted) < 9
    assert sum(counted) == 18


def test_fit_times_are_shares_of_the_stack(two_classes, monkeypatch):
    seconds, train = [], TrainedStack.__init__

    def timed(stack, *args):
        start = __import__("time").perf_counter()
        train(stack, *args)
        seconds.append(__import__("time").perf_counter() - start)

    monkeypatch.setattr(TrainedStack, "__init__", timed)
    search = BatchedGridSearchCV(quick(DropoutMLPClassifier), {"dropout_rate": RATES}, cv=3)
    search.fit(*two_classes)
    total = 3 * search.cv_results_["mean_fit_time"].sum()
    assert total >= sum(seconds)
    assert (search.cv_results_["mean_fit_time"] > 0).all()


def test_the_bar(two_classes, capsys):
    model = quick(DropoutMLPClassifier, verbose=True, max_iter=7)
    search = BatchedGridSearchCV(model, {"dropout_rate": RATES}, cv=3, verbose=1, refit=False)
    search.fit(*two_classes)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("[")]
    assert len(lines) == 8
    assert "] stack 1/1: 9 networks (9 in training), epoch 1/7, at most" in lines[0]
    assert lines[-1].startswith("[" + 30 * "#" + "] stack 1/1: 9 networks")
    assert "7 epochs in" in lines[-1]


# ---- around and inside -------------------------------------------------------------------------


def test_a_search_inside_cross_validation(two_classes):
    scores = [
        cross_val_score(
            search_class(quick(DropoutMLPClassifier), {"dropout_rate": RATES}, cv=2),
            *two_classes,
            cv=2,
            scoring="neg_log_loss",
        )
        for search_class in (BatchedGridSearchCV, GridSearchCV)
    ]
    np.testing.assert_allclose(*scores, **TOLERANCE)


def test_a_search_inside_a_pipeline(two_classes):
    X, y = two_classes
    search = BatchedGridSearchCV(quick(DropoutMLPClassifier), {"dropout_rate": RATES}, cv=2)
    pipe = make_pipeline(StandardScaler(), search).fit(X, y)
    uncertainty = skdropout.predict_uncertainty(pipe, X)
    inner = pipe[-1].best_estimator_.predict_uncertainty(pipe[0].transform(X))
    np.testing.assert_array_equal(uncertainty.epistemic, inner.epistemic)


def test_halving(two_classes):
    search = HalvingGridSearchCV(
        quick(DropoutMLPClassifier), {"dropout_rate": RATES}, cv=2, random_state=0, factor=2
    )
    search.fit(*two_classes)
    assert search.best_params_["dropout_rate"] in RATES


def test_pictures_and_decisions_take_it(two_classes):
    X, y = two_classes
    search = BatchedGridSearchCV(
        quick(DropoutMLPClassifier), {"dropout_rate": RATES}, cv=2, scoring="neg_log_loss"
    ).fit(X, y)
    display = DropoutRateDisplay.from_estimator(search)
    np.testing.assert_array_equal(display.rates, RATES)
    careful = TunedReferralClassifierCV(search, min_coverage=0.8, cv="prefit").fit(X, y)
    assert careful.selective_coverage_ >= 0.8


# ---- regressors with all that fit does for them --------------------------------------------------


@pytest.mark.parametrize("noise", ["homoscedastic", "heteroscedastic"])
def test_regressors_that_calibrate(real_target, noise, counted):
    def spread(estimator, X, y):
        return {
            "scale": estimator.calibration_["scale"],
            "log_prob": estimator.log_prob(X, y).mean(),
        }

    X, y = real_target
    model = quick(DropoutMLPRegressor, calibrate=True, learning_rate="cooldown", noise=noise)
    model.set_params(max_iter=12, batch_size=20, early_stopping=True, validation_fraction=0.2)
    both(model, {"dropout_rate": [0.05, 0.2]}, X, y, scoring=spread, refit=False)
    searched = counted[: counted.index(1)]
    # Two rates and three folds, one stack; they are calibrated on the part that stops them.
    assert searched == [6]


# ---- cross-fitted members ----------------------------------------------------------------------


@pytest.mark.parametrize("estimator_class", [DropoutMLPClassifier, DropoutMLPRegressor])
def test_candidates_are_judged_by_one_network_and_the_best_has_folds(
    two_classes, estimator_class, counted
):
    X, y = two_classes[0], target(estimator_class, two_classes[1])
    model = quick(estimator_class, **CROSS_FITTED, tol=0.01, learning_rate_init=0.03)
    model.set_params(max_iter=60, validation_fraction=0.2, store_oof=True)
    grid, options = {"dropout_rate": [0.05, 0.4]}, {"cv": 3, "scoring": _log_prob}
    ours = BatchedGridSearchCV(model, grid, **options).fit(X, y)
    # Two rates and three folds of the search; the refit has a network for each fold of its own.
    assert counted == [6, 5]
    one = clone(model).set_params(cv=None)
    theirs = GridSearchCV(one, grid, **options).fit(X, y)
    np.testing.assert_allclose(
        ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"], **TOLERANCE
    )
    assert ours.best_params_ == theirs.best_params_
    best = ours.best_estimator_
    assert best.n_folds_ == 5
    assert best.cv == 5
    refitted = clone(best).fit(X, y)
    for found, expected in zip(
        best.predict_uncertainty(X), refitted.predict_uncertainty(X), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    assert best.calibration_ == refitted.calibration_


def _scale(estimator, X, y):
    return {
        "scale": float(estimator.calibration_["scale"]),
        "log_prob": estimator.log_prob(X, y).mean(),
    }


def test_a_member_of_a_candidate_that_diverges_is_left_out(real_target, monkeypatch):
    X, y = real_target
    model = quick(DropoutMLPRegressor, n_members=3, early_stopping=True, validation_fraction=0.2)
    model.set_params(calibrate=True)
    bad = fitting_of(model, X, y).job.members[1].seed
    train = TrainingRun.train_epoch

    def diverging(run):
        losses = train(run)
        members = run.moving.stack.members
        return [np.nan if m.seed == bad else v for m, v in zip(members, losses, strict=True)]

    monkeypatch.setattr(TrainingRun, "train_epoch", diverging)

    def n_left(estimator, X, y):
        return {"left": len(estimator.predict_members(X)), **_scale(estimator, X, y)}

    with pytest.warns(UserWarning, match="training of 1 of 3 networks diverged"):
        ours, _ = both(model, {"alpha": [0.1, 1.0]}, X, y, scoring=n_left, refit="left")
    assert set(ours.cv_results_["mean_test_left"]) == {2}


def test_counts(two_classes):
    X, _ = two_classes
    y = np.random.default_rng(0).poisson(np.exp(X[:, 0]).clip(0.1, 20))
    model = quick(DropoutMLPRegressor, loss="poisson", batch_size=20)
    grid = {"dropout_rate": [0.05, 0.2], "learning_rate_init": [0.001, 0.01]}
    both(model, grid, X, y, scoring=_log_prob)


def _log_prob(estimator, X, y):
    return estimator.log_prob(X, y).mean()
