"""Each callback of skorch's works, or is refused with the reason, as docs/callbacks.md says."""

import pickle
import re
import threading
import warnings
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from skorch import callbacks as skorch
from skorch.callbacks import Callback, EarlyStopping, GradientNormClipping, LRScheduler
from skorch.utils import freeze_parameter

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from skdropout.metrics.predictive_scorers import neg_crps_scorer
from tests.reference import ESTIMATORS, ONE_NETWORK, quick, target

PAGE = Path(__file__).parents[2] / "docs" / "callbacks.md"
TABLE = dict(re.findall(r"^\| `(\w+)` \| (yes|no) \|", PAGE.read_text(), re.M))


def _labels(y):
    return np.where(y == 1, "ill", "healthy")


class Connection:
    """What a logger talks to: it remembers everything, and can be neither copied nor pickled."""

    def __init__(self, folder="."):
        self.lock, self.told, self.dir = threading.Lock(), [], str(folder)
        self.info = SimpleNamespace(run_id="run")

    def note(self, *args, **kwargs):
        self.told.append((args, kwargs))

    # What TensorBoard, Sacred, Weights & Biases and MLflow call their methods.
    add_scalar = log_scalar = log = log_metric = log_artifact = note
    append = __setitem__ = note

    def __getitem__(self, key):
        return self

    def set_terminated(self, run_id):
        self.note("the end")

    def close(self):
        self.note("the end")

    def stop(self):
        self.note("the end")


WORKING = {
    "EpochScoring": lambda link: skorch.EpochScoring("accuracy", on_train=True),
    "PassthroughScoring": lambda link: skorch.PassthroughScoring("train_loss", on_train=True),
    "EpochTimer": lambda link: skorch.EpochTimer,
    "PrintLog": lambda link: skorch.PrintLog(sink=str),
    "ProgressBar": lambda link: skorch.ProgressBar(),
    "EarlyStopping": lambda link: skorch.EarlyStopping("train_loss", load_best=True),
    "LRScheduler": lambda link: skorch.LRScheduler(),
    "WarmRestartLR": lambda link: skorch.LRScheduler(skorch.WarmRestartLR),
    "GradientNormClipping": lambda link: skorch.GradientNormClipping(1.0),
    "ParamMapper": lambda link: skorch.ParamMapper("*.weight", torch.nn.init.zeros_),
    "Initializer": lambda link: skorch.Initializer("*.weight", fn=torch.nn.init.ones_),
    "TensorBoard": skorch.TensorBoard,
    "WandbLogger": lambda link: skorch.WandbLogger(link, save_model=False),
    "NeptuneLogger": lambda link: skorch.NeptuneLogger(link),
    "SacredLogger": skorch.SacredLogger,
    "MlflowLogger": lambda link: skorch.MlflowLogger(link, link),
}
REFUSED = {
    "BatchScoring": skorch.BatchScoring("accuracy"),
    "Freezer": skorch.Freezer("*"),
    "Unfreezer": skorch.Unfreezer("*"),
    "Checkpoint": skorch.Checkpoint(),
    "TrainEndCheckpoint": skorch.TrainEndCheckpoint,
    "LoadInitState": skorch.LoadInitState(skorch.Checkpoint()),
    "InputShapeSetter": skorch.InputShapeSetter(),
}


def test_the_page_names_every_callback_of_skorchs():
    assert set(TABLE) == set(skorch.__all__) - {"Callback"}
    assert {name for name, works in TABLE.items() if works == "yes"} == set(WORKING)
    assert {name for name, works in TABLE.items() if works == "no"} == set(REFUSED)


def _neptune(monkeypatch):
    """The two names that skorch's logger imports from a package that the tests do without."""
    handler, types = ModuleType("neptune.handler"), ModuleType("neptune.types")
    handler.Handler = type("Handler", (), {})
    types.File = SimpleNamespace(from_content=lambda text, extension: text)
    for module in (ModuleType("neptune"), handler, types):
        monkeypatch.setitem(__import__("sys").modules, module.__name__, module)


