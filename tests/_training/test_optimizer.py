"""A step of the optimizer."""

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from tests.reference import quick


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_step_is_the_optimizers(two_classes, solver):
    """Adam's step is called without torch's wrappers, unless somebody has replaced the method."""

    class Counting(Callback):
        def on_train_begin(self, net, **kwargs):
            step, self.n_steps = net.optimizer_.step, 0

            def counting():
                self.n_steps += 1
                return step()

            net.optimizer_.step = counting

    direct, wrapped = (
        quick(DropoutMLPClassifier, solver=solver, batch_size=30, callbacks=callbacks).fit(
            *two_classes
        )
        for callbacks in (None, [("counting", Counting())])
    )
    assert dict(wrapped.net_.callbacks_)["counting"].n_steps == 4 * wrapped.n_iter_
    for ours, theirs in zip(
        direct.net_.module_.parameters(), wrapped.net_.module_.parameters(), strict=True
    ):
        assert torch.equal(ours, theirs)
    step, expected = (
        next(iter(model.net_.optimizer_.state.values())).get("step") for model in (direct, wrapped)
    )
    assert step == expected


def denormals(values):
    return int(((values != 0) & (values.abs() < torch.finfo(torch.float32).tiny)).sum())


@pytest.mark.filterwarnings("ignore:.*max_iter")
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_weights_that_only_the_penalty_moves_become_zero(solver):
    # No row switches the units of a column on that is zero everywhere; a large penalty and
    # a large step let their weights shrink within a few hundred steps as in long trainings.
    X = np.c_[np.random.default_rng(0).normal(size=(640, 1)), np.zeros(640)]
    model = DropoutMLPRegressor(
        (8,),
        solver=solver,
        input_encoding=None,
        cv=None,
        early_stopping=False,
        alpha=40.0,
        learning_rate_init=0.5 if solver == "adam" else 0.05,
        batch_size=8,
        max_iter=12,
        random_state=0,
    ).fit(X, X[:, 0])
    states = [
        values
        for state in model.net_.optimizer_.state.values()
        for values in state.values()
        if torch.is_tensor(values)
    ]
    values = [*model.net_.module_.parameters(), *states]
    assert sum(denormals(value.detach()) for value in values) == 0
