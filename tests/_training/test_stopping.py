import re

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from skorch.callbacks import Callback

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from skdropout._estimators.described import describe
from skdropout._support.random import new_seed
from skdropout._training.run import TrainingRun
from skdropout._training.stopping import _SMOOTHING
from skdropout._training.validation import member_scores
from skdropout.model_selection import BatchedGridSearchCV
from tests.reference import ESTIMATORS, ONE_NETWORK, fitting_of, quick, target

STOPPING = {
    **ONE_NETWORK,
    "early_stopping": True,
    "learning_rate_init": 0.02,
    "random_state": 0,
    "n_draws": 10,
}


def _split(X, y):
    return train_test_split(X, y, test_size=0.4, random_state=0)


@pytest.mark.parametrize("n_iter_no_change", [1, 3])
def test_training_stops_when_scikit_learns_mlp_does(two_classes, n_iter_no_change):
    X, y = two_classes
    options = {"tol": 10.0, "n_iter_no_change": n_iter_no_change, "random_state": 0}
    assert DropoutMLPClassifier(**options, **ONE_NETWORK).fit(X, y).n_iter_ == (
        MLPClassifier(**options).fit(X, y).n_iter_
    )


def test_lucky_first_epochs_do_not_end_the_training():
    """Large inputs, few rows and few units: the loss of an epoch is very noisy.

    With this seed the average of the first epochs was not reached again in twenty more. With eight
    seeds it took 114 to 279 epochs, and every row was predicted right.
    """
    X, y = make_blobs(centers=2, random_state=0, cluster_std=20)
    model = DropoutMLPClassifier(
        (20,),
        class_weight={0: 1000, 1: 1e-4},
        max_iter=1000,
        n_iter_no_change=20,
        random_state=5,
        **ONE_NETWORK,
    )
    model.fit(X[::2], y[::2])
    assert model.n_iter_ > 2 * 20
    assert (model.predict(X[1::2]) == 0).mean() > 0.87


def test_a_warning_when_the_epochs_do_not_suffice(two_classes):
    X, y = two_classes
    with pytest.warns(ConvergenceWarning, match=r"DropoutMLPClassifier.*max_iter=3 reached"):
        DropoutMLPClassifier(max_iter=3, random_state=0, **ONE_NETWORK).fit(X, y)


def test_no_patience_limit_means_all_epochs(two_classes):
    X, y = two_classes
    model = quick(DropoutMLPClassifier, n_iter_no_change=np.inf, max_iter=12)
    with pytest.warns(ConvergenceWarning, match="max_iter=12"):
        model.fit(X, y)
    assert model.n_iter_ == 12


@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_the_best_weights_are_restored(two_classes, estimator_class, normalization):
    X, y = two_classes
    X, X_val, y, y_val = _split(X, target(estimator_class, y))
    model = estimator_class((30,), normalization=normalization, n_iter_no_change=8, **STOPPING).fit(
        X, y, X_val=X_val, y_val=y_val
    )
    scores = np.array(model.validation_scores_)
    best = scores.max()
    assert scores.argmax() < len(scores) - 1
    assert model.best_validation_score_ == best
    assert len(scores) == model.n_iter_
    scale = 0.0 if estimator_class is DropoutMLPClassifier else np.log(y.std())
    assert model.log_prob(X_val, y_val).mean() + scale == pytest.approx(best, abs=1e-4)


