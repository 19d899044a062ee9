"""`fit` as a template, for both estimators."""

from __future__ import annotations

import copy
import itertools
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import BaseEstimator, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_sample_weight
from torch import Tensor

from ._device import resolve_device
from ._prediction import Prediction
from ._random import local_random_state, new_seed
from ._rounds import fixed_draws
from .calibration import folds
from .draws import evaluate
from .likelihood import Likelihood
from .network import Architecture, Member, Stack
from .rows import Rows, as_tensor
from .sparsity import sparsify
from .stacking import Job, train_jobs, train_net
from .steps import Plan
from .training import DropoutNet, NonFiniteLossError

# Draws of the networks that calibrate: a few per cent of error in the spread between them.
_CALIBRATION_DRAWS = 50
# Draws behind the validation score of each epoch: enough that it sees the noise, few enough
# that early stopping costs about one more forward pass over the training rows.
_VALIDATION_DRAWS = 10


class HeldOut(NamedTuple):
    """What networks say about rows that they were not trained on.

    Attributes
    ----------
    likelihood : Likelihood
        Theirs.
    raws : list of Tensor of shape (n_draws, rows, n_raw), one per member
    rows : Rows
    """

    likelihood: Likelihood
    raws: list[Tensor]
    rows: Rows

    @property
    def weight(self) -> np.ndarray:
        """Of the rows; ones if they have none."""
        weight = self.rows.weight
        return np.ones(len(self.rows)) if weight is None else weight.cpu().double().numpy()