@pytest.mark.parametrize("name", WORKING)
@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_callbacks_that_work(two_classes, estimator_class, name, monkeypatch, tmp_path):
    _neptune(monkeypatch)
    X, y = two_classes
    y = target(estimator_class, y)
    callback = WORKING[name](Connection(tmp_path))
    if name == "EpochScoring" and estimator_class is DropoutMLPRegressor:
        callback.set_params(scoring="r2")
    model = quick(estimator_class, callbacks=[callback], batch_size=50, n_members=1)
    model.fit(X, y).partial_fit(X, y)
    assert len(model.net_.history) == model.n_iter_ > 1
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize("name", REFUSED)
def test_callbacks_that_do_not_work_are_refused_with_the_reason(two_classes, name):
    message = rf"DropoutMLPClassifier: callbacks: skorch's {name} does not work here: \w+"
    for callback in (REFUSED[name], ("named", REFUSED[name])):
        model = quick(DropoutMLPClassifier, callbacks=[callback])
        with pytest.raises(ValueError, match=message):
            model.fit(*two_classes)
        assert not hasattr(model, "net_")


@pytest.mark.parametrize(
    ("callback", "parameters", "reason"),
    [
        (skorch.EpochScoring("roc_auc"), {}, "on_train=True takes the training rows"),
        (skorch.PassthroughScoring("train_loss"), {}, "without early_stopping=True"),
        (skorch.PassthroughScoring("a"), {"early_stopping": True}, "not taken in batches"),
        (skorch.EarlyStopping, {}, "monitor='train_loss' is always there"),
        (skorch.EarlyStopping("train_loss", load_best=True), {"n_members": 2}, "load_best=True"),
        (skorch.ParamMapper("*", freeze_parameter), {}, "moves all parameters as one vector"),
        (skorch.SacredLogger(None, log_on_batch_end=True), {}, "must be False"),
        (skorch.WandbLogger(None), {}, "save_model=False logs without"),
    ],
)
def test_settings_with_which_a_callback_would_do_nothing(two_classes, callback, parameters, reason):
    model = quick(DropoutMLPClassifier, callbacks=[callback], **parameters)
    with pytest.raises(ValueError, match=rf"skorch's \w+ does not work here: .*{reason}"):
        model.fit(*two_classes)


def test_a_schedule_that_freezes_parameters_is_an_error(two_classes):
    frozen = skorch.ParamMapper("*", schedule=lambda net: freeze_parameter)
    with pytest.raises(ValueError, match="DropoutMLPClassifier: a callback has frozen parameters"):
        quick(DropoutMLPClassifier, callbacks=[frozen]).fit(*two_classes)


# ---- scores ------------------------------------------------------------------------------------