@pytest.mark.parametrize("max_iter", [4, 60])
def test_the_noise_is_restored_with_the_weights(max_iter):
    """Constant or not, as it was in the best epoch."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (300, 1))
    y = X[:, 0] + (0.6 + 0.5 * X[:, 0]) * rng.standard_normal(300)
    model = DropoutMLPRegressor(noise="heteroscedastic", max_iter=max_iter, **STOPPING)
    model.set_params(learning_rate="cooldown")
    X, X_val, y, y_val = _split(X, y)
    model.fit(X, y, X_val=X_val, y_val=y_val)
    score = model.log_prob(X_val, y_val).mean() + np.log(y.std())
    assert score == pytest.approx(model.best_validation_score_, abs=1e-4)
    best = np.argmax(model.validation_scores_)
    released = model.net_.criterion_.released.item()
    assert released == (best >= len(model.validation_scores_) // 2)


def test_each_member_keeps_its_own_best_weights(two_classes):
    X, X_val, y, y_val = _split(*two_classes)
    options = {"hidden_layer_sizes": (30,), "n_iter_no_change": 8, **STOPPING}
    model = DropoutMLPClassifier(n_members=3, **options).fit(X, y, X_val=X_val, y_val=y_val)
    best = np.max([epoch["valid_scores"] for epoch in model.net_.history], axis=0)
    rows, net = describe(model, X_val, y_val, again=True).rows, model.net_
    with torch.no_grad():
        drawn = net.module_.draw(net.n_validation_draws)
        scores = member_scores(drawn, net.criterion_, rows.to(torch.device(net.device)))
    np.testing.assert_allclose(scores.cpu(), best, rtol=1e-4)


def test_the_held_out_part_is_not_trained_on(two_classes):
    X, y = two_classes
    model = DropoutMLPClassifier(validation_fraction=0.25, **STOPPING).fit(X, y)
    assert model.t_ == model.n_iter_ * 90
    assert model.best_loss_ is None


def test_the_given_validation_rows_are_watched(two_classes):
    X, X_val, y, y_val = _split(*two_classes)
    right, wrong = (
        DropoutMLPClassifier(**STOPPING).fit(X, y, X_val=X_val, y_val=labels)
        for labels in (y_val, 1 - y_val)
    )
    assert right.n_iter_ > wrong.n_iter_
    assert right.t_ == right.n_iter_ * len(X)


@pytest.mark.usefixtures("in_float64")
def test_validation_weights(two_classes):
    X, X_val, y, y_val = _split(*two_classes)
    used = np.arange(len(X_val)) % 2
    weighted = DropoutMLPClassifier(**STOPPING).fit(
        X, y, X_val=X_val, y_val=y_val, sample_weight_val=used
    )
    left_out = DropoutMLPClassifier(**STOPPING).fit(
        X, y, X_val=X_val[used == 1], y_val=y_val[used == 1]
    )
    np.testing.assert_allclose(weighted.validation_scores_, left_out.validation_scores_, rtol=1e-6)


def test_early_stopping_without_draws_watches_the_weight_scaling_rule(two_classes):
    X, X_val, y, y_val = _split(*two_classes)
    model = DropoutMLPClassifier(**{**STOPPING, "n_draws": 0})
    model.fit(X, y, X_val=X_val, y_val=y_val)
    score = model.log_prob(X_val, y_val).mean()
    assert score == pytest.approx(model.best_validation_score_, abs=1e-5)


# ---- what is printed -------------------------------------------------------------------------


def test_verbose_prints_a_line_an_epoch(two_classes, capsys):
    X, y = two_classes
    model = quick(DropoutMLPClassifier, verbose=True).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == model.n_iter_ == 7
    for number, (line, loss) in enumerate(zip(lines, model.loss_curve_, strict=True), start=1):
        assert re.fullmatch(rf"epoch +{number}/400  loss {loss:.5f}  \d+\.\d\d s", line)


def test_verbose_counts_the_calls_of_partial_fit(two_classes, capsys):
    X, y = two_classes
    model = quick(DropoutMLPClassifier, verbose=True)
    for number in (1, 2):
        model.partial_fit(X, y, classes=[0, 1])
        assert capsys.readouterr().out.startswith(f"epoch    {number}/{number}  ")


def test_verbose_prints_the_validation_score(two_classes, capsys):
    X, y = two_classes
    quick(DropoutMLPClassifier, verbose=True, early_stopping=True).fit(X, y)
    assert capsys.readouterr().out.count("validation log-likelihood -") == 7


def test_silence_is_the_default(two_classes, capsys):
    X, y = two_classes
    quick(DropoutMLPClassifier).fit(X, y)
    assert capsys.readouterr() == ("", "")


# ---- classes with few rows ---------------------------------------------------------------------


def _held_out(model, X, y):
    """Labels of the rows that are trained on, and of those held out."""
    fitting = fitting_of(model, X, y)
    parts = fitting.job.rows, fitting.job.validation[0]
    return (fitting.described.target.decode(part.y.numpy()) for part in parts)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_class_of_one_row_is_trained_on(three_classes, weighted):
    X, y = three_classes
    y = np.array(["ill", "well", "unclear"])[y]
    y[8] = "lost"
    model = quick(DropoutMLPClassifier, early_stopping=True, calibrate=True, n_members=2)
    message = r"no rows are held out for early stopping of .*: lost \(1\); they are all trained on"
    weight = np.arange(1.0, 1 + len(y)) if weighted else None
    with pytest.warns(UserWarning, match=message) as records:
        model.fit(X, y, weight)
    assert [record.filename for record in records] == [__file__]
    assert model.predict_proba(X).shape == (len(X), 4)
    with pytest.warns(UserWarning, match=message):
        trained, held_out = _held_out(model, X, y)
    assert len(held_out) == 15
    assert sorted([*trained, *held_out]) == sorted(y)
    assert "lost" in trained
    assert set(held_out) == {"ill", "well", "unclear"}


def test_more_classes_than_rows_to_hold_out(three_classes):
    X, _ = three_classes
    y = np.concatenate([np.zeros(60), np.ones(50), np.repeat(np.arange(2, 22), 2)]).astype(int)
    model = quick(DropoutMLPClassifier, early_stopping=True)
    with pytest.warns(UserWarning, match=r": 15 \(2\), 16 \(2\),.* 21 \(2\); they"):
        trained, held_out = _held_out(model, X, y)
    assert sorted([*trained, *held_out]) == sorted(y)
    assert set(trained) == set(range(22))
    assert len(held_out) == 15
    assert {0, 1} < set(held_out) <= set(range(15))


def test_a_warning_names_ten_classes(three_classes):
    X, _ = three_classes
    y = np.where(np.arange(150) < 20, 100 + np.arange(150), np.arange(150) % 2)
    with pytest.warns(UserWarning, match=r"109 \(1\) and 10 more; they"):
        quick(DropoutMLPClassifier, early_stopping=True).fit(X, y)


def test_classes_that_can_be_held_out_are_held_out_as_ever(three_classes):
    X, y = three_classes
    model = quick(DropoutMLPClassifier, early_stopping=True)
    trained, held_out = _held_out(model, X, y)
    numbers = train_test_split(
        np.arange(150), test_size=0.1, random_state=new_seed(model.random_state), stratify=y
    )
    np.testing.assert_array_equal(trained, y[numbers[0]])
    np.testing.assert_array_equal(held_out, y[numbers[1]])


# ---- Ctrl-C ----------------------------------------------------------------------------------


class Interrupting(Callback):
    """Presses Ctrl-C after a number of batches."""

    def __init__(self, after):
        self.after = after

    def on_batch_end(self, net, **kwargs):
        self.after -= 1
        if self.after == 0:
            raise KeyboardInterrupt


def _best_state(X, y, **options):
    """What was learned until the best of nine epochs by smoothed loss, by training once more."""
    seen = []

    class Remembering(Callback):
        def on_epoch_end(self, net, **kwargs):
            state = {name: v.clone() for name, v in net.module_.state_dict().items()}
            losses = [epoch["train_loss"] for epoch in net.history]
            weights = _SMOOTHING ** np.arange(len(losses))[::-1]
            seen.append((np.average(losses, weights=weights), state))

    class Copies(Remembering):
        def __deepcopy__(self, memo):
            return self

    quick(DropoutMLPClassifier, n_iter_no_change=20, callbacks=[Copies()], **options).fit(X, y)
    return min(seen[:9], key=lambda pair: pair[0])[1]


def test_ctrl_c_in_a_callback_keeps_the_best_weights(two_classes):
    X, y = two_classes
    options = {"learning_rate_init": 0.5, "batch_size": 40}
    # Nine epochs of three batches, and one more.
    callbacks = [Interrupting(after=28)]
    model = quick(DropoutMLPClassifier, n_iter_no_change=20, callbacks=callbacks, **options)
    with pytest.warns(UserWarning, match=r"DropoutMLPClassifier: training interrupted.*epoch 10"):
        model.fit(X, y)
    assert model.n_iter_ == 9
    for name, values in _best_state(X, y, **options).items():
        torch.testing.assert_close(model.net_.module_.state_dict()[name], values)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("step", [1, 5])
def test_ctrl_c_inside_an_epoch(two_classes, monkeypatch, step, early_stopping):
    X, y = two_classes
    train_step, steps = TrainingRun.step, []

    def interrupted(run, batch):
        steps.append(1)
        if len(steps) == step:
            raise KeyboardInterrupt
        return train_step(run, batch)

    monkeypatch.setattr(TrainingRun, "step", interrupted)
    model = quick(DropoutMLPClassifier, early_stopping=early_stopping)
    with pytest.warns(UserWarning, match="training interrupted by the user.*best weights so far"):
        model.fit(X, y)
    assert model.n_iter_ == step - 1
    assert np.isfinite(model.predict_proba(X)).all()


def test_ctrl_c_while_the_validation_rows_are_scored(two_classes, monkeypatch):
    X, y = two_classes
    validate, calls = TrainingRun.validate, []

    def interrupted(run, *given):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        validate(run, *given)

    monkeypatch.setattr(TrainingRun, "validate", interrupted)
    model = quick(DropoutMLPClassifier, early_stopping=True)
    with pytest.warns(UserWarning, match="training interrupted by the user in epoch 4"):
        model.fit(X, y)
    assert len(model.validation_scores_) == 3
    assert np.isfinite(model.predict_proba(X)).all()


def test_a_regressor_interrupted_in_its_first_epoch_is_usable(real_target):
    X, y = real_target
    model = quick(DropoutMLPRegressor, callbacks=[Interrupting(after=1)])
    with pytest.warns(UserWarning, match="interrupted"):
        model.fit(X, y)
    assert np.isfinite(model.predict(X, return_std=True)).all()


def _interrupt_at(monkeypatch, step):
    """Press Ctrl-C at a step of whatever is trained. Returns the steps, as they are made."""
    train_step, steps = TrainingRun.step, []

    def interrupted(run, batch):
        steps.append(run)
        if len(steps) == step:
            raise KeyboardInterrupt
        return train_step(run, batch)

    monkeypatch.setattr(TrainingRun, "step", interrupted)
    return steps


def test_ctrl_c_ends_a_search(two_classes, monkeypatch):
    search = BatchedGridSearchCV(quick(DropoutMLPClassifier), {"alpha": [0.0, 0.1]}, cv=2)
    _interrupt_at(monkeypatch, 5)
    with pytest.raises(KeyboardInterrupt):
        search.fit(*two_classes)
    assert not hasattr(search, "cv_results_")
