"""A step of the optimizer."""

import pytest
import torch
from skorch.callbacks import Callback

from skdropout import DropoutMLPClassifier
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
