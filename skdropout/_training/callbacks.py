"""skorch's callbacks: copies that work with a stack of networks, and why some cannot."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from skorch import callbacks as skorch
from skorch.callbacks import Callback
from skorch.utils import freeze_parameter, unfreeze_parameter

from .._support.compressed import given

# What the history holds for each member, or layer by layer: tables and loggers take numbers.
_NOT_NUMBERS = ("train_losses", "valid_scores", "by_member", "warming_up", "dropout_rates")

_LOGGERS = (
    skorch.TensorBoard,
    skorch.WandbLogger,
    skorch.NeptuneLogger,
    skorch.SacredLogger,
    skorch.MlflowLogger,
)
_SCORES = (skorch.EpochScoring, skorch.PassthroughScoring)


class Training(NamedTuple):
    """What it depends on whether a callback has something to do.

    Attributes
    ----------
    watched : bool
        Whether there are rows for early stopping.
    n_members : int
        Networks in all.
    n_folds : int, default=1
        More than one: members are cross-fitted.
    one_vector : bool, default=True
        Whether the optimizer moves all parameters as one.
    """

    watched: bool
    n_members: int
    n_folds: int = 1
    one_vector: bool = True


class _Refusal(NamedTuple):
    """Callbacks that cannot work, when, and why."""

    kinds: tuple[type, ...]
    reason: str
    applies: Callable[[Any, Training], bool] | None = None


_FILES = (
    "its files hold weights alone, and no estimator can be made from them; joblib.dump saves a "
    "fitted one, early_stopping=True keeps the best weights, and warm_start=True or partial_fit "
    "trains on"
)
_FROZEN = "the optimizer moves all parameters as one vector and cannot leave some of them out"
_REFUSALS = (
    _Refusal((skorch.Checkpoint, skorch.TrainEndCheckpoint, skorch.LoadInitState), _FILES),
    _Refusal((skorch.Freezer, skorch.Unfreezer), _FROZEN, lambda _, training: training.one_vector),
    _Refusal(
        (skorch.ParamMapper,),
        _FROZEN,
        lambda callback, training: (
            training.one_vector and callback.fn in (freeze_parameter, unfreeze_parameter)
        ),
    ),
    _Refusal((skorch.InputShapeSetter,), "the network takes the number of inputs from X by itself"),
    _Refusal(
        (skorch.BatchScoring,),
        "a batch is seen under fresh dropout noise, which says little about the model; "
        "EpochScoring scores the model after each epoch",
    ),
    _Refusal(
        _SCORES,
        "it scores rows that are held out, and there are none without early_stopping=True; "
        "on_train=True takes the training rows",
        lambda callback, training: not callback.on_train and not training.watched,
    ),
    _Refusal(
        _SCORES,
        "it scores one model on rows that are held out, and cross-fitted members have each their "
        "own; cv=None or X_val hold out the same from all, on_train=True takes the training rows",
        lambda callback, training: not callback.on_train and training.n_folds > 1,
    ),
    _Refusal(
        (skorch.PassthroughScoring,),
        "held-out rows are not taken in batches; on_train=True averages over the training batches",
        lambda callback, _: not callback.on_train,
    ),
    _Refusal(
        (skorch.EarlyStopping,),
        "it watches a score of held-out rows, and there are none without early_stopping=True; "
        "monitor='train_loss' is always there",
        lambda callback, training: (
            str(callback.monitor).startswith("valid_") and not training.watched
        ),
    ),
    _Refusal(
        (skorch.EarlyStopping,),
        "load_best=True holds all members to one epoch; the estimator's own early_stopping=True "
        "keeps the best weights of each",
        lambda callback, training: callback.load_best and training.n_members > 1,
    ),
    _Refusal(
        _LOGGERS,
        "loggers hear of epochs, not of batches; log_on_batch_end must be False",
        lambda callback, _: getattr(callback, "log_on_batch_end", False),
    ),
    _Refusal(
        (skorch.WandbLogger,),
        "it saves weights when the score of held-out rows is the best so far, and there are none "
        "without early_stopping=True; save_model=False logs without",
        lambda callback, training: callback.save_model and not training.watched,
    ),
)


def adapted(entries: Sequence[Any], owner: str, training: Training) -> list:
    """Copies of callbacks, made to work with a stack: callbacks keep state.

    Parameters
    ----------
    entries : sequence of Callback, class or (str, Callback or class)
    owner : str
        Class of the estimator, for errors.
    training : Training

    Raises
    ------
    ValueError
        If one of them cannot work, with the reason.
    """
    memo: dict = {}
    pairs = [entry if isinstance(entry, tuple) else (None, entry) for entry in entries]
    copies = []
    for name, callback in pairs:
        _refuse(callback, owner, training)
        own = _adapted(callback, memo)
        copies.append(own if name is None else (name, own))
    return copies


def _refuse(callback: Any, owner: str, training: Training) -> None:
    kind = callback if isinstance(callback, type) else type(callback)
    for kinds, reason, applies in _REFUSALS:
        if not issubclass(kind, kinds):
            continue
        # A class that stands for an object with its defaults has them as arguments only.
        if applies is None or applies(kind() if callback is kind else callback, training):
            raise ValueError(
                f"{owner}: callbacks: skorch's {kind.__name__} does not work here: {reason}"
            )


def _adapted(callback: Any, memo: dict) -> Callback:
    callback = callback() if isinstance(callback, type) else callback
    if isinstance(callback, _LOGGERS):
        return Shared(_of_numbers(copy.copy(callback)))
    own = copy.deepcopy(callback, memo)
    if isinstance(own, skorch.EpochScoring):
        return EpochScores(own)
    if isinstance(own, skorch.ProgressBar) and own.batches_per_epoch == "auto":
        # The batches that there were in the last epoch: skorch's guess knows another batch size.
        own.batches_per_epoch = "count"
    return Table(_of_numbers(own)) if isinstance(own, skorch.PrintLog) else own


def _of_numbers(callback: Any) -> Any:
    """The callback, which now leaves out what is not a number."""
    ignored = callback.keys_ignored or []
    ignored = [ignored] if isinstance(ignored, str) else list(ignored)
    callback.keys_ignored = [*ignored, *_NOT_NUMBERS]
    return callback


class EpochScores(Callback):
    """An `EpochScoring` that scores the estimator as it is after an epoch.

    skorch's would put together what the net returned for each batch, under noise and in training.

    Parameters
    ----------
    scoring : EpochScoring
        Its `scoring` is asked of an estimator of the user's class. What it records stays the same.
    """

    def __init__(self, scoring: skorch.EpochScoring) -> None:
        self.scoring = scoring

    def initialize(self) -> EpochScores:
        self.scoring.initialize()
        return self

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        # The best score of earlier calls is still the best.
        self.scoring.on_train_begin(net, None, None)

    def on_epoch_end(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        rows = dataset_train if self.scoring.on_train else dataset_valid[0]
        model = _of_encoded(net.model_, rows.x.shape[1])
        X, y = given(rows.x), model._target.decode(rows.y.cpu().numpy())
        score = self.scoring._scoring(model, X, y)
        self.scoring._record_score(net.history, score)


def _of_encoded(model: Any, n_columns: int) -> Any:
    """An estimator for rows that are encoded already, as training has them."""
    if model._encoder is None:
        return model
    model = copy.copy(model)
    model._encoder, model.n_features_in_ = None, n_columns
    vars(model).pop("feature_names_in_", None)
    return model


class Table(Callback):
    """A `PrintLog` in its place: skorch puts one behind the callback that ends training.

    Parameters
    ----------
    table : PrintLog
    """

    def __init__(self, table: skorch.PrintLog) -> None:
        self.table = table

    def initialize(self) -> Table:
        self.table.initialize()
        return self

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        self.table.on_epoch_end(net, **kwargs)


class Shared(Callback):
    """A logger, which holds a connection that can be neither copied nor pickled.

    A copy logs to the same place; what comes out of a pickle logs nothing.

    Parameters
    ----------
    logger : Callback or None
    """

    def __init__(self, logger: Callback | None) -> None:
        self.logger = logger

    def initialize(self) -> Shared:
        if self.logger is not None:
            self.logger.initialize()
        return self

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        # Weights & Biases would attach to the module, whose gradients are not autograd's.
        if not isinstance(self.logger, skorch.WandbLogger):
            self._tell("on_train_begin", net, X=X, y=y, **kwargs)

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        self._tell("on_epoch_begin", net, **kwargs)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        self._tell("on_epoch_end", net, **kwargs)

    def on_train_end(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        self._tell("on_train_end", net, X=X, y=y, **kwargs)

    def _tell(self, event: str, net: Any, **kwargs: Any) -> None:
        if self.logger is not None:
            getattr(self.logger, event)(net, **kwargs)

    def __deepcopy__(self, memo: dict) -> Shared:
        return Shared(self.logger)

    def __getstate__(self) -> dict:
        return {"logger": None}
