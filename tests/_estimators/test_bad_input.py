"""Bad input gets a sentence that names the class, the parameter, the value and what is allowed."""

import re

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import train_test_split

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from tests.reference import ESTIMATORS, quick, target

NAN = float("nan")

# Values that are out of range or of the wrong type, for every constructor parameter.
BAD = {
    "hidden_layer_sizes": [0, -1, 2.5, "many", None, (5, 0), (5, -2), (2.5,), ("a",), [[5, 5]]],
    "activation": ["banana", None, 3],
    "dropout": ["banana", 0.5, True, ["bernoulli"], DropoutMLPClassifier],
    "dropout_rate": [-0.1, 1, 1.0, 1.5, NAN, "high", None, [0.5, 1.0], [-0.1, 0.5], ["a", 0.5]],
    "input_dropout_rate": [-0.1, 1, 1.0, NAN, "high", None, [0.1]],
    "n_draws": [-1, 2.5, "many", "Auto", None],
    "inference": ["exact", "banana", None, True],
    "n_members": [0, -1, 1.5, "many", None],
    "distance_awareness": [-0.1, NAN, np.inf, "far", None],
    "learn_input_scale": ["yes", 2, None],
    "normalization": ["banana", True, 3],
    "solver": ["lbfgs", "banana", None],
    "alpha": [-0.1, NAN, "small", None],
    "l1_ratio": [-0.1, 1.1, NAN, "half", None],
    "batch_size": [0, -1, 2.5, "all", None],
    "learning_rate": ["banana", "cosine", 0.1, None],
    "learning_rate_init": [0, -0.1, NAN, "small", None],
    "power_t": [-0.1, NAN, "half", None],
    "max_iter": [0, -1, 2.5, "many", None],
    "shuffle": ["yes", 2, None],
    "random_state": ["seed", -1, 1.5],
    "tol": [-0.1, NAN, "small", None],
    "verbose": [-1, "loud", None],
    "warm_start": ["yes", 2, None],
    "momentum": [-0.1, 1.0, NAN, "half", None],
    "nesterovs_momentum": ["yes", 2, None],
    "cv": [0, 1, -1, 2.5, True, "oof", 3 + 0j, [3], [], {"train": 1}],
    "early_stopping": ["yes", 2, None],
    "validation_fraction": [0, 1, -0.1, NAN, "half", None],
    "beta_1": [-0.1, 1.0, NAN, "half", None],
    "beta_2": [-0.1, 1.0, NAN, "half", None],
    "epsilon": [0, -0.1, NAN, "small", None],
    "n_iter_no_change": [0, -1, 2.5, "many", None],
    "calibrate": ["yes", 2, None],
    "store_oof": ["yes", 2, None],
    "device": [0, None, "banana", "cuda:banana", "meta"],
    "callbacks": [3, "banana", [3], [("name", 3)]],
    "class_weight": [3, "banana"],
    "loss": ["banana", "absolute_error", None],
    "noise": ["banana", True, 0.1, None],
    "normalize_y": ["yes", 2, None],
    "input_encoding": ["banana", 1, True],
    "categorical_features": ["banana", 3],
}
CASES = [(name, value) for name, values in BAD.items() for value in values]


@pytest.fixture(params=ESTIMATORS)
def estimator_class(request):
    return request.param


@pytest.fixture
def data(estimator_class, two_classes):
    X, y = two_classes
    return X, target(estimator_class, y)


def test_the_table_holds_every_parameter(estimator_class):
    assert estimator_class().get_params().keys() <= BAD.keys()


@pytest.mark.parametrize(("name", "value"), CASES, ids=lambda value: str(value)[:30])
def test_a_bad_parameter(two_classes, name, value):
    for estimator_class in ESTIMATORS:
        if name not in estimator_class().get_params():
            continue
        X, y = two_classes[0], target(estimator_class, two_classes[1])
        model = quick(estimator_class, hidden_layer_sizes=(4, 4)).set_params(**{name: value})
        with pytest.raises(ValueError, match=name) as caught:
            model.fit(X, y)
        message = str(caught.value)
        assert estimator_class.__name__ in message
        assert repr(value) in message or str(value) in message
        assert re.search(r"must be|allowed", message)
        assert not [attribute for attribute in vars(model) if attribute.endswith("_")]


