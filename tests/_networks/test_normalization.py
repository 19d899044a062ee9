import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification
from skorch.callbacks import Callback
from torch import nn

from skdropout import DropoutMLPClassifier
from skdropout._networks.normalization import BatchNorm, LayerNorm
from skdropout.families import PlainLinear
from tests.reference import ESTIMATORS, quick, raw_outputs, sigmoid, target, twin


def _randomized(norm):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        norm.scale.uniform_(0.5, 2, generator=generator)
        norm.shift.uniform_(-1, 1, generator=generator)
    return norm


def _torch_norms(norm, kind):
    modules = []
    for scale, shift in zip(norm.scale, norm.shift, strict=True):
        module = kind(norm.scale.shape[1])
        module.load_state_dict(
            {**module.state_dict(), "weight": scale.detach(), "bias": shift.detach()}
        )
        modules.append(module)
    return modules


def test_batch_norm_trains_as_torchs_for_each_member():
    norm = _randomized(BatchNorm(2, 4))
    references = _torch_norms(norm, nn.BatchNorm1d)
    for step in range(3):
        x = torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(step)) * 3 + 1
        out = norm(x)
        for member, reference in enumerate(references):
            torch.testing.assert_close(out[member], reference(x[member]))
    for member, reference in enumerate(references):
        torch.testing.assert_close(norm.mean[member], reference.running_mean)
        torch.testing.assert_close(norm.variance[member], reference.running_var)


def test_batch_norm_folds_into_the_map_before_it():
    norm = _randomized(BatchNorm(2, 4))
    norm(torch.randn(2, 30, 4, generator=torch.Generator().manual_seed(0)) * 3 + 1)
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(2, 1, 3, 4, generator=generator)
    bias = torch.randn(2, 1, 4, generator=generator)
    folded, rest = norm.plain(PlainLinear(weight, bias))
    assert rest is None
    x = torch.randn(8, 3, generator=generator)
    for member, reference in enumerate(_torch_norms(norm, nn.BatchNorm1d)):
        reference.running_mean.copy_(norm.mean[member])
        reference.running_var.copy_(norm.variance[member])
        expected = reference.eval()(x @ weight[member, 0] + bias[member, 0])
        torch.testing.assert_close(x @ folded.weight[member, 0] + folded.bias[member, 0], expected)


def test_layer_norm_is_torchs_for_each_member():
    norm = _randomized(LayerNorm(2, 4))
    x = torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(0)) * 3 + 1
    out = norm(x)
    for member, reference in enumerate(_torch_norms(norm, nn.LayerNorm)):
        torch.testing.assert_close(out[member], reference(x[member]))


@pytest.mark.parametrize("normalization", ["batch", "layer"])
@pytest.mark.parametrize("n_rows", [3, 120])
@pytest.mark.parametrize("hidden", [(8,), (8, 6, 5)])
def test_a_fitted_network_is_torchs_in_eval_mode(two_classes, normalization, n_rows, hidden):
    X, y = two_classes
    model = quick(DropoutMLPClassifier, hidden_layer_sizes=hidden, normalization=normalization)
    model.fit(X, y).set_params(n_draws=0)
    expected = sigmoid(raw_outputs(twin(model), X[:n_rows]))[:, 0]
    # Folding multiplies the float32 weights, which rounds them once more.
    np.testing.assert_allclose(model.predict_proba(X[:n_rows])[:, 1], expected, atol=1e-6)


def test_prediction_leaves_the_statistics_alone(two_classes):
    X, y = two_classes
    model = quick(DropoutMLPClassifier, normalization="batch").fit(X, y)
    (norm,) = model.net_.module_.norms
    before = norm.mean.clone(), norm.variance.clone()
    model.predict_proba(X * 100)
    assert torch.equal(norm.mean, before[0])
    assert torch.equal(norm.variance, before[1])


# ---- numbers of rows ---------------------------------------------------------------------------


class BatchSizes(Callback):
    """Keeps the sizes of the batches, since `net_` holds a copy of it."""

    def on_train_begin(self, net, **kwargs):
        self.sizes_ = []

    def on_batch_end(self, net, batch=None, **kwargs):
        self.sizes_.append(batch[1].shape[1])


def _sizes(model):
    """Of the batches of the first epoch, for each row once."""
    sizes = dict(model.net_.callbacks_)["BatchSizes"].sizes_
    return sizes[: len(sizes) // model.n_iter_]


# One hidden layer of 1,400 units is a block for each batch, one of 8 many batches for a block.
@pytest.mark.parametrize(
    ("widths", "batch_size", "n_rows", "expected"),
    [
        ((1400,), "auto", 201, [201]),
        ((1400,), 20, 41, [20, 21]),
        ((8,), 7, 50, [7] * 6 + [8]),
        ((8,), 7, 51, [7] * 7 + [2]),
        ((8,), 2, 5, [2, 3]),
        ((8,), 50, 51, [51]),
    ],
)
@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_a_row_that_would_be_alone_joins_the_batch_before_it(
    estimator_class, widths, batch_size, n_rows, expected
):
    X, y = make_classification(n_rows, 5, random_state=0)
    model = quick(estimator_class, hidden_layer_sizes=widths, batch_size=batch_size)
    model.set_params(normalization="batch", callbacks=[BatchSizes()], max_iter=20)
    model.fit(X, target(estimator_class, y))
    if batch_size != "auto" or estimator_class is DropoutMLPClassifier:
        assert _sizes(model) == expected
    assert min(_sizes(model)) >= 2
    assert sum(_sizes(model)) == n_rows


@pytest.mark.parametrize("dropout", [None, "bernoulli", "variational"])
@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_a_batch_and_a_row_are_one_batch(two_classes, estimator_class, dropout):
    X, y = two_classes
    y = target(estimator_class, y)
    models = [
        quick(estimator_class, normalization="batch", dropout=dropout, batch_size=size)
        for size in (50, 51)
    ]
    one, other = (model.fit(X[:51], y[:51]).net_.module_.state_dict() for model in models)
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("n_rows", [3201, 4001])
def test_a_row_that_would_be_alone_in_a_block(n_rows):
    """With six seeds the score was 0.92 to 0.96."""
    X, y = make_classification(n_rows, 5, random_state=0)
    model = quick(DropoutMLPClassifier, hidden_layer_sizes=(100,), normalization="batch")
    model.fit(X, y)
    assert model.score(X, y) > 0.8


@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_batches_of_one_row_become_batches_of_two(two_classes, estimator_class):
    X, y = two_classes
    y = target(estimator_class, y)
    model = quick(estimator_class, normalization="batch", batch_size=1, callbacks=[BatchSizes()])
    with pytest.warns(UserWarning, match=r"batch_size=1 is raised to 2: normalization='batch'"):
        model.fit(X[:9], y[:9])
    assert _sizes(model) == [2, 2, 2, 3]
    expected = quick(estimator_class, normalization="batch", batch_size=2).fit(X[:9], y[:9])
    np.testing.assert_array_equal(model.predict(X), expected.predict(X))


@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_one_row_is_no_batch_for_a_later_partial_fit(two_classes, estimator_class):
    X, y = two_classes
    y = target(estimator_class, y)
    model = quick(estimator_class, normalization="batch").fit(X, y)
    before, expected = dict(vars(model)), model.predict(X)
    with pytest.raises(ValueError, match=r"normalization='batch' needs at least 2 rows.* = 1"):
        model.partial_fit(X[:1], y[:1])
    assert vars(model) == before
    np.testing.assert_array_equal(model.predict(X), expected)
    assert model.partial_fit(X[:2], y[:2]).n_iter_ == 8
