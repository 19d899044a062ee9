"""What a weight means in a stream."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import SGDClassifier

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from tests.reference import ESTIMATORS, quick, target

SOLVERS = ["adam", "sgd"]


@pytest.fixture(params=ESTIMATORS)
def estimator_class(request):
    return request.param


@pytest.fixture
def data(two_classes, estimator_class):
    X, y = two_classes
    return X, target(estimator_class, y)


def _everything(model):
    """All that training moves, as one vector."""
    net = model.net_
    (memory,) = net.optimizer_.state.values()
    parts = [net.module_.state_dict(), net.criterion_.state_dict(), memory]
    tensors = [v for part in parts for v in part.values() if v.is_floating_point()]
    return torch.cat([values.detach().flatten().double() for values in tensors])


def _after(estimator_class, data, *weights, **options):
    """A model that saw all rows once, then the first 40 with each of these weights."""
    X, y = data
    model = quick(estimator_class, **options).partial_fit(X, y)
    for weight in weights:
        model.partial_fit(X[:40], y[:40], None if weight is None else np.full(40, weight))
    return model


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("normalization", [None, "batch"])
def test_a_weight_of_three_is_three_calls(estimator_class, data, solver, normalization):
    options = {"solver": solver, "normalization": normalization}
    heavy = _after(estimator_class, data, 3.0, **options)
    calls = _after(estimator_class, data, None, None, None, **options)
    assert torch.equal(_everything(heavy), _everything(calls))
    assert heavy.n_iter_ == calls.n_iter_ == 4
    assert heavy.t_ == calls.t_


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("weight", [0.25, 1e-6])
def test_a_weight_below_one_is_that_share_of_a_call(estimator_class, data, solver, weight):
    start, light, call = (
        _everything(_after(estimator_class, data, *weights, solver=solver))
        for weights in ((), (weight,), (None,))
    )
    expected = start + weight * (call - start)
    torch.testing.assert_close(light, expected, rtol=1e-6, atol=1e-6)
    assert (light - start).norm() <= 1.01 * weight * (call - start).norm() + 1e-5


def test_the_first_call_can_be_light(estimator_class, data):
    X, y = data
    model = quick(estimator_class).partial_fit(X, y, np.full(len(X), 1e-30))
    expected = quick(estimator_class).partial_fit(X, y)
    again = model.partial_fit(X, y)
    assert _everything(again).isfinite().all()
    # A step later in the same stream: with six seeds 1.06 to 1.08 of it.
    assert again.loss_ == pytest.approx(expected.loss_, rel=0.3)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_ones_are_no_weights_bit_for_bit(estimator_class, data, method):
    X, y = data
    plain = getattr(quick(estimator_class), method)(X, y)
    ones = getattr(quick(estimator_class), method)(X, y, np.ones(len(X)))
    pairs = (model.net_.module_.parameters() for model in (plain, ones))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*pairs, strict=True))


def test_a_weight_of_zero_leaves_the_row_out_of_a_heavy_batch(estimator_class, data):
    X, y = data
    weight = np.where(np.arange(len(X)) % 3, 2.0, 0.0)
    used = weight > 0
    zero = quick(estimator_class).partial_fit(X, y, weight)
    without = quick(estimator_class).partial_fit(X[used], y[used], weight[used])
    assert torch.equal(_everything(zero), _everything(without))


def _moves(model, X, y, weight):
    """How far batches of the second class move the mean probability of that class."""
    model.partial_fit(X, y, classes=[0, 1])
    before = model.predict_proba(X)[:, 1].mean()
    for _ in range(5):
        model.partial_fit(X[y == 1], y[y == 1], sample_weight=np.full((y == 1).sum(), weight))
    return model.predict_proba(X)[:, 1].mean() - before


@pytest.mark.parametrize("solver", SOLVERS)
def test_weights_in_a_stream_of_one_class_count_as_in_sgdclassifier(two_classes, solver):
    X, y = two_classes
    options = {"loss": "log_loss", "learning_rate": "constant", "eta0": 1e-3, "random_state": 0}
    for make in (
        lambda: SGDClassifier(**options),
        lambda: quick(DropoutMLPClassifier, solver=solver, hidden_layer_sizes=(50,)),
    ):
        light, one, heavy = (_moves(make(), X, y, weight) for weight in (1e-6, 1.0, 20.0))
        assert 0 < one < heavy
        assert heavy > 4 * one
        assert abs(light) < 0.01 * one


def test_class_weight_counts_in_batches_of_one_class(two_classes):
    X, y = two_classes
    first, ones = y == 0, y == 1
    weighted = quick(DropoutMLPClassifier, class_weight={1: 3.0}).partial_fit(X, y)
    plain = quick(DropoutMLPClassifier).partial_fit(X, y, np.where(y == 1, 3.0, 1.0))
    for rows, weight in ((first, 1.0), (ones, 3.0)):
        weighted.partial_fit(X[rows], y[rows])
        plain.partial_fit(X[rows], y[rows], np.full(rows.sum(), weight))
    assert torch.equal(_everything(weighted), _everything(plain))


def test_balanced_classes_are_refused_in_a_stream(two_classes):
    with pytest.raises(ValueError, match=r"partial_fit: class_weight='balanced'.*how frequent"):
        quick(DropoutMLPClassifier, class_weight="balanced").partial_fit(*two_classes)


def test_other_classes_in_a_later_call_are_an_error(two_classes):
    X, y = two_classes
    model = quick(DropoutMLPClassifier).partial_fit(X, y, classes=[1, 0])
    before = _everything(model.partial_fit(X, y, classes=[0, 1]))
    with pytest.raises(ValueError, match=r"classes must be.*first call, \[0, 1\].*\[0, 1, 2\]"):
        model.partial_fit(X, y, classes=[0, 1, 2])
    assert torch.equal(_everything(model), before)


def test_survey_weights_warn_and_count_as_a_hundred_calls(two_classes):
    X, y = two_classes
    model = quick(DropoutMLPClassifier).partial_fit(X[:20], y[:20], np.full(20, 100.0))
    with pytest.warns(UserWarning, match="mean of 5000.*100 are made"):
        more = quick(DropoutMLPClassifier).partial_fit(X[:20], y[:20], np.full(20, 5000.0))
    assert torch.equal(_everything(model), _everything(more))


def test_a_regressors_noise_hardly_moves_with_light_rows(real_target):
    X, y = real_target
    model = DropoutMLPRegressor(random_state=0).partial_fit(X, y)
    before = model.noise_std_
    model.partial_fit(X, y + 1e4, np.full(len(X), 1e-9))
    assert model.noise_std_ == pytest.approx(before, rel=1e-3)