@pytest.mark.parametrize("rates", [[0.1], [0.1, 0.2, 0.3], [], [[0.1, 0.2]]])
def test_as_many_rates_as_layers(estimator_class, data, rates):
    model = quick(estimator_class, hidden_layer_sizes=(4, 4), dropout_rate=rates)
    with pytest.raises(
        ValueError, match=rf"{estimator_class.__name__}: dropout_rate.*each of the 2 hidden"
    ):
        model.fit(*data)


# ---- data --------------------------------------------------------------------------------------


def _with(X, value):
    X = X.copy()
    X[3, 1] = value
    return X


BAD_INPUTS = {
    "infinity": (lambda X, y: (_with(X, np.inf), y), r"Input X contains infinity"),
    "huge": (lambda X, y: (_with(X, 1e300), y), r"X reaches 1e\+300.*too large for float32"),
    "no rows": (lambda X, y: (X[:0], y[:0]), r"0 sample\(s\).*minimum of 1 is required"),
    "no columns": (lambda X, y: (X[:, :0], y), r"0 feature\(s\)"),
    "one dimension": (lambda X, y: (X[:, 0], y), r"Expected 2D array, got 1D"),
    "three dimensions": (lambda X, y: (X[None], y[:1]), r"dim 3"),
    "strings": (lambda X, y: (np.full(X.shape, "a"), y), r"could not convert string to float"),
    "complex": (lambda X, y: (X + 1j, y), r"Complex data not supported"),
    "lengths": (lambda X, y: (X, y[:-1]), r"inconsistent numbers of samples: \[120, 119\]"),
    "no target": (lambda X, y: (X, None), r"requires y to be passed, but the target y is None"),
    "NaN target": (lambda X, y: (X, np.where(y > 0, y, np.nan)), r"Input y contains NaN"),
    "one row": (lambda X, y: (X[:1], y[:1]), r"(needs at least|at least 2|n_samples = 1|1 class)"),
}


@pytest.mark.parametrize("kind", BAD_INPUTS)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_bad_data(estimator_class, data, kind, method):
    change, message = BAD_INPUTS[kind]
    with pytest.raises(ValueError, match=message):
        getattr(quick(estimator_class), method)(*change(*data))


@pytest.mark.parametrize("kind", ["NaN", "infinity", "no rows", "one dimension", "strings"])
def test_bad_rows_to_predict(estimator_class, data, kind):
    X, y = data
    model = quick(estimator_class).fit(X, y)
    # A gap is an error only where training had none: it goes as it comes.
    gap = (lambda X, y: (_with(X, np.nan), y), r"Input X contains NaN")
    change, message = {**BAD_INPUTS, "NaN": gap}[kind]
    bad, _ = change(X, y)
    for method in (model.predict, model.predict_uncertainty):
        with pytest.raises(ValueError, match=message):
            method(bad)


