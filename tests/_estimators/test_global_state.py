"""Nothing global changes, and no mode of the caller reaches the model."""

import random
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from skdropout._training.run import TrainingRun
from tests.reference import CROSS_FITTED, ESTIMATORS, NETWORKS, NORMALIZATIONS, quick, target


def _state():
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    return {
        "torch generator": torch.get_rng_state().tolist(),
        "numpy generator": (name, keys.tolist(), rest),
        "python generator": random.getstate(),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
        "grad mode": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "numpy errors": np.geterr(),
    }


@contextmanager
def unchanged():
    before = _state()
    try:
        yield
    finally:
        assert _state() == before


@pytest.fixture(params=ESTIMATORS)
def estimator_class(request):
    return request.param


@pytest.fixture
def data(estimator_class, two_classes):
    X, y = two_classes
    return X, target(estimator_class, y)


def _use(model, X, y):
    """Everything that a fitted model can be asked."""
    results = [model.predict(X), model.log_prob(X, y), *model.predict_uncertainty(X)]
    if isinstance(model, DropoutMLPClassifier):
        results += [*model.predict_proba(X, return_std=True), model.sample_proba(X, 3)]
        results += [model.predict_log_proba(X), model.sample_proba(X, 3, random_state=1)]
        results += [*model.predict_uncertainty(X, measure="entropy")]
    else:
        results += [*model.predict(X, return_std=True), model.sample_y(X, 3)]
    results.append(model.score(X, y))
    return results


@pytest.mark.parametrize(("dropout", "normalization"), NETWORKS)
def test_fit_and_predict_change_nothing(estimator_class, data, dropout, normalization):
    X, y = data
    folds = {**CROSS_FITTED, "cv": 2, "store_oof": True}
    model = quick(estimator_class, dropout=dropout, normalization=normalization, **folds)
    with unchanged():
        model.fit(X, y)
    with unchanged():
        model.partial_fit(X, y)
    with unchanged():
        _use(model, X, y)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_is_the_callers(estimator_class, data, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with unchanged():
            _use(quick(estimator_class, early_stopping=True).fit(*data), *data)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("step", [1, 4])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_an_exception_while_training_changes_nothing(
    estimator_class, data, monkeypatch, step, normalization
):
    train_step, steps = TrainingRun.step, []

    def failing(run, batch):
        steps.append(1)
        if len(steps) == step:
            raise RuntimeError("the power went out")
        return train_step(run, batch)

    monkeypatch.setattr(TrainingRun, "step", failing)
    with unchanged(), pytest.raises(RuntimeError, match="the power went out"):
        quick(estimator_class, normalization=normalization).fit(*data)


def test_bad_data_changes_nothing(estimator_class, data):
    X, y = data
    with unchanged(), pytest.raises(ValueError, match="infinity"):
        quick(estimator_class).fit(np.full_like(X, np.inf), y)
    model = quick(estimator_class).fit(X, y)
    with unchanged(), pytest.raises(ValueError, match="features"):
        model.predict(X[:, :2])


def test_random_state_none_leaves_the_global_generators_alone(estimator_class, data):
    models = []
    for _ in range(2):
        with unchanged():
            models.append(quick(estimator_class, random_state=None).fit(*data))
    first, second = (model.net_.module_.linears[0].weight for model in models)
    assert not torch.equal(first, second)


@contextmanager
def _default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


MODES = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "float64": lambda: _default_dtype(torch.float64),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("dropout", "normalization"), NETWORKS)
def test_modes_of_the_caller_make_no_difference(
    estimator_class, data, mode, normalization, dropout
):
    model = quick(
        estimator_class,
        dropout=dropout,
        normalization=normalization,
        **{**CROSS_FITTED, "cv": 2, "store_oof": True},
    )
    expected = _use(model.fit(*data), *data)
    with MODES[mode](), unchanged():
        inside = _use(model.fit(*data), *data)
    for ours, theirs in zip(inside, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    # A model that was fitted inside goes on outside.
    model.partial_fit(*data)
    _use(model, *data)


def test_one_model_fitted_inside_and_asked_outside(real_target):
    X, y = real_target
    with torch.inference_mode():
        model = quick(DropoutMLPRegressor).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), quick(DropoutMLPRegressor).fit(X, y).predict(X))
