"""What both estimators promise alike."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from skdropout.families import Gaussian
from tests.randomness import Z, standard_errors_apart
from tests.reference import (
    CROSS_FITTED,
    DROPOUTS,
    ESTIMATORS,
    NORMALIZATIONS,
    ONE_NETWORK,
    quick,
    target,
)

EXPECTED_FAILURES = {
    f"check_sample_weight_equivalence_on_{kind}_data": (
        "minibatches of weighted and of repeated rows differ, so the exact equality does not "
        "hold; test_repeated_rows_agree_with_integer_weights holds it in distribution, and "
        "weights of zero are exact"
    )
    for kind in ("dense", "sparse")
}

# Every family, and each normalization with a family of another kind. What normalization does to
# the training of each is in test_jobs.
NETWORKS = [
    *((dropout, None) for dropout in DROPOUTS),
    ("bernoulli", "batch"),
    ("concrete", "layer"),
]
OTHERS = [
    {"input_encoding": None},
    {"input_encoding": "scale"},
    {"input_encoding": "piecewise"},
    {"input_encoding": "cumulative"},
]
# Trained far enough for the scores that the checks ask for, and not so far that probabilities are
# zero in float32.
STEPS = {
    DropoutMLPClassifier: {"learning_rate_init": 0.005, "max_iter": 30},
    DropoutMLPRegressor: {"learning_rate_init": 0.02, "max_iter": 30},
}
# Folds and calibration see neither family nor normalization: the default family has them.
SHORT = {estimator_class: {**ONE_NETWORK, **steps} for estimator_class, steps in STEPS.items()}


@parametrize_with_checks(
    [
        *(
            estimator_class(**{**steps, **how})
            for estimator_class, steps in STEPS.items()
            for how in ({}, {"cv": 2, "store_oof": True, "learning_rate_init": 0.02})
        ),
        *(
            estimator_class(dropout=dropout, normalization=normalization, **SHORT[estimator_class])
            for estimator_class, (dropout, normalization) in itertools.product(ESTIMATORS, NETWORKS)
            if (dropout, normalization) != ("bernoulli", None)
        ),
        *(
            estimator_class(**{**SHORT[estimator_class], **options})
            for estimator_class, options in itertools.product(ESTIMATORS, OTHERS)
        ),
    ],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_no_tag_excuses_anything(estimator_class):
    tags = get_tags(estimator_class())
    assert tags.non_deterministic is False
    assert tags.no_validation is False
    assert not getattr(tags, "_skip_test", False)
    assert not (tags.classifier_tags or tags.regressor_tags).poor_score


# ---- sample weights --------------------------------------------------------------------------


def _data(estimator_class, two_classes):
    X, y = two_classes
    return X, target(estimator_class, y)


def _outputs(model, X):
    u = model.predict_uncertainty(X)
    return np.column_stack([u.mean, u.total, u.epistemic, u.aleatoric])


@pytest.fixture(params=ESTIMATORS)
def estimator_class(request):
    return request.param


@pytest.fixture
def data(estimator_class, two_classes):
    return _data(estimator_class, two_classes)


@pytest.mark.parametrize(
    "options", [*({"normalization": name} for name in NORMALIZATIONS), CROSS_FITTED], ids=str
)
@pytest.mark.parametrize("weight", [1, 2, 3.7])
def test_equal_weights_are_none_bit_for_bit(estimator_class, data, options, weight):
    X, y = data
    model = quick(estimator_class, batch_size=32, **options)
    none = _outputs(clone(model).fit(X, y), X)
    ones = _outputs(clone(model).fit(X, y, sample_weight=np.full(len(X), weight)), X)
    np.testing.assert_array_equal(ones, none)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("how", [{}, {"early_stopping": True}, CROSS_FITTED], ids=str)
@pytest.mark.parametrize("others", ["equal", "different"])
def test_weight_zero_leaves_a_row_out_bit_for_bit(
    estimator_class, data, normalization, how, others
):
    X, y = data
    rng = np.random.default_rng(0)
    weight = np.ones(len(X)) if others == "equal" else rng.uniform(0.5, 2, len(X))
    used = rng.random(len(X)) < 0.7
    model = quick(
        estimator_class,
        normalization=normalization,
        batch_size=32,
        **how,
    )
    zero = _outputs(clone(model).fit(X, y, sample_weight=np.where(used, weight, 0)), X)
    out = _outputs(clone(model).fit(X[used], y[used], sample_weight=weight[used]), X)
    np.testing.assert_array_equal(zero, out)


def test_repeated_rows_agree_with_integer_weights(estimator_class, data):
    """Statistical (see `tests.randomness`): means over 25 seeds, in each of 10 rows."""
    X, y = (values[:15] for values in data)
    # Every row twice, with contradicting targets, of which the weights believe the second.
    X, y = np.vstack([X, X]), np.concatenate([y, 1 - y])
    weight = np.repeat([1, 5], 15)
    # Full batches, and no penalty: it is divided by the rows of the batch.
    options = {"alpha": 0.0, "learning_rate_init": 0.05, "n_iter_no_change": 15}

    def predictions(seeds, X_fit, y_fit, **kwargs):
        fits = []
        for seed in seeds:
            model = quick(estimator_class, batch_size=len(X_fit), **options)
            model.set_params(random_state=seed).fit(X_fit, y_fit, **kwargs)
            fits.append(model.predict_uncertainty(X[:10]).mean.reshape(10, -1)[:, -1])
        return np.stack(fits)

    weighted = predictions(range(25), X, y, sample_weight=weight)
    repeated = predictions(range(25, 50), X.repeat(weight, 0), y.repeat(weight))
    unweighted = predictions(range(50, 75), X, y)
    assert standard_errors_apart(weighted, repeated).max() < Z
    # The test can tell: without the weights the predictions are others.
    assert standard_errors_apart(weighted, unweighted).max() > Z


# ---- a fitted model is a fixed set of functions ------------------------------------------------


@pytest.fixture(params=[(8,), (8, 7)], ids=["one-layer", "two-layers"])
def fitted(request, estimator_class, data):
    model = quick(
        estimator_class,
        hidden_layer_sizes=request.param,
        dropout_rate=0.3,
        input_dropout_rate=0.1,
        **{**CROSS_FITTED, "cv": 2},
    )
    return model.fit(*data)


@pytest.fixture
def inputs(data):
    return np.random.default_rng(0).standard_normal((300, data[0].shape[1]))


def _close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_a_row_is_the_same_alone(fitted, inputs):
    together = _outputs(fitted, inputs)
    for row in range(0, 300, 50):
        _close(_outputs(fitted, inputs[row : row + 1])[0], together[row])


def test_a_row_is_the_same_in_any_order(fitted, inputs):
    order = np.random.default_rng(1).permutation(300)
    _close(_outputs(fitted, inputs[order]), _outputs(fitted, inputs)[order])


@pytest.mark.parametrize("size", [7, 96, 97, 130])
def test_a_row_is_the_same_in_any_batch(fitted, inputs, size):
    batches = [_outputs(fitted, inputs[i : i + size]) for i in range(0, 300, size)]
    _close(np.concatenate(batches), _outputs(fitted, inputs))


def test_a_row_is_the_same_beside_large_ones(fitted, inputs):
    beside = np.vstack([inputs[:3], 1e6 * inputs[3:]])
    _close(_outputs(fitted, beside)[:3], _outputs(fitted, inputs)[:3])


def test_the_second_call_is_the_first(fitted, inputs):
    np.testing.assert_array_equal(_outputs(fitted, inputs), _outputs(fitted, inputs))


@pytest.mark.parametrize("n_rows", [20, 300])
def test_eight_threads_at_once(fitted, inputs, n_rows):
    expected = _outputs(fitted, inputs[:n_rows])
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: _outputs(fitted, inputs[:n_rows]), range(24)))
    for result in results:
        np.testing.assert_array_equal(result, expected)


def test_the_same_random_state_is_the_same_model(estimator_class, data):
    X, y = data
    first, second = (_outputs(quick(estimator_class).fit(X, y), X) for _ in range(2))
    other = _outputs(quick(estimator_class, random_state=1).fit(X, y), X)
    np.testing.assert_array_equal(first, second)
    assert not np.allclose(first, other)


def test_random_state_none_differs(estimator_class, data):
    X, y = data
    models = [quick(estimator_class, random_state=None).fit(X, y) for _ in range(2)]
    assert not np.allclose(*(_outputs(model, X) for model in models))
    np.testing.assert_array_equal(_outputs(models[0], X), _outputs(models[0], X))


def test_float32_is_about_float64(fitted, inputs):
    double = _outputs(fitted, inputs.astype(np.float32).astype(np.float64))
    single = _outputs(fitted, inputs.astype(np.float32))
    np.testing.assert_allclose(single, double, rtol=1e-4, atol=1e-5 * np.abs(double).max())


def test_n_draws_is_read_at_prediction(estimator_class, data):
    X, y = data
    model = quick(estimator_class, n_draws=100).fit(X, y)
    changed = model.set_params(n_draws=7)
    refitted = quick(estimator_class, n_draws=7).fit(X, y)
    np.testing.assert_array_equal(_outputs(changed, X), _outputs(refitted, X))


# ---- kinds of input ----------------------------------------------------------------------------


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_data_frames(estimator_class, data, frame):
    X, y = data
    names = [f"column {k}" for k in range(X.shape[1])]
    table = frame(dict(zip(names, X.T, strict=True)))
    model = quick(estimator_class).fit(table, y)
    assert model.feature_names_in_.tolist() == names
    np.testing.assert_array_equal(
        _outputs(model, table), _outputs(quick(estimator_class).fit(X, y), X)
    )
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(table[names[::-1]])


@pytest.mark.parametrize("series", [pd.Series, pl.Series, list, tuple])
def test_other_containers(estimator_class, data, series):
    X, y = data
    model = quick(estimator_class).fit(X.tolist(), series(y.tolist()))
    np.testing.assert_array_equal(
        _outputs(model, X.tolist()), _outputs(quick(estimator_class).fit(X, y), X)
    )


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda X: np.repeat(X, 2, 0)[::2]])
def test_memory_layouts(estimator_class, data, layout):
    X, y = data
    model = quick(estimator_class).fit(layout(X), y)
    np.testing.assert_array_equal(
        _outputs(model, layout(X)), _outputs(quick(estimator_class).fit(X, y), X)
    )


def test_read_only_arrays_are_not_written_to(estimator_class, data):
    X, y = (values.copy() for values in data)
    X.flags.writeable = y.flags.writeable = False
    _outputs(quick(estimator_class).fit(X, y), X)


def test_integers_and_booleans_as_inputs(estimator_class, data):
    X, y = data
    model = quick(estimator_class).fit((X > 0).astype(int), y)
    np.testing.assert_array_equal(
        _outputs(model, (X > 0).astype(int)), _outputs(model, (X > 0).astype(float))
    )


@pytest.mark.parametrize("index", [None, list("abcde")])
def test_uncertainty_as_a_frame(estimator_class, data, index):
    X, y = data
    model = quick(estimator_class).fit(X, y)
    table = pd.DataFrame(X[:5], index=index)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "feature_names_in_", table.columns, raising=False)
        patch.delattr(model, "feature_names_in_")
        frame = model.predict_uncertainty(table, as_frame=True)
    assert frame.index.equals(table.index)
    u = model.predict_uncertainty(X[:5])
    np.testing.assert_array_equal(frame[["total", "epistemic", "aleatoric"]], np.stack(u[1:], 1))
    means = frame[[name for name in frame if str(name).startswith("mean")]]
    np.testing.assert_array_equal(means.to_numpy(), u.mean.reshape(5, -1))


# ---- going on ----------------------------------------------------------------------------------


def test_partial_fit_is_fit_epoch_by_epoch(estimator_class, data):
    X, y = data
    whole = quick(estimator_class).fit(X, y)
    part = quick(estimator_class)
    for _ in range(whole.n_iter_):
        part.partial_fit(X, y)
    np.testing.assert_allclose(_outputs(part, X), _outputs(whole, X), rtol=1e-5)
    assert part.n_iter_ == whole.n_iter_
    assert part.loss_curve_ == pytest.approx(whole.loss_curve_)


def test_warm_start_goes_on(estimator_class, data):
    X, y = data
    cold = quick(estimator_class, learning_rate_init=0.01).fit(X, y)
    warm = quick(estimator_class, learning_rate_init=0.01, warm_start=True).fit(X, y)
    np.testing.assert_array_equal(_outputs(cold, X), _outputs(warm, X))
    np.testing.assert_array_equal(_outputs(cold.fit(X, y), X), _outputs(cold, X))
    first = warm.loss_curve_
    warm.fit(X, y)
    assert np.mean(warm.loss_curve_) < np.mean(first) - 0.02


def test_fit_forgets_the_fit_before(estimator_class, data):
    X, y = data
    model = quick(estimator_class).fit(X * 3 + 1, y)
    fresh = quick(estimator_class).fit(X, y)
    np.testing.assert_array_equal(_outputs(model.fit(X, y), X), _outputs(fresh, X))


@pytest.mark.parametrize("n_draws", [0, 100])
def test_without_hidden_layers_it_is_linear(estimator_class, data, n_draws):
    X, y = data
    model = quick(estimator_class, hidden_layer_sizes=(), input_dropout_rate=0.2, n_draws=n_draws)
    model.fit(X, y)
    assert model.n_layers_ == 2
    assert np.isfinite(model.log_prob(X, y)).all()


def test_a_rate_for_each_layer(estimator_class, data):
    X, y = data
    model = quick(estimator_class, hidden_layer_sizes=(6, 5), dropout_rate=[0.0, 0.4])
    assert model.fit(X, y).dropout_rates_.tolist() == [0.4]
    model.set_params(dropout_rate=np.array([0.1, 0.4]), input_dropout_rate=0.2)
    assert model.fit(X, y).dropout_rates_.tolist() == [0.2, 0.1, 0.4]


def test_a_family_object_is_its_name(estimator_class, data):
    X, y = data
    by_name = quick(estimator_class, dropout="gaussian").fit(X, y)
    by_object = quick(estimator_class, dropout=Gaussian()).fit(X, y)
    np.testing.assert_array_equal(_outputs(by_name, X), _outputs(by_object, X))


def test_an_ensemble_without_dropout_knows_what_it_does_not_know(estimator_class, data):
    X, y = data
    model = quick(estimator_class, dropout=None, n_members=5).fit(X, y)
    assert (model.predict_uncertainty(X).epistemic > 0).all()


def test_the_constructor_sets_attributes_and_nothing_else():
    for estimator_class in (DropoutMLPClassifier, DropoutMLPRegressor):
        model = estimator_class((3,), "tanh")
        assert vars(model) == {**estimator_class().get_params(), **model.get_params()}
        assert (model.hidden_layer_sizes, model.activation) == ((3,), "tanh")