def test_the_wrong_width(estimator_class, data):
    X, y = data
    model = quick(estimator_class).fit(X, y)
    message = rf"X has 3 features, but {estimator_class.__name__} is expecting 5 features"
    for call in (
        lambda: model.predict(X[:, :3]),
        lambda: model.predict_uncertainty(X[:, :3]),
        lambda: model.log_prob(X[:, :3], y),
        lambda: model.partial_fit(X[:, :3], y),
        lambda: model.set_params(warm_start=True).fit(X[:, :3], y),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_one_class(two_classes):
    X, y = two_classes
    message = r"DropoutMLPClassifier: y must hold at least 2 classes.*1 class: \[1\]"
    with pytest.raises(ValueError, match=message):
        quick(DropoutMLPClassifier).fit(X, np.ones_like(y))
    with pytest.raises(ValueError, match=message):
        quick(DropoutMLPClassifier).fit(X, y, sample_weight=y)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_negative_counts(two_targets, method):
    X, _ = two_targets
    message = r"DropoutMLPRegressor: loss='poisson' needs y that is zero or positive, got -3"
    with pytest.raises(ValueError, match=message):
        getattr(quick(DropoutMLPRegressor, loss="poisson"), method)(X, np.arange(len(X)) - 3)


def test_counts_have_no_noise_of_their_own(two_targets):
    X, _ = two_targets
    model = quick(DropoutMLPRegressor, loss="poisson", noise="heteroscedastic")
    with pytest.raises(ValueError, match=r"noise must be left at .*got 'heteroscedastic'"):
        model.fit(X, np.arange(len(X)))
    model.set_params(noise="homoscedastic").fit(X, np.arange(len(X)))
    with pytest.raises(AttributeError, match=r"noise_std_: with loss='poisson' the noise"):
        _ = model.noise_std_


def test_real_targets_for_a_classifier(real_target):
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        quick(DropoutMLPClassifier).fit(*real_target)


def test_strings_as_real_targets(two_classes):
    X, y = two_classes
    with pytest.raises(ValueError, match="could not convert string to float"):
        quick(DropoutMLPRegressor).fit(X, np.array(["a", "b"])[y])


def test_labels_that_were_not_in_the_fit(two_classes):
    X, y = two_classes
    model = quick(DropoutMLPClassifier).fit(X, y)
    message = r"DropoutMLPClassifier: y holds the labels \[7\].*classes of the fit, \[0, 1\]"
    for call in (model.partial_fit, model.log_prob, model.set_params(warm_start=True).fit):
        with pytest.raises(ValueError, match=message):
            call(X, np.where(y == 1, 7, 0))


def test_another_number_of_outputs(two_targets):
    X, y = two_targets
    model = quick(DropoutMLPRegressor).fit(X, y)
    with pytest.raises(ValueError, match=r"y has shape \(120,\).*fitted to 2 outputs"):
        model.partial_fit(X, y[:, 0])


BAD_WEIGHTS = {
    "negative": (lambda n: np.full(n, -1.0), "Negative values in data passed to `sample_weight`"),
    "NaN": (lambda n: np.full(n, np.nan), "Input sample_weight contains NaN"),
    "short": (lambda n: np.ones(n - 1), r"sample_weight.shape == \(119,\)"),
    "two-dimensional": (lambda n: np.ones((n, 2)), "Sample weights must be 1D"),
    "zero": (np.zeros, "(every row has a sample_weight of zero|at least one non-zero)"),
}


@pytest.mark.parametrize("kind", BAD_WEIGHTS)
def test_bad_weights(estimator_class, data, kind):
    make, message = BAD_WEIGHTS[kind]
    with pytest.raises(ValueError, match=message):
        quick(estimator_class).fit(*data, sample_weight=make(len(data[0])))


def test_a_loss_that_diverges_names_the_cause(real_target):
    X, y = real_target
    model = quick(DropoutMLPRegressor, solver="sgd", momentum=0.0, learning_rate_init=1e20)
    message = r"DropoutMLPRegressor: training diverged.*learning_rate_init=1e\+20 is too large"
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    model = quick(DropoutMLPRegressor, activation="identity", solver="sgd")
    with pytest.raises(ValueError, match=r"training diverged.*X reaches .*StandardScaler"):
        model.fit(1e18 * X, y)


def test_batch_statistics_need_two_rows(two_classes):
    X, y = two_classes
    weight = np.zeros(len(X))
    weight[0] = 1
    model = quick(DropoutMLPClassifier, normalization="batch")
    with pytest.raises(ValueError, match=r"normalization='batch' needs at least 2 rows"):
        model.partial_fit(X, y, sample_weight=weight, classes=[0, 1])


def test_a_batch_size_beyond_the_rows_is_clipped_with_a_warning(estimator_class, data):
    message = "batch_size=500 is larger than the 120 training rows"
    for method in ("fit", "partial_fit"):
        fit = getattr(quick(estimator_class, batch_size=500), method)
        with pytest.warns(UserWarning, match=message) as records:
            fit(*data)
        assert [record.filename for record in records] == [__file__]


# ---- validation data ---------------------------------------------------------------------------


def test_validation_data_come_together(estimator_class, data):
    X, X_val, y, y_val = train_test_split(*data, random_state=0)
    model, name = quick(estimator_class, early_stopping=True), estimator_class.__name__
    with pytest.raises(ValueError, match=rf"{name}.fit: X_val was given, but y_val was not"):
        model.fit(X, y, X_val=X_val)
    with pytest.raises(ValueError, match=rf"{name}.fit: y_val was given, but X_val was not"):
        model.fit(X, y, y_val=y_val)
    with pytest.raises(ValueError, match=r"sample_weight_val was given, but X_val was not"):
        model.fit(X, y, sample_weight_val=y_val)
    with pytest.raises(ValueError, match=r"X_val and y_val are for early stopping"):
        model.set_params(early_stopping=False).fit(X, y, X_val=X_val, y_val=y_val)


def test_bad_validation_data(estimator_class, data):
    X, X_val, y, y_val = train_test_split(*data, random_state=0)
    model = quick(estimator_class, early_stopping=True)
    with pytest.raises(ValueError, match="X has 2 features"):
        model.fit(X, y, X_val=X_val[:, :2], y_val=y_val)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(X, y, X_val=X_val, y_val=y_val[:-1])
    with pytest.raises(ValueError, match="NaN"):
        model.fit(X, y, X_val=np.full_like(X_val, np.nan), y_val=y_val)


def test_unknown_labels_in_the_validation_data(two_classes):
    X, X_val, y, y_val = train_test_split(*two_classes, random_state=0)
    with pytest.raises(ValueError, match=r"y holds the labels \[5\], which are not among"):
        quick(DropoutMLPClassifier, early_stopping=True).fit(X, y, X_val=X_val, y_val=y_val * 5)


def test_too_few_rows_to_hold_some_out(two_classes):
    X, y = two_classes
    rows = [*np.flatnonzero(y == 0)[:5], *np.flatnonzero(y == 1)[:4]]
    model = quick(DropoutMLPClassifier, early_stopping=True)
    message = r"cannot hold out validation_fraction=0\.1 of 9 rows .*X_val, y_val.*=False"
    with pytest.raises(ValueError, match=message):
        model.fit(X[rows], y[rows])
    with pytest.raises(ValueError, match=r"least populated class.*or set early_stopping=False"):
        model.fit(X[:9], np.arange(9))
    assert not hasattr(model, "net_")


def test_too_few_rows_to_hold_some_out_of_a_regressor(real_target):
    X, y = real_target
    model = quick(DropoutMLPRegressor, early_stopping=True, validation_fraction=0.9)
    with pytest.raises(ValueError, match=r"train set will be empty.*or set early_stopping=False"):
        model.fit(X[:3], y[:3])


# ---- questions that have no answer -------------------------------------------------------------


def _uncertain(model, X):
    calls = [lambda: model.predict_uncertainty(X)]
    if isinstance(model, DropoutMLPClassifier):
        calls.append(lambda: model.predict_proba(X, return_std=True))
    else:
        calls.append(lambda: model.predict(X, return_std=True))
    return calls


@pytest.mark.parametrize(
    "options", [{"dropout": None}, {"dropout_rate": 0.0}, {"dropout": None, "n_draws": 0}]
)
def test_uncertainty_without_noise(estimator_class, data, options):
    model = quick(estimator_class, **options).fit(*data)
    for call in _uncertain(model, data[0]):
        with pytest.raises(ValueError, match=r"this model has no noise \(dropout=.*n_members > 1"):
            call()


def test_uncertainty_without_draws(estimator_class, data):
    model = quick(estimator_class).fit(*data).set_params(n_draws=0)
    for call in _uncertain(model, data[0]):
        with pytest.raises(ValueError, match=r"n_draws=0 is the deterministic.*set_params"):
            call()


@pytest.mark.parametrize("n_draws", [-1, 2.5, "many"])
def test_a_bad_number_of_draws_after_the_fit(estimator_class, data, n_draws):
    model = quick(estimator_class).fit(*data).set_params(n_draws=n_draws)
    for call in [lambda: model.predict(data[0]), *_uncertain(model, data[0])]:
        with pytest.raises(ValueError, match=rf"'n_draws' parameter of {estimator_class.__name__}"):
            call()


@pytest.mark.parametrize("measure", ["banana", None, 3])
def test_a_bad_measure(two_classes, measure):
    model = quick(DropoutMLPClassifier).fit(*two_classes)
    with pytest.raises(ValueError, match=r"'measure' parameter of .*among .*entropy"):
        model.predict_uncertainty(two_classes[0], measure=measure)


def test_entropy_is_not_for_regressors(real_target):
    X, y = real_target
    model = quick(DropoutMLPRegressor).fit(X, y)
    for ours, theirs in zip(
        model.predict_uncertainty(X, measure="variance"), model.predict_uncertainty(X), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match=r"'measure' parameter of DropoutMLPRegressor .*entropy"):
        model.predict_uncertainty(X, measure="entropy")


@pytest.mark.parametrize("n_samples", [0, -1, 1.5, "many"])
def test_a_bad_number_of_samples(estimator_class, data, n_samples):
    model = quick(estimator_class).fit(*data)
    method = "sample_proba" if estimator_class is DropoutMLPClassifier else "sample_y"
    with pytest.raises(ValueError, match=rf"'n_samples' parameter of .*{method}"):
        getattr(model, method)(data[0], n_samples=n_samples)


def test_what_is_not_fitted_says_so(estimator_class, data):
    model, X = estimator_class(), data[0]
    for call in [lambda: model.predict(X), lambda: model.log_prob(*data), *_uncertain(model, X)]:
        with pytest.raises(NotFittedError, match=estimator_class.__name__):
            call()


# ---- a failed refit ----------------------------------------------------------------------------


FAILURES = {
    "parameter": lambda model, X, y: model.set_params(alpha=-1).fit(X, y),
    "data": lambda model, X, y: model.fit(_with(X, np.inf), y),
    "width": lambda model, X, y: model.fit(X[:, :2], y[:-1]),
    "validation": lambda model, X, y: model.set_params(early_stopping=True).fit(
        X[:, :3], y, X_val=X, y_val=y
    ),
    "no weight": lambda model, X, y: model.fit(X[:, :3], y, np.zeros(len(X))),
    "divergence": lambda model, X, y: model.set_params(
        solver="sgd", momentum=0.0, learning_rate_init=1e30, activation="identity"
    ).fit(1e15 * X, y),
    "partial_fit": lambda model, X, y: model.partial_fit(_with(X, np.inf), y),
    "splits": lambda model, X, y: model.set_params(cv=[(range(60), range(60))]).fit(X, y),
    "groups": lambda model, X, y: model.fit(X, y, groups=np.full(len(X), np.nan)),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failed_refit_keeps_the_model(estimator_class, data, failure):
    X, y = data
    model = quick(estimator_class, cv=2, store_oof=True).fit(X, y)
    parameters = model.get_params()
    before, expected = dict(vars(model)), model.predict_uncertainty(X)
    with pytest.raises(ValueError, match=r"\w+"):
        FAILURES[failure](model, X, y)
    model.set_params(**parameters)
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is value for name, value in before.items())
    for ours, theirs in zip(model.predict_uncertainty(X), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