class DropoutMLP(Prediction, ABC):
    """The estimators without what makes them a classifier or a regressor.

    Subclasses say what a target is: they validate, encode and decode it and name its
    likelihood. Everything else is here.
    """

    @abstractmethod
    def _validate_xy(self, X: Any, y: Any, reset: bool) -> tuple[np.ndarray, np.ndarray]:
        """Checked arrays of equal length."""

    @abstractmethod
    def _total_weight(self, y: np.ndarray, weight: np.ndarray | None) -> np.ndarray | None:
        """Sample weights with everything else that weighs rows multiplied in."""

    @abstractmethod
    def _set_target(self, y: np.ndarray, weight: np.ndarray | None, classes: Any) -> None:
        """Set the attributes that `_encode_target` and the predictions need."""

    @abstractmethod
    def _encode_target(self, y: np.ndarray) -> np.ndarray:
        """Target as the likelihood wants it."""

    calibration_: dict[str, Any] | None

    @abstractmethod
    def _make_likelihood(self) -> Likelihood:
        """Likelihood of the encoded target."""

    # ---- fit -----------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Any:
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs: a dense array, a list or a DataFrame. Scale them first, as for any network.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Class labels of any type, or real targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Factor on each row's loss. A weight of zero leaves the row out.
        X_val : array-like of shape (n_val, n_features), default=None
            Rows that early stopping watches instead of a random part of `X`. Only with
            ``early_stopping=True``.
        y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None
            Their targets.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            For a parameter or data out of range, or if training diverges. What was fitted
            before stays as it was.
        """
        # Tensors that are made in the caller's inference mode could not be trained.
        with _restored_on_error(self), torch.inference_mode(False):
            again = self.warm_start and hasattr(self, "net_")
            job = self._job(X, y, sample_weight, X_val, y_val, sample_weight_val, first=not again)
            if again:
                net = job.net(*copy.deepcopy((self.net_.module_, self.net_.criterion_)))
            else:
                net = job.net()
            self._train(net, job.rows, self.max_iter)
            self._warn_if_unfinished(net)
            self._calibrate(job)
        return self

    def _job(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
        *,
        first: bool = True,
    ) -> Job:
        """What `fit` has to train. Sets the attributes that describe inputs and target."""
        self._validate_params()
        seed = new_seed(self.random_state)
        rows = self._training_rows(X, y, sample_weight, None, first=first)
        validation = self._validation_rows(X_val, y_val, sample_weight_val)
        if validation is None and self.early_stopping:
            rows, validation = self._split(rows, seed)
        return self._make_job(rows, validation, seed)

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, classes: Any) -> Any:
        # Tensors that are made in the caller's inference mode could not be trained.
        with _restored_on_error(self), torch.inference_mode(False):
            self._validate_params()
            if self.early_stopping:
                raise ValueError(
                    f"{type(self).__name__}.partial_fit does not support early_stopping=True: "
                    "one pass over the rows leaves nothing to stop"
                )
            again = hasattr(self, "net_")
            rows = self._training_rows(X, y, sample_weight, classes, first=not again)
            if again:
                net = copy.deepcopy(self.net_)
            else:
                net = self._make_job(rows, None, new_seed(self.random_state)).net()
            self._train(net, rows, epochs=1)
        return self

    def _training_rows(self, X: Any, y: Any, sample_weight: Any, classes: Any, first: bool) -> Rows:
        """Validate and encode. Rows of weight zero leave here, before anything is random."""
        X, y = self._validate_xy(X, y, reset=first)
        weight = self._total_weight(y, self._check_weight(sample_weight, X))
        if weight is not None and not (weight > 0).any():
            raise ValueError(f"{type(self).__name__}: every row has a sample_weight of zero")
        if first:
            self._set_target(y, weight, classes)
        target = self._encode_target(y)
        if weight is not None:
            used = weight > 0
            if not used.all():
                X, target, weight = X[used], target[used], weight[used]
            # Equal weights are no weights, bit for bit; others have mean one.
            weight = None if np.ptp(weight) == 0 else weight / weight.mean()
        return self._rows(X, target, weight)

    def _validation_rows(self, X: Any, y: Any, sample_weight: Any) -> Rows | None:
        given = {"X_val": X, "y_val": y, "sample_weight_val": sample_weight}
        present = [name for name, value in given.items() if value is not None]
        if not present:
            return None
        if X is None or y is None:
            missing = "X_val" if X is None else "y_val"
            raise ValueError(
                f"{type(self).__name__}.fit: {present[0]} was given, but {missing} was not"
            )
        if not self.early_stopping:
            raise ValueError(
                f"{type(self).__name__}.fit: X_val and y_val are for early stopping, but "
                "early_stopping=False"
            )
        X, y = self._validate_xy(X, y, reset=False)
        return self._rows(X, self._encode_target(y), self._check_weight(sample_weight, X))

    def _check_weight(self, weight: Any, X: np.ndarray) -> np.ndarray | None:
        if weight is None:
            return None
        return _check_sample_weight(weight, X, dtype=np.float64, ensure_non_negative=True)

    def _rows(self, X: np.ndarray, target: np.ndarray, weight: np.ndarray | None) -> Rows:
        x = as_tensor(X).to(torch.float32)
        if X.dtype != np.float32 and not x.isfinite().all():
            raise ValueError(
                f"{type(self).__name__}: X reaches {np.abs(X).max():.3g} in absolute value, too "
                "large for float32, in which networks are trained; scale it (StandardScaler)"
            )
        return Rows(x, as_tensor(target), None if weight is None else as_tensor(weight).float())

    def _split(self, rows: Rows, seed: int) -> tuple[Rows, Rows]:
        """Hold out a random part for early stopping."""
        try:
            train, held_out = train_test_split(
                np.arange(len(rows)),
                test_size=self.validation_fraction,
                random_state=seed,
                stratify=rows.y.numpy() if is_classifier(self) else None,
            )
        except ValueError as error:
            raise ValueError(
                f"{type(self).__name__}: cannot hold out validation_fraction="
                f"{self.validation_fraction} of {len(rows)} rows for early stopping: {error}"
            ) from error
        parts = [Rows(*rows[torch.from_numpy(part)]) for part in (train, held_out)]
        for part in parts:
            if part.weight is not None:
                part.weight = part.weight / part.weight.mean()
        return parts[0], parts[1]

    def _make_job(self, rows: Rows, validation: Rows | None, seed: int, quiet: bool = False) -> Job:
        """A job over rows; a quiet one neither warns nor calls the user back."""
        name = type(self).__name__
        if self.normalization == "batch" and len(rows) < 2:
            raise ValueError(
                f"{name}: normalization='batch' needs at least 2 rows, got n_samples = {len(rows)}"
            )
        hidden, likelihood = self._hidden_widths(), self._make_likelihood()
        widths = (rows.x.shape[1], *hidden, likelihood.n_raw)
        seeds = np.random.SeedSequence(seed).generate_state(self.n_members)
        rates = self._rates(len(hidden))
        options = {option: getattr(self, option) for option in Plan.__dataclass_fields__}
        options["batch_size"] = self._batch_size(len(rows), quiet)
        n_weights = self.n_members * sum(a * b for a, b in itertools.pairwise(widths))
        device = resolve_device(self.device, n_weights * options["batch_size"], name)
        return Job(
            architecture=Architecture(widths, self.activation, self.normalization),
            members=tuple(Member(int(seed), self._family(), rates) for seed in seeds),
            likelihood=likelihood,
            plan=Plan(**options),
            rows=rows,
            validation=validation,
            n_validation_draws=min(fixed_draws(self.n_draws), _VALIDATION_DRAWS),
            max_iter=self.max_iter,
            callbacks=tuple(self._all_callbacks(quiet)),
            device=str(device),
        )

    def _train(self, net: DropoutNet, rows: Rows, epochs: int) -> None:
        n_before = len(net.history) if net.initialized_ else 0
        try:
            train_net(net, rows, epochs)
            for failure in net.failures_.values():
                raise NonFiniteLossError(failure)
        except NonFiniteLossError as error:
            raise ValueError(self._divergence(error, rows)) from error
        self._accept(net, len(rows), n_before)

    # ---- calibration ---------------------------------------------------------------------

    def _calibrate(self, job: Job) -> None:
        """Set `calibration_` from rows that are new to the networks, if the user wants it."""
        parts = self._fold_jobs(job)
        self._set_calibration(job, parts, train_jobs([fold for fold, _ in parts]))

    def _set_calibration(self, job: Job, parts: list[tuple[Job, np.ndarray]], nets: list) -> None:
        """The same, given what `_fold_jobs` said and the nets that were trained so."""
        self.calibration_ = None
        if self.calibrate and self._can_calibrate():
            self.calibration_ = self._calibration(self._held_out(job, parts, nets))

    def _can_calibrate(self) -> bool:
        """Whether there is a number to choose."""
        return True

    @abstractmethod
    def _calibration(self, held_out: Iterable[HeldOut]) -> dict[str, Any] | None:
        """Choose the one number by likelihood, and say what was done: `calibration_`."""

    def _fold_jobs(self, job: Job) -> list[tuple[Job, np.ndarray]]:
        """Networks to be trained without some rows of a job, and which rows these are."""
        if not self.calibrate or job.validation is not None or not self._can_calibrate():
            return []
        rows, rng = job.rows, local_random_state(job.members[0].seed)
        jobs = []
        for part in folds(len(rows), rng, rows.y.numpy() if is_classifier(self) else None):
            training = Rows(*rows[torch.from_numpy(np.delete(np.arange(len(rows)), part))])
            if training.weight is not None:
                training.weight = training.weight / training.weight.mean()
            jobs.append((self._make_job(training, None, new_seed(rng), quiet=True), part))
        return jobs

    def _held_out(
        self, job: Job, parts: list[tuple[Job, np.ndarray]], nets: list
    ) -> Iterator[HeldOut]:
        """Rows, and what networks say about them that were not trained on them."""
        if job.validation is not None:
            yield self._said(self.net_, job.validation)
        for net, (_, part) in zip(nets, parts, strict=True):
            if isinstance(net, NonFiniteLossError):
                raise ValueError(self._divergence(net, job.rows)) from net
            yield self._said(net, Rows(*job.rows[torch.from_numpy(part)]))

    def _said(self, net: DropoutNet, rows: Rows) -> HeldOut:
        stack = net.module_
        n_draws = min(fixed_draws(self.n_draws), _CALIBRATION_DRAWS)
        with torch.inference_mode():
            plain = stack.draw(n_draws) if n_draws and stack.noisy else stack.plain()
            chunks = [raws for _, raws in evaluate(plain, rows.x.to(net.device))]
            raws = [torch.cat(parts, 1) for parts in zip(*chunks, strict=True)]
        return HeldOut(net.criterion_, raws, rows)

    def _accept(self, net: DropoutNet, n_rows: int, n_before: int = 0) -> None:
        """Take a trained net, and set the attributes that follow from it."""
        seen: int = getattr(self, "t_", 0) if n_before else 0
        if not n_before:
            self.calibration_ = None
        self.net_ = net
        self._set_training_attributes(net)
        self.t_ = seen + (self.n_iter_ - n_before) * n_rows
        for depth, linear in enumerate(net.module_.linears):
            if complaint := linear.complaint():
                place = f"the inputs of layer {depth + 1}" if depth else "the inputs"
                warnings.warn(f"{type(self).__name__}: {place}: {complaint}", stacklevel=5)

    def _divergence(self, error: NonFiniteLossError, rows: Rows) -> str:
        largest = rows.x.abs().max().item()
        if largest > 1e3:
            cause = f"X reaches {largest:.3g} in absolute value; scale it (StandardScaler)"
        else:
            cause = (
                f"learning_rate_init={self.learning_rate_init} is too large for "
                f"solver={self.solver!r}; make it smaller"
            )
        return f"{type(self).__name__}: training diverged, {error}. The likely cause: {cause}"

    def _warn_if_unfinished(self, net: DropoutNet) -> None:
        if net.history and net.history[-1].get("interrupted", False):
            warnings.warn(
                f"{type(self).__name__}: training interrupted by the user in epoch "
                f"{len(net.history)}; the best weights so far are kept",
                stacklevel=3,
            )
        elif len(net.history) == self.max_iter and not net.converged_.all():
            warnings.warn(
                f"{type(self).__name__}: maximum iterations max_iter={self.max_iter} reached and "
                "the optimization has not converged yet",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _set_training_attributes(self, net: DropoutNet) -> None:
        # An epoch that was interrupted has no record of its own.
        history = [epoch for epoch in net.history if "interrupted" not in epoch]
        self.n_iter_ = len(history)
        self.n_layers_ = len(net.module_.architecture.widths)
        self.loss_curve_ = [epoch["train_loss"] for epoch in history]
        self.loss_ = self.loss_curve_[-1] if history else None
        self.best_loss_ = self.validation_scores_ = self.best_validation_score_ = None
        if self.early_stopping:
            self.validation_scores_ = [-epoch["valid_loss"] for epoch in history]
            self.best_validation_score_ = max(self.validation_scores_, default=None)
        else:
            self.best_loss_ = min(self.loss_curve_, default=None)
        names = ("likelihood", "kl", "penalty")
        self.loss_terms_ = {name: [epoch[f"train_{name}"] for epoch in history] for name in names}
        self.dropout_rates_ = net.module_.rates().mean(0)
        self.dropout_rates_curve_ = np.array([epoch["dropout_rates"] for epoch in history])
        self._set_sparsity(net.module_)

    def _set_sparsity(self, stack: Stack) -> None:
        sizes = np.array([linear.weight.numel() for linear in stack.linears])
        living = [linear.alive() for linear in stack.linears]
        off = np.array([0 if alive is None else int((~alive).sum()) for alive in living])
        self.sparsity_per_layer_ = off / sizes
        self.sparsity_ = float(off.sum() / sizes.sum())

    def _can_sparsify(self) -> bool:
        name = f"{type(self).__name__}.sparsify"
        if not hasattr(self, "net_"):
            raise AttributeError(f"{name}: the model is not fitted yet")
        if all(linear.alive() is None for linear in self.net_.module_.linears):
            raise AttributeError(
                f"{name}: dropout={self.dropout!r} is a noise family that switches no weights off"
            )
        return True

    @available_if(_can_sparsify)
    def sparsify(self) -> Any:
        """The fitted model without the units and inputs that its noise family switched off.

        There is this method only once the model is fitted, and only with a family that switches
        weights off. An input goes if no weight leaves it, a hidden unit if no weight leaves it
        or if its output is always zero; with several members, if that is so in all of them.

        Returns
        -------
        estimator : object
            Of the same class and parameters, with the same functions: its predictions differ
            from this model's by rounding only. It takes rows with all `n_features_in_` columns.

        Raises
        ------
        AttributeError
            If there is nothing that could be switched off.
        """
        with torch.inference_mode(False), torch.enable_grad():
            stack = sparsify(self.net_.module_)
            sparse = copy.copy(self)
            sparse.net_ = self.net_.replaced(stack)
        sparse._set_sparsity(stack)
        return sparse


@contextmanager
def _restored_on_error(estimator: BaseEstimator) -> Iterator[None]:
    """Leave an estimator as it was if the block raises."""
    before = vars(estimator).copy()
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