def _scored(model, X, y, **parameters):
    """The model's last row of history; it trained for so few epochs that a warning is due."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.set_params(tol=1e-4, max_iter=3, **parameters).fit(X, y)
    return model.net_.history[-1]


def test_scores_of_epochs_are_those_of_the_model(two_classes):
    X, y = two_classes[0], _labels(two_classes[1])
    callbacks = [
        skorch.EpochScoring(score, lower_is_better=False, on_train=True)
        for score in ("roc_auc", "accuracy", "neg_log_loss")
    ]
    model = quick(DropoutMLPClassifier, callbacks=callbacks, batch_size=32, n_members=2)
    epoch = _scored(model, X.astype(np.float32), y)
    proba = model.predict_proba(X.astype(np.float32))
    assert epoch["roc_auc"] == pytest.approx(roc_auc_score(y, proba[:, 1]))
    assert epoch["accuracy"] == accuracy_score(y, model.classes_[proba.argmax(1)])
    assert epoch["neg_log_loss"] == pytest.approx(-log_loss(y, proba))
    assert model.net_.history[0, "roc_auc_best"] is True


def test_scores_of_held_out_rows(two_classes):
    X, y = two_classes[0].astype(np.float32), _labels(two_classes[1])

    def log_prob(model, X, y):
        return model.log_prob(X, y).mean()

    callback = skorch.EpochScoring(log_prob, lower_is_better=False)
    model = quick(DropoutMLPClassifier, callbacks=[callback], early_stopping=True, n_draws=10)
    _scored(model, X, y)
    np.testing.assert_allclose(
        model.net_.history[:, "log_prob"], model.validation_scores_, rtol=1e-5
    )


def test_scores_of_a_regressor_are_in_the_units_of_y(real_target):
    X, y = real_target[0].astype(np.float32), 1000 * real_target[1]
    callbacks = [
        skorch.EpochScoring("neg_mean_absolute_error", lower_is_better=False, on_train=True),
        skorch.EpochScoring(neg_crps_scorer, name="crps", lower_is_better=False, on_train=True),
    ]
    model = quick(DropoutMLPRegressor, callbacks=callbacks)
    epoch = _scored(model, X, y)
    error = -np.abs(model.predict(X) - y).mean()
    assert epoch["neg_mean_absolute_error"] == pytest.approx(error, rel=1e-5)
    assert epoch["crps"] == pytest.approx(-model.crps(X, y).mean(), rel=1e-5)


def test_scores_of_several_outputs(two_targets):
    X, y = two_targets[0].astype(np.float32), two_targets[1]
    callbacks = [skorch.EpochScoring("r2", lower_is_better=False, on_train=True)]
    model = quick(DropoutMLPRegressor, callbacks=callbacks)
    assert _scored(model, X, y)["r2"] == pytest.approx(model.score(X, y), rel=1e-5)


def test_scoring_changes_nothing_else(two_classes):
    X, y = two_classes
    scored = skorch.EpochScoring("roc_auc", on_train=True)
    models = [
        quick(DropoutMLPClassifier, callbacks=callbacks).fit(X, y) for callbacks in (None, [scored])
    ]
    np.testing.assert_array_equal(*(model.predict_proba(X) for model in models))
    again = pickle.loads(pickle.dumps(models[1].partial_fit(X, y)))
    assert len(again.net_.history[:, "roc_auc"]) == 8
    assert not hasattr(models[1].net_, "model_")


def test_training_stops_on_a_score(two_classes):
    X, y = two_classes
    callbacks = [
        skorch.EpochScoring("roc_auc", on_train=True, lower_is_better=False),
        skorch.EarlyStopping("roc_auc", patience=2, threshold=10, lower_is_better=False),
    ]
    assert (
        DropoutMLPClassifier((8,), callbacks=callbacks, random_state=0, **ONE_NETWORK)
        .fit(X, y)
        .n_iter_
        == 3
    )


# ---- batches -----------------------------------------------------------------------------------


def test_a_scheduler_steps_after_each_batch(two_classes):
    schedule = skorch.LRScheduler("StepLR", step_size=1, gamma=0.9, step_every="batch")
    model = quick(DropoutMLPClassifier, batch_size=50, callbacks=[schedule]).fit(*two_classes)
    rate = model.net_.optimizer_.param_groups[0]["lr"]
    assert rate == pytest.approx(0.003 * 0.9**21, rel=1e-6)
    np.testing.assert_allclose(
        model.net_.history[1, "batches", :, "event_lr"], 0.003 * 0.9 ** np.arange(3, 6), rtol=1e-6
    )


def test_the_loss_of_an_epoch_is_the_mean_over_its_batches(two_classes):
    mean = skorch.PassthroughScoring("train_loss", on_train=True)
    options = {"batch_size": 50, "alpha": 0.0}
    losses = [
        quick(DropoutMLPClassifier, callbacks=callbacks, **options).fit(*two_classes).loss_curve_
        for callbacks in (None, [mean])
    ]
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_the_progress_bar_counts_the_batches(two_classes, capsys):
    quick(DropoutMLPClassifier, batch_size=50, callbacks=[skorch.ProgressBar()]).fit(*two_classes)
    assert "/3 [" in capsys.readouterr().err


# ---- tables and loggers ------------------------------------------------------------------------


def test_a_table_of_epochs_takes_the_place_of_the_lines(two_classes, capsys):
    model = quick(DropoutMLPClassifier, verbose=True, callbacks=[skorch.PrintLog()])
    model.fit(*two_classes)
    head, _, *rows = capsys.readouterr().out.splitlines()
    names = ["epoch", "train_kl", "train_likelihood", "train_loss", "train_penalty", "dur"]
    assert head.split() == names
    assert len(rows) == 7


@pytest.mark.parametrize("make", [skorch.TensorBoard, skorch.SacredLogger])
def test_a_logger_hears_of_every_epoch(two_classes, make):
    link = Connection()
    logger = make(link)
    before = dict(vars(logger))
    model = quick(DropoutMLPClassifier, callbacks=[logger]).fit(*two_classes)
    told = [(*args, *kwargs.values()) for args, kwargs in link.told]
    losses = [entry[1] for entry in told if str(entry[0]).endswith("train_loss")]
    np.testing.assert_array_equal(losses, model.loss_curve_)
    assert vars(logger) == before
    link.told.clear()
    model.partial_fit(*two_classes)
    assert link.told


def test_a_model_without_its_logger_is_pickled(two_classes):
    link = Connection()
    model = quick(DropoutMLPClassifier, callbacks=[skorch.SacredLogger(link)]).fit(*two_classes)
    link.told.clear()
    again = pickle.loads(pickle.dumps(model.set_params(callbacks=None))).partial_fit(*two_classes)
    assert again.n_iter_ == 8
    assert not link.told


# ---- what they are told, and what they change ----------------------------------------------------


class Counting(Callback):
    """Counts the calls of a hook; the counts outlive the copy that `fit` makes."""

    calls: dict = {}

    def on_train_begin(self, net, **kwargs):
        Counting.calls = dict.fromkeys(("begin", "end", "gradient", "epoch"), 0)
        Counting.losses = []

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        Counting.calls["begin"] += 1

    def on_batch_end(self, net, batch=None, training=None, loss=None, y_pred=None, **kwargs):
        Counting.calls["end"] += 1
        Counting.losses.append(loss.item() * len(y_pred[0]))

    def on_grad_computed(self, net, named_parameters, **kwargs):
        assert all(values.grad is not None for _, values in named_parameters)
        Counting.calls["gradient"] += 1

    def on_epoch_end(self, net, **kwargs):
        Counting.calls["epoch"] += 1


@pytest.mark.parametrize("normalization", [None, "layer"])
def test_batch_hooks_are_called_for_each_batch(two_classes, normalization):
    X, y = two_classes
    model = quick(
        DropoutMLPClassifier,
        batch_size=50,
        alpha=0.0,
        normalization=normalization,
        callbacks=[Counting()],
    )
    model.fit(X, y)
    assert Counting.calls == {"begin": 21, "end": 21, "gradient": 21, "epoch": 7}
    epochs = np.array(Counting.losses).reshape(7, 3).sum(1) / len(X)
    np.testing.assert_allclose(epochs, model.loss_curve_, rtol=1e-5)


@pytest.mark.parametrize("normalization", [None, "layer"])
def test_a_listening_callback_changes_nothing(two_classes, normalization):
    X, y = two_classes
    silent, heard = (
        quick(DropoutMLPClassifier, normalization=normalization, callbacks=callbacks).fit(X, y)
        for callbacks in (None, [Counting()])
    )
    np.testing.assert_array_equal(silent.predict_proba(X), heard.predict_proba(X))


def test_skorchs_learning_rate_scheduler(two_classes):
    X, y = two_classes
    schedule = LRScheduler(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    model = quick(DropoutMLPClassifier, callbacks=[schedule]).fit(X, y)
    rate = model.net_.optimizer_.param_groups[0]["lr"]
    assert rate == pytest.approx(0.003 * 0.5**7, rel=1e-6) or rate == pytest.approx(
        0.003 * 0.5**6, rel=1e-6
    )


def test_skorchs_early_stopping_on_the_training_loss(two_classes):
    X, y = two_classes
    stop = EarlyStopping(
        "train_loss", patience=2, threshold=10.0, threshold_mode="abs", sink=lambda text: None
    )
    model = DropoutMLPClassifier((8,), callbacks=[stop], random_state=0, **ONE_NETWORK)
    model.fit(X, y)
    assert model.n_iter_ == 3


def test_fit_does_not_change_the_callbacks_it_was_given(two_classes):
    X, y = two_classes
    callback = GradientNormClipping(1.0)
    before = dict(vars(callback))
    quick(DropoutMLPClassifier, callbacks=[callback]).fit(X, y)
    assert vars(callback) == before
