"""The same model on a CPU and on a GPU. Where there is no GPU these tests cannot run.

`pytest --gpu` (see `conftest.py`) lets all other tests train and predict on it too.
"""

import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from skdropout.families import FAMILIES
from skdropout.model_selection import BatchedGridSearchCV
from tests.reference import quick, target

if not torch.cuda.is_available():
    pytest.skip("there is no GPU", allow_module_level=True)

ESTIMATORS = [DropoutMLPClassifier, DropoutMLPRegressor]


def _fit(estimator_class, X, y, device="cuda", **parameters):
    return quick(estimator_class, device=device, **parameters).fit(X, target(estimator_class, y))


def _where(model):
    return {values.device.type for values in model.net_.module_.parameters()}


def _on_cpu(model):
    """The same weights on the CPU. Predictions are computed where the weights are."""
    twin = copy.deepcopy(model)
    twin.net_.module_.cpu()
    twin.net_.criterion_.cpu()
    return twin


def _predictions(model, X, y):
    yield from model.predict_uncertainty(X)
    yield model.log_prob(X, y)
    if isinstance(model, DropoutMLPRegressor):
        yield from model.predict(X, return_std=True)
        yield model.predict_quantiles(X, [0.1, 0.5])
        yield model.sample_y(X, 3)
    else:
        yield from model.predict_proba(X, return_std=True)
        yield from model.predict_uncertainty(X, measure="entropy")
        yield model.sample_proba(X, 3, random_state=0)


@pytest.mark.parametrize("inference", ["draws", "moments"])
@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("estimator_class", ESTIMATORS)
@pytest.mark.parametrize("family", FAMILIES)
def test_predictions_are_those_of_the_cpu(
    three_classes, family, estimator_class, n_members, inference
):
    X, y = three_classes
    model = _fit(
        estimator_class, X, y, dropout=family, n_members=n_members, hidden_layer_sizes=(20, 15)
    ).set_params(inference=inference)
    assert _where(model) == {"cuda"}
    twin = _on_cpu(model)
    assert _where(twin) == {"cpu"}
    y = target(estimator_class, y)
    for there, here in zip(_predictions(model, X, y), _predictions(twin, X, y), strict=True):
        # Draws of weights are computed in float32.
        np.testing.assert_allclose(there, here, rtol=1e-5, atol=1e-6 * np.abs(here).max())


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_training_without_noise_is_that_of_the_cpu(
    two_classes, estimator_class, solver, normalization
):
    """Noise and the order of the rows come from another generator there."""
    parameters = {
        "dropout": None,
        "shuffle": False,
        "n_draws": 0,
        "solver": solver,
        "normalization": normalization,
        "alpha": 0.1,
        "l1_ratio": 0.5,
    }
    there, here = (
        _fit(estimator_class, *two_classes, device=device, **parameters)
        for device in ("cuda", "cpu")
    )
    np.testing.assert_allclose(there.loss_curve_, here.loss_curve_, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "parameters",
    [
        {"noise": "heteroscedastic"},
        {"noise": "heteroscedastic", "calibrate": True},
        {"loss": "poisson"},
        {"early_stopping": True},
        {"n_draws": "auto"},
        {"activation": "tanh"},
        {"activation": "logistic"},
        {"hidden_layer_sizes": ()},
        {"input_dropout_rate": 0.2},
    ],
    ids=str,
)
def test_other_ways_to_fit(two_classes, parameters):
    X, y = two_classes
    model = quick(DropoutMLPRegressor, device="cuda", dropout="gaussian", **parameters).fit(X, y)
    if model.hidden_layer_sizes:
        assert (model.predict_uncertainty(X).epistemic > 0).any()
        model.set_params(inference="moments")
        assert (model.predict_uncertainty(X).epistemic > 0).any()
    assert np.isfinite(model.log_prob(X, y)).all()


