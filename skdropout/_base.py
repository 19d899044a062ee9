"""`fit` as a template, for both estimators."""

from __future__ import annotations

import copy
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import BaseEstimator, is_classifier
from sklearn.model_selection import train_test_split
from sklearn.utils.validation import _check_sample_weight

from ._calibration import CalibratedInFit
from ._device import resolve_device
from ._random import new_seed
from ._rounds import fixed_draws
from .arrays import as_tensor
from .caller_warnings import warn
from .likelihood import Likelihood
from .network import Architecture, Member
from .rows import Rows
from .stacking import Job, train_net, train_passes
from .steps import Plan
from .training import DropoutNet, NonFiniteLossError

# Draws behind the validation score of each epoch: enough that it sees the noise, few enough
# that early stopping costs about one more forward pass over the training rows.
_VALIDATION_DRAWS = 10
# Passes over the rows of one call of `partial_fit`, whatever their weights.
_MOST_PASSES = 100
# Of a mean weight: no reason for one more pass.
_ROUNDING = 1e-9


class Described(NamedTuple):
    """Data that an estimator has checked and encoded.

    Attributes
    ----------
    rows : Rows
    attributes : dict
        Of the estimator, which say what inputs and target are.
    parts : dict
        Rows to train on and rows that early stopping watches, by the seed and the share.
    """

    rows: Rows
    attributes: dict[str, Any]
    parts: dict[tuple[int, float], tuple[Rows, Rows]]


class DropoutMLP(CalibratedInFit, ABC):
    """The estimators without what makes them a classifier or a regressor.

    Subclasses say what a target is: they validate, encode and decode it and name its
    likelihood. How a network is trained on it is here.
    """

    @abstractmethod
    def _validate_xy(self, X: Any, y: Any, reset: bool) -> tuple[np.ndarray, np.ndarray]:
        """Checked arrays of equal length."""

    @abstractmethod
    def _total_weight(
        self, y: np.ndarray, weight: np.ndarray | None, classes: Any, first: bool
    ) -> np.ndarray | None:
        """Sample weights with everything else that weighs rows multiplied in."""

    @abstractmethod
    def _set_target(self, y: np.ndarray, weight: np.ndarray | None, classes: Any) -> None:
        """Set the attributes that `_encode_target` and the predictions need."""

    @abstractmethod
    def _check_again(self, y: np.ndarray, classes: Any) -> None:
        """Refuse a target, of rows that count, that differs from the first in what was set."""

    @abstractmethod
    def _encode_target(self, y: np.ndarray) -> np.ndarray:
        """Target as the likelihood wants it."""

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
            self._train(net, job.rows)
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
        rows, _ = self._training_rows(X, y, sample_weight, None, first=first)
        validation = self._validation_rows(X_val, y_val, sample_weight_val)
        if validation is None and self.early_stopping:
            rows, validation = self._split(rows, seed)
        return self._make_job(rows, validation, seed)

    def _describe(self, X: Any, y: Any, sample_weight: Any = None) -> Described:
        """The part of `_job` on which the parameters that both estimators share have no bearing."""
        rows, _ = self._training_rows(X, y, sample_weight, None, first=True)
        parameters = self.get_params(deep=False)
        attributes = {k: v for k, v in vars(self).items() if k not in parameters}
        return Described(rows, attributes, {})

    def _job_of(self, described: Described) -> Job:
        """`_job`, for data that an estimator of the same class has described."""
        self._validate_params()
        self.__dict__.update(described.attributes)
        seed = new_seed(self.random_state)
        if not self.early_stopping:
            return self._make_job(described.rows, None, seed)
        key = seed, self.validation_fraction
        if key not in described.parts:
            described.parts[key] = self._split(described.rows, seed)
        return self._make_job(*described.parts[key], seed)

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
            rows, weight = self._training_rows(X, y, sample_weight, classes, first=not again)
            if again:
                net = copy.deepcopy(self.net_)
            else:
                net = self._make_job(rows, None, new_seed(self.random_state)).net()
            # One pass has no second half to learn in what is held constant in the first.
            net.criterion.release()
            self._train(net, rows, *self._passes(weight))
        return self

    def _passes(self, weight: float) -> tuple[int, float]:
        """Whole passes over the rows that a mean weight stands for, and the share of one more."""
        if weight > _MOST_PASSES:
            warn(
                f"{type(self).__name__}.partial_fit: the weights of the rows have a mean of "
                f"{weight:.6g}, which is as many passes over them; {_MOST_PASSES} are made. Divide "
                "the weights of all calls by the same number"
            )
            return _MOST_PASSES, 0.0
        whole = int(weight + _ROUNDING)
        share = max(weight - whole, 0.0)
        return whole, 0.0 if whole and share < _ROUNDING else share

    def _training_rows(
        self, X: Any, y: Any, sample_weight: Any, classes: Any, first: bool
    ) -> tuple[Rows, float]:
        """Validate and encode. Rows of weight zero leave here, before anything is random.

        Returns
        -------
        rows : Rows
            Their weights have mean one.
        weight : float
            The mean of the weights before.
        """
        X, y = self._validate_xy(X, y, reset=first)
        weight = self._total_weight(y, self._check_weight(sample_weight, X), classes, first)
        used = np.ones(len(y), dtype=bool) if weight is None else weight > 0
        if not used.any():
            raise ValueError(f"{type(self).__name__}: every row has a sample_weight of zero")
        if first:
            self._set_target(y, weight, classes)
        else:
            self._check_again(y[used], classes)
        target = self._encode_target(y)
        if weight is None:
            return self._rows(X, target, None), 1.0
        if not used.all():
            X, target, weight = X[used], target[used], weight[used]
        if np.ptp(weight) == 0:
            # Equal weights are no weights, bit for bit; others have mean one.
            return self._rows(X, target, None), float(weight[0])
        mean = weight.mean()
        return self._rows(X, target, weight / mean), float(mean)

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
        return rows.part(torch.from_numpy(train)), rows.part(torch.from_numpy(held_out))

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

    def _train(
        self, net: DropoutNet, rows: Rows, passes: int | None = None, share: float = 0.0
    ) -> None:
        """Train until the end, or for so many single epochs and a share of one more."""
        n_before = len(net.history) if net.initialized_ else 0
        try:
            if passes is None:
                train_net(net, rows, self.max_iter)
            else:
                train_passes(net, rows, passes, share)
            for failure in net.failures_.values():
                raise NonFiniteLossError(failure)
        except NonFiniteLossError as error:
            raise ValueError(self._divergence(error, rows)) from error
        self._accept(net, len(rows), n_before)


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
