"""What all estimators are: parameters, and a target, a net and a calibration that they hold."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from .._inference.functions import Functions, reduce
from .._inference.process import GaussianProcess
from .._predictive.frames import uncertainty_frame
from .._predictive.needed_draws import draws_of_each, fixed_draws
from .._predictive.uncertainty import Uncertainty
from .._support.caller_warnings import warn
from .._support.random import new_seed
from .._support.sklearn import StrOptions, validate_parameter_constraints, validate_parameters
from .._support.threads import threads_for
from .._training.net import NonFiniteLossError
from .._training.rows import Rows
from .answering import check_error, functions_of
from .calibration import OutOfFold, calibrated, out_of_fold
from .described import COLUMN_ATTRIBUTES, Described, describe, validation_rows
from .distance import conditioned
from .fitting import Fitting
from .report import complaints, divergence, fitted_attributes
from .targets import Target

# Passes over the rows of one call of `partial_fit`, whatever their weights.
_MOST_PASSES = 100
# Attributes that there are with ``store_oof=True``.
_OF_STORE_OOF = ("_out_of_fold", "oof_proba_", "oof_mean_", "oof_std_")

# Of a mean weight: no reason for one more pass.
_ROUNDING = 1e-9


class DropoutEstimator(BaseEstimator, ABC):
    """What classifiers and regressors have in common, of layers that they make or of modules.

    They say what a target is and which predictions there are, and what is trained. The way from
    data to something trained, and from that to predictions, is here.
    """

    net_: Any
    _encoder: Any
    _numeric_target: ClassVar[bool]
    calibration_: dict[str, Any] | None
    _target: Any
    _process: GaussianProcess | None = None

    @abstractmethod
    def _checked_target(self, y: np.ndarray, reset: bool) -> np.ndarray:
        """Targets, of which scikit-learn has checked all that it can. `reset`: they are new."""

    @abstractmethod
    def _total_weight(
        self, y: np.ndarray, weight: np.ndarray | None, classes: Any, again: bool
    ) -> np.ndarray | None:
        """Sample weights with everything else that weighs rows multiplied in."""

    @abstractmethod
    def _check_again(self, y: np.ndarray, classes: Any) -> None:
        """Refuse a target, of rows that count, that differs from the first in what was set."""

    @abstractmethod
    def _read_target(self, y: np.ndarray, weight: np.ndarray | None, classes: Any) -> Target:
        """What y is, from training rows."""

    # What the parameters say, which are those of the leaves.
    n_draws: Any
    n_members: Any
    inference: Any
    cv: Any
    warm_start: Any
    random_state: Any
    max_iter: Any
    store_oof: Any

    @abstractmethod
    def _check_x(self, X: Any) -> Any:
        """Checked rows for a fitted estimator."""

    @abstractmethod
    def _check_xy(
        self,
        X: Any,
        y: Any,
        reset: bool,
        counts: np.ndarray | None = None,
        streamed: bool = False,
    ) -> tuple[Any, np.ndarray]:
        """Checked rows, an array or a matrix in CSR format, and targets of equal length.

        Parameters
        ----------
        X, y
            As the user gave them.
        reset : bool
            Whether the columns are new to the estimator.
        counts : ndarray of bool of shape (n_samples,) or None
            Rows that have a weight.
        streamed : bool, default=False
            As for `checked_table`.
        """

    @abstractmethod
    def _prepare(self, described: Described, given: Rows | None, seed: int | None) -> Fitting:
        """What a fit has to train."""

    @abstractmethod
    def _train_net(self, net: Any, fitting: Fitting) -> None:
        """Train a net of a fitting."""

    @abstractmethod
    def _streaming(self, described: Described, again: bool) -> tuple[Described, Any]:
        """A net for `partial_fit`, and the data as it takes them. `again`: it goes on."""

    @abstractmethod
    def _train_passes(self, net: Any, rows: Rows, passes: int, share: float) -> None:
        """Train a net for single passes over rows, and a share of one more."""

    @abstractmethod
    def _of_net(self, net: Any) -> dict[str, Any]:
        """Fitted attributes that follow from a net, beside those of its training."""

    @abstractmethod
    def _noise_complaints(self, net: Any) -> Iterator[str]:
        """What a user should hear of the noise."""

    def _check_noise(self, method: str) -> None:
        """Say in words of its own that a single network has no noise."""
        return

    @abstractmethod
    def _measures(self) -> frozenset[str]:
        """Measures of uncertainty that there are."""

    @abstractmethod
    def _shaped(self, values: np.ndarray) -> np.ndarray:
        """Predictions ``(rows, n_outputs, ...)`` in the shape that users get."""

    @abstractmethod
    def _column_names(self) -> list[str] | None:
        """Names of the outputs in a DataFrame; None for numbers."""

    # ---- fit -----------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        groups: Any = None,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Any:
        """Train the networks.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            A DataFrame, an array or a list. Scale numbers first, as for any network, or let
            `input_encoding` do it; it also takes categories, dates and missing values. A sparse
            matrix stays one: it is never made dense as a whole.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Class labels of any type, or real targets. For several labels per row (classifier) an
            array, DataFrame or sparse matrix of 0 and 1, with a column for each label. With
            several columns single cells may be missing (NaN, None, `pandas.NA`; not in a sparse
            matrix). A row's loss is the sum over the cells that it has, whatever their number;
            noise, scale of y, early stopping and calibration go by these cells too, and a row
            without any is left out. Each column needs a value.
        sample_weight : array-like of shape (n_samples,), default=None
            Factor on each row's loss. A weight of zero leaves the row out.
        groups : array-like of shape (n_samples,), default=None
            Which rows belong together, such as those of one patient. They are never on both sides
            of a split that the estimator makes, so it stops and is calibrated for new groups.
        X_val : array-like of shape (n_val, n_features), default=None
            Rows for early stopping and calibration, in the place of folds or a part of `X`.
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
        with _restored_on_error(self), torch.inference_mode(False), threads_for():
            validate_parameters(self)
            again = self.warm_start and hasattr(self, "net_")
            described = describe(self, X, y, sample_weight, again=again, groups=groups)
            given = validation_rows(self, described, X_val, y_val, sample_weight_val)
            # Whoever goes on holds out the same rows from each network as before.
            fitting = self._prepare(described, given, self._seed if again else None)
            net = fitting.job.net(*self._going_on(fitting)) if again else fitting.job.net()
            self._train(net, fitting.described, lambda: self._train_net(net, fitting))
            if net.failures_:
                net = net.select(net.survivors(range(len(net.plans))))
            return self._receive(fitting, net)

    def _going_on(self, fitting: Fitting) -> tuple:
        """Copies of the networks that there are, if they are as many as are to be trained."""
        there, wanted = len(self.net_.module_.members), len(fitting.job.members)
        if there != wanted:
            raise ValueError(
                f"{type(self).__name__}: warm_start=True goes on with the {there} networks that "
                f"there are, but cv={self.cv!r:.100} and n_members={self.n_members} now make "
                f"{wanted}; start anew with warm_start=False"
            )
        return copy.deepcopy((self.net_.module_, self.net_.criterion_))

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, classes: Any) -> Any:
        # Tensors that are made in the caller's inference mode could not be trained.
        with _restored_on_error(self), torch.inference_mode(False), threads_for():
            validate_parameters(self)
            again = hasattr(self, "net_")
            described = describe(self, X, y, sample_weight, classes, again, streamed=True)
            if not again:
                self._seed, self.n_folds_ = new_seed(self.random_state), 0
            described, net = self._streaming(described, again)
            n_before = len(net.history) if net.initialized_ else 0
            rows, passes = described.rows, self._passes(described.weight)
            self._train(
                net, described, lambda: self._train_passes(net, rows, *passes), all_must=True
            )
            self._adopt(described, net, n_before)
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

    def _train(
        self,
        net: Any,
        described: Described,
        train: Callable[[], None],
        all_must: bool = False,
    ) -> None:
        """Train, and raise if all networks diverged, or any one that must not."""
        net.model_ = self._in_training(net, described)
        try:
            train()
            net.survivors(range(len(net.plans)))
            for failure in net.failures_.values() if all_must else ():
                raise NonFiniteLossError(failure)
        except NonFiniteLossError as error:
            raise divergence(self, error, described.rows) from error

    def _in_training(self, net: Any, described: Described) -> DropoutEstimator:
        """An estimator that predicts with a net in training, for callbacks that score it."""
        model = copy.copy(self)
        model.__dict__.update(described.attributes())
        model.net_, model.calibration_, model._process = net, None, None
        return model

    def _receive(self: Any, fitting: Fitting, net: Any) -> Any:
        """Receive what was trained, and set everything that follows from it.

        Parameters
        ----------
        fitting : Fitting
        net : DropoutNet or NonFiniteLossError
            Of its job.
        """
        if isinstance(net, NonFiniteLossError):
            raise divergence(self, net, fitting.job.rows) from net
        self._adopt(fitting.described, net, max_iter=self.max_iter, n_rows=fitting.n_rows)
        n_lost = len(fitting.job.members) - len(net.module_.members)
        if n_lost and not net.interrupted:
            warn(
                f"{type(self).__name__}: the training of {n_lost} of {len(fitting.job.members)} "
                "networks diverged; the others predict without them. The likely cause is in X "
                "(scale it) or in a learning_rate_init that is too large"
            )
        self._seed, self.n_folds_ = fitting.seed, fitting.n_folds
        told = conditioned(self, fitting, net)
        self.calibration_ = calibrated(self, fitting, net, told)
        if told is not None:
            self._process = told.process(
                fitting.described.target.uncalibrated_size(self.calibration_)
            )
        if self.store_oof:
            self._out_of_fold = OutOfFold.of(fitting, net)
            self.__dict__.update(out_of_fold(self, fitting, net, self.calibration_, told))
        return self

    def _adopt(
        self,
        described: Described,
        net: Any,
        n_before: int = 0,
        max_iter: int | None = None,
        n_rows: int | None = None,
    ) -> None:
        """Hold a trained net and the description of its data; say what a user should hear."""
        n_rows = len(described.rows) if n_rows is None else n_rows
        seen: int = getattr(self, "t_", 0) if n_before else 0
        for name in (*COLUMN_ATTRIBUTES, *_OF_STORE_OOF):
            self.__dict__.pop(name, None)
        self.__dict__.update(described.attributes())
        self.__dict__.update(fitted_attributes(net) | self._of_net(net))
        self.t_ = seen + (self.n_iter_ - n_before) * n_rows
        if not n_before:
            self.calibration_ = self._process = None
        for sentence, category in complaints(self, net, max_iter):
            warn(sentence, category)

    # ---- prediction ----------------------------------------------------------------------

    def predict_uncertainty(
        self,
        X: Any,
        *,
        measure: str = "variance",
        as_frame: bool = False,
        return_error: bool = False,
    ) -> Any:
        """The prediction and how uncertain it is, split by cause.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        measure : {"variance", "entropy"}, default="variance"
            "variance" for numbers is the variance of a new observation, for classes
            ``total = (1 - sum p^2) / 2``, of two classes ``p (1 - p)``. "entropy", for classes
            only: `total` is the predictive entropy, `epistemic` the mutual information and
            `aleatoric` the expected entropy, in nats. Of several labels per row each is for
            itself, as two classes.
        as_frame : bool, default=False
            Return a pandas DataFrame on the index of `X` instead of a tuple.
        return_error : bool, default=False
            Also return the standard errors that these numbers have because `n_draws` is finite.
            They say nothing of how good the model is.

        Returns
        -------
        uncertainty : Uncertainty or DataFrame
            ``total == epistemic + aleatoric``. Classifier: `mean` of shape (n_samples, n_classes),
            the rest (n_samples,); with several labels per row all of shape (n_samples, n_labels),
            `mean` the probabilities that a row has them. Regressor: all of shape (n_samples,) or
            (n_samples, n_outputs), `mean` in the units of y, the rest in its squared units.
        error : Uncertainty
            Only with ``return_error=True``: the standard error of each of these numbers, in the
            same shapes and units. A frame has columns of its own for them, named ``..._error``.

        Raises
        ------
        ValueError
            If the model has no noise and one member, for ``n_draws=0``, and with
            ``return_error=True`` for ``n_draws=1``.
        """
        options = {"measure": measure, "as_frame": as_frame, "return_error": return_error}
        allowed: dict[str, list] = {name: ["boolean"] for name in options}
        allowed["measure"] = [StrOptions(set(self._measures()))]
        validate_parameter_constraints(allowed, options, caller_name=type(self).__name__)
        results = self._uncertainty(X, "predict_uncertainty", measure, return_error)
        if as_frame:
            error = results[1] if return_error else None
            return uncertainty_frame(X, results[0], error, self._column_names())
        return tuple(results) if return_error else results[0]

    def predict_members(self, X: Any) -> np.ndarray:
        """What each member of an ensemble (`n_members`) says: the mean over its own draws.

        Their variance (for classes half the sum of it over the classes) is the part of the
        epistemic variance that is disagreement between members; the rest is between the draws
        of a member.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_members, n_samples), (n_members, n_samples, n_outputs) or \
                (n_members, n_samples, n_classes)
            In the units of y, or probabilities. Their mean over the members is the prediction.
        """
        x = self._check_x(X)

        def means(outputs: list[Any]) -> tuple[np.ndarray]:
            return (np.moveaxis(self._predictive(outputs).members(len(outputs)), 0, 1),)

        (values,) = reduce(functions_of(self), x, means)
        return np.stack([self._shaped(member) for member in np.moveaxis(values, 1, 0)])

    def log_prob(self, X: Any, y: Any) -> np.ndarray:
        """Log predictive density, or probability, of each row's true target.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), (n_samples, n_outputs) or (n_samples, n_labels)
            True labels, or true targets. Of several columns single cells may be missing.

        Returns
        -------
        ndarray of shape (n_samples,)
            Logarithm of the mean over the draws, in nats; of all outputs, or labels, of a row
            jointly, of real targets per unit of y. Of one label per row its mean is minus
            scikit-learn's `log_loss`. Outputs that are missing are left out; it is 0 of a row
            that has none.
        """
        return self._scored(X, y, lambda predictive, part: (predictive.log_prob(part),))

    @property
    def _n_functions(self) -> int:
        """Functions of which a prediction is the mean; 100 for ``n_draws="auto"``."""
        n_members = len(self.net_.module_.members)
        return n_members * max(1, draws_of_each(fixed_draws(self.n_draws), n_members))

    @abstractmethod
    def _scored_target(self, y: np.ndarray) -> np.ndarray:
        """Checked targets as the predictive distribution takes them."""

    def _scored(self, X: Any, y: Any, score: Callable[..., tuple]) -> np.ndarray:
        check_is_fitted(self)
        x, y = self._check_xy(X, y, reset=False)
        return self._over_rows(x, functions_of(self), score, self._scored_target(y))[0]

    def _predictive(self, outputs: Sequence[Any]) -> Any:
        return self._target.predictive(outputs, self.net_.criterion_, self.calibration_)

    def _over_rows(
        self, x: Any, functions: Functions, ask: Callable[..., tuple], *rows: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """Ask the predictive distribution of each chunk of rows, and join the answers."""

        def of_chunk(outputs: list[Any], *parts: np.ndarray) -> tuple:
            return ask(self._predictive(outputs), *parts)

        return reduce(functions, x, of_chunk, *rows)

    def _with_error(self, outputs: list[Tensor]) -> tuple[Uncertainty, Uncertainty]:
        predictive = self._predictive(outputs)
        return predictive.uncertainty(), predictive.error(len(outputs))

    def _uncertainty(
        self, X: Any, method: str, measure: str = "variance", with_error: bool = False
    ) -> list[Uncertainty]:
        x = self._check_x(X)
        functions = functions_of(self, method)
        if with_error:
            check_error(self)

        def ask(outputs: list[Any]) -> tuple[np.ndarray, ...]:
            predictive = self._predictive(outputs)
            uncertainty = predictive.uncertainty(measure)
            if not with_error:
                return uncertainty
            return (*uncertainty, *predictive.error(len(outputs), measure))

        parts = [self._shaped(part) for part in reduce(functions, x, ask)]
        return [Uncertainty(*parts[k : k + 4]) for k in range(0, len(parts), 4)]


@contextmanager
def _restored_on_error(estimator: BaseEstimator) -> Iterator[None]:
    """Leave an estimator as it was if the block raises."""
    before = estimator.__dict__.copy()
    try:
        yield
    except BaseException:
        estimator.__dict__.clear()
        estimator.__dict__.update(before)
        raise