@pytest.mark.parametrize("estimator_class", ESTIMATORS)
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_training_goes_on_after_a_copy(two_classes, estimator_class, copied):
    X, y = two_classes
    model = quick(estimator_class, device="cuda")
    model.partial_fit(X, target(estimator_class, y), **_classes(estimator_class))
    other = copied(model)
    assert _where(other) == {"cuda"}
    for each in (model, other):
        each.partial_fit(X, target(estimator_class, y))
    np.testing.assert_array_equal(model.predict(X), other.predict(X))


def _classes(estimator_class):
    return {"classes": [0, 1]} if estimator_class is DropoutMLPClassifier else {}


def test_a_model_goes_to_a_machine_without_a_gpu(two_classes, tmp_path):
    X, y = two_classes
    model = _fit(DropoutMLPClassifier, X, y)
    (tmp_path / "model").write_bytes(pickle.dumps(model))
    np.save(tmp_path / "X.npy", X)
    code = (
        "import pickle, numpy as np; from pathlib import Path\n"
        f"folder = Path({str(tmp_path)!r}); X = np.load(folder / 'X.npy')\n"
        "model = pickle.loads((folder / 'model').read_bytes())\n"
        "np.save(folder / 'p.npy', model.predict_proba(X))\n"
        "model.partial_fit(X, np.arange(len(X)) % 2)\n"
    )
    # skorch says that the model is loaded on the CPU instead: a `DeviceWarning`.
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    )
    expected = model.predict_proba(X)
    np.testing.assert_allclose(np.load(tmp_path / "p.npy"), expected, rtol=1e-5)


def test_warm_start_moves_with_the_device(two_classes):
    X, y = two_classes
    model = _fit(DropoutMLPClassifier, X, y, warm_start=True)
    for device in ("cpu", "cuda"):
        model.set_params(device=device).fit(X, y)
        assert _where(model) == {device}


@pytest.mark.usefixtures("in_float64")
def test_a_batched_search(two_classes):
    X, y = two_classes
    grid = {"alpha": [1e-4, 1.0], "learning_rate_init": [1e-3, 1e-2]}
    model = quick(DropoutMLPClassifier, dropout=None, n_draws=0, shuffle=False)
    there, here = (
        BatchedGridSearchCV(
            model.set_params(device=device), grid, cv=3, scoring="neg_log_loss"
        ).fit(X, y)
        for device in ("cuda", "cpu")
    )
    scores = [search.cv_results_["mean_test_score"] for search in (there, here)]
    np.testing.assert_allclose(*scores, rtol=1e-5)
    assert _where(there.best_estimator_) == {"cuda"}


def test_a_sparse_model_stays_there(two_classes):
    X, y = two_classes
    model = _fit(DropoutMLPClassifier, X, y, dropout="variational")
    sparse = model.sparsify()
    assert _where(sparse) == {"cuda"}
    np.testing.assert_allclose(sparse.predict_proba(X), model.predict_proba(X), rtol=1e-5)


def test_nothing_is_touched_before_it_is_needed():
    code = (
        "import torch, skdropout\n"
        "skdropout.DropoutMLPClassifier(device='cuda')\n"
        "skdropout.DropoutMLPRegressor()\n"
        "assert not torch.cuda.is_initialized()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_generators_of_the_gpu_are_as_before(two_classes):
    before = torch.cuda.get_rng_state()
    model = _fit(DropoutMLPClassifier, *two_classes)
    model.predict_uncertainty(two_classes[0])
    assert (torch.cuda.get_rng_state() == before).all()


def test_auto_takes_the_gpu_for_large_stacks_only(two_classes, request):
    small = "cuda" if request.config.getoption("--gpu") else "cpu"
    for width, device in ((8, small), (2000, "cuda")):
        model = _fit(
            DropoutMLPClassifier, *two_classes, device="auto", hidden_layer_sizes=(width, width)
        )
        assert _where(model) == {device}
