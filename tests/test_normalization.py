import numpy as np
import pytest
import torch
from torch import nn

from skdropout import DropoutMLPClassifier
from skdropout._networks.normalization import BatchNorm, LayerNorm
from skdropout.families import PlainLinear
from tests.reference import quick, raw_outputs, sigmoid, twin


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


def test_a_last_batch_of_one_row_is_left_out_of_batch_statistics(two_classes):
    X, y = two_classes
    model = quick(DropoutMLPClassifier, normalization="batch", batch_size=7).fit(X[:50], y[:50])
    assert np.isfinite(model.predict_proba(X)).all()
