import copy
import pickle
import subprocess
import sys
from typing import ClassVar

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback

from skdropout import DropoutMLPClassifier
from skdropout._training.jobs import TrainedStack
from skdropout.families import Gaussian
from tests.reference import ESTIMATORS, fitting_of, quick, target


@pytest.fixture(params=ESTIMATORS)
def estimator_class(request):
    return request.param


@pytest.fixture
def data(estimator_class, two_classes):
    X, y = two_classes
    return X, target(estimator_class, y)


def _through_joblib(model, path):
    joblib.dump(model, path / "model.joblib")
    return joblib.load(path / "model.joblib")


COPIES = {
    "pickle": lambda model, path: pickle.loads(pickle.dumps(model)),
    "joblib": _through_joblib,
    "deepcopy": lambda model, path: copy.deepcopy(model),
}


@pytest.fixture(params=COPIES)
def copied(request, tmp_path):
    return lambda model: COPIES[request.param](model, tmp_path)


@pytest.mark.parametrize(
    ("normalization", "fitting"),
    [(None, "fit"), ("batch", "partial_fit"), ("layer", "fit")],
)
def test_a_copy_predicts_the_same(estimator_class, data, copied, normalization, fitting):
    X, y = data
    model = quick(estimator_class, dropout=Gaussian(), normalization=normalization, n_members=2)
    getattr(model, fitting)(X, y)
    copy_ = copied(model)
    assert vars(copy_).keys() == vars(model).keys()
    for ours, theirs in zip(
        copy_.predict_uncertainty(X), model.predict_uncertainty(X), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(copy_.log_prob(X, y), model.log_prob(X, y))


@pytest.mark.parametrize(
    ("normalization", "solver"), [(None, "adam"), ("batch", "sgd"), ("layer", "adam")]
)
def test_partial_fit_goes_on_identically(estimator_class, data, copied, normalization, solver):
    X, y = data
    model = quick(
        estimator_class, batch_size=20, normalization=normalization, solver=solver, n_members=2
    )
    for _ in range(3):
        model.partial_fit(X, y)
    copy_ = copied(model)
    for _ in range(3):
        model.partial_fit(X, y)
        copy_.partial_fit(X, y)
    np.testing.assert_array_equal(copy_.predict(X), model.predict(X))
    assert copy_.loss_curve_ == model.loss_curve_


def test_warm_start_goes_on_identically(estimator_class, data, copied):
    X, y = data
    model = quick(estimator_class, warm_start=True).fit(X, y)
    copy_ = copied(model)
    np.testing.assert_array_equal(copy_.fit(X, y).predict(X), model.fit(X, y).predict(X))


def test_a_fresh_process_predicts_the_same(two_classes, tmp_path):
    X, y = two_classes
    models = [quick(estimator).fit(X, target(estimator, y)) for estimator in ESTIMATORS]
    joblib.dump((models, X), tmp_path / "models.joblib")
    script = (
        "import sys, pickle, joblib, numpy\n"
        "models, X = joblib.load(sys.argv[1])\n"
        "parts = [part for model in models for part in model.predict_uncertainty(X)]\n"
        "numpy.savez(sys.argv[2], *parts)\n"
    )
    arguments = [str(tmp_path / "models.joblib"), str(tmp_path / "results.npz")]
    subprocess.run([sys.executable, "-W", "error", "-c", script, *arguments], check=True)
    expected = [part for model in models for part in model.predict_uncertainty(X)]
    with np.load(tmp_path / "results.npz") as results:
        for ours, theirs in zip(results.values(), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_memory_mapped_model_predicts_the_same(estimator_class, data, tmp_path):
    X, y = data
    joblib.dump((quick(estimator_class).fit(X, y), X), tmp_path / "model.joblib")
    mapped, mapped_X = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    expected = quick(estimator_class).fit(X, y).predict(X)
    np.testing.assert_array_equal(mapped.predict(mapped_X), expected)


def test_a_clone_has_the_parameters_and_no_fit(estimator_class, data):
    model = quick(estimator_class, dropout=Gaussian(), dropout_rate=[0.3]).fit(*data)
    copy_ = clone(model)
    with pytest.raises(NotFittedError):
        check_is_fitted(copy_)
    assert repr(copy_) == repr(model)
    assert copy_.dropout is not model.dropout
    np.testing.assert_array_equal(copy_.fit(*data).predict(data[0]), model.predict(data[0]))


class Keep(Callback):
    """Keeps the net of each epoch."""

    pickles: ClassVar[list[bytes]] = []

    def on_epoch_end(self, net, **kwargs):
        self.pickles.append(pickle.dumps(net))


def test_a_net_can_be_pickled_while_it_is_trained(estimator_class, data):
    model = quick(estimator_class, callbacks=[Keep], n_members=2, calibrate=False).fit(*data)
    kept = pickle.loads(Keep.pickles[-1]).module_.state_dict()
    for name, values in model.net_.module_.state_dict().items():
        torch.testing.assert_close(kept[name], values, rtol=0, atol=0)


def test_a_pickle_does_not_grow_with_the_number_of_layers(estimator_class, data):
    model = quick(estimator_class, hidden_layer_sizes=(150,) * 5, calibrate=False).fit(*data)
    size = sum(4 * parameter.numel() for parameter in model.net_.module_.parameters())
    # Adam has two moments beside them.
    assert len(pickle.dumps(model)) < 3.2 * size


def test_a_net_out_of_a_stack_has_no_moments_yet(two_classes):
    model = quick(DropoutMLPClassifier, hidden_layer_sizes=(150,) * 3)
    trained = TrainedStack([fitting_of(model, *two_classes).job for _ in range(3)])
    size = sum(4 * parameter.numel() for parameter in trained[1].module_.parameters())
    assert len(pickle.dumps(trained[1])) < 1.4 * size
    assert len(pickle.dumps(trained)) < 3.4 * size


def test_what_the_optimizer_was_set_to_is_kept(estimator_class, data):
    model = quick(estimator_class, learning_rate_init=0.01, calibrate=False).fit(*data)
    (group,) = model.net_.optimizer_.param_groups
    group["lr"] = 0.005
    copy_ = pickle.loads(pickle.dumps(model))
    (kept,) = copy_.net_.optimizer_.param_groups
    assert {**kept, "params": None} == {**group, "params": None}
    (ours,), (theirs,) = (m.net_.optimizer_.state.values() for m in (copy_, model))
    assert ours.keys() == theirs.keys() == {"step", "exp_avg", "exp_avg_sq"}
    for name, values in theirs.items():
        torch.testing.assert_close(ours[name], values, rtol=0, atol=0)
