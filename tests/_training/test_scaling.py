"""The learned scale of the inputs. That a step is Adam's is in `test_run.py`."""

import numpy as np
import pytest
import scipy.sparse
import torch

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from tests.reference import CROSS_FITTED, quick, ten_columns_that_decide


def scales(model):
    """Logarithms of the factors, through `InputScale.SPEED`: ``(members, n_in)``."""
    return model.net_.module_.input_scale.log.detach().numpy()[..., 0]


def with_and_without(make, X, y, **parameters):
    return [make(learn_input_scale=learn, **parameters).fit(X, y) for learn in (True, False)]


def test_columns_that_decide_count_more():
    """With ten seeds each of the ten counted more than all ninety others."""
    X, y = ten_columns_that_decide(800, 100)
    model = DropoutMLPClassifier(input_encoding=None, random_state=0).fit(X, y)
    of_columns = scales(model).mean(0)
    assert of_columns[:10].min() > of_columns[10:].max()


def test_new_rows_gain_where_few_of_many_columns_decide():
    """With ten seeds by 0.042 to 0.057 nats a row."""
    X, y = ten_columns_that_decide(1600, 100)
    ours, plain = with_and_without(
        lambda **options: DropoutMLPClassifier(input_encoding=None, random_state=0, **options),
        X[:800],
        y[:800],
    )
    gain = ours.log_prob(X[800:], y[800:]) - plain.log_prob(X[800:], y[800:])
    assert gain.mean() > 0.02


@pytest.mark.parametrize("parameters", [{"solver": "sgd"}, {"dropout": "variational"}], ids=str)
@pytest.mark.parametrize("estimator_class", [DropoutMLPClassifier, DropoutMLPRegressor])
def test_it_has_no_bearing_on(two_classes, estimator_class, parameters):
    X, y = two_classes
    ours, plain = with_and_without(
        lambda **options: quick(estimator_class, **options), X, y, **parameters
    )
    np.testing.assert_array_equal(ours.predict(X), plain.predict(X))
    assert ours.net_.module_.input_scale is None


def test_wide_sparse_rows_are_trained_without():
    rng = np.random.default_rng(0)
    X = scipy.sparse.random_array((60, 2**14), density=2**-12, rng=rng, format="csr")
    y = rng.integers(0, 2, 60)
    ours, plain = with_and_without(
        lambda **options: quick(DropoutMLPClassifier, hidden_layer_sizes=(64,), **options), X, y
    )
    np.testing.assert_array_equal(ours.predict_proba(X), plain.predict_proba(X))


def test_members_that_stop_leave_with_their_scales(two_classes):
    """Each member of a stack is what it would be alone, also after others have left."""
    X, y = two_classes
    options = CROSS_FITTED | {"tol": 1e-3, "n_iter_no_change": 2}
    model = quick(DropoutMLPClassifier, **options).fit(X, y)
    assert len(set(model.net_.n_epochs_.tolist())) > 1
    assert scales(model).shape == (5, X.shape[1])
    assert (np.abs(scales(model)).max(1) > 0).all()


def test_sparsify_forgets_it():
    X, y = ten_columns_that_decide(200, 20)
    model = quick(DropoutMLPClassifier, dropout="variational").fit(X, y)
    assert model.sparsify().net_.module_.input_scale is None


def test_an_epoch_more_goes_on_with_the_scales(two_classes):
    X, y = two_classes
    model = quick(DropoutMLPClassifier)
    before = torch.from_numpy(scales(model.partial_fit(X, y))).clone()
    after = torch.from_numpy(scales(model.partial_fit(X, y)))
    # Adam's first steps are all of one length: twice as many lead further.
    assert after.abs().mean() > before.abs().mean()
