"""`DropoutMLPClassifier`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.utils import compute_sample_weight
from sklearn.utils._param_validation import StrOptions, validate_parameter_constraints
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d, validate_data
from torch import Tensor

from ._base import DropoutMLP, interleave
from ._frames import uncertainty_frame
from .likelihood import BinaryLikelihood, CategoricalLikelihood, Likelihood
from .uncertainty import Uncertainty, entropy_uncertainty, probability_uncertainty

_MEASURES = {"entropy": entropy_uncertainty, "variance": probability_uncertainty}


@dataclass(eq=False, repr=False)
class DropoutMLPClassifier(ClassifierMixin, DropoutMLP):
    """A multi-layer perceptron classifier with dropout that says how sure it is."""

    _: KW_ONLY
    class_weight: Any = None

    _parameter_constraints: ClassVar[dict] = {
        **DropoutMLP._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    # ---- fit -----------------------------------------------------------------------------

    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, classes: Any = None
    ) -> DropoutMLPClassifier:
        """Train for one pass over the given rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), default=None
        classes : array-like of shape (n_classes,), default=None
            All labels that will ever come. Needed in the first call if `y` does not hold all.

        Returns
        -------
        self : object
        """
        return self._partial_fit(X, y, sample_weight, classes)

    def _validate_xy(self, X: Any, y: Any, reset: bool) -> tuple[np.ndarray, np.ndarray]:
        X, y = validate_data(
            self, X, y, dtype=[np.float64, np.float32], reset=reset, multi_output=True
        )
        if y.ndim == 2 and y.shape[1] > 1:
            raise ValueError(
                f"{type(self).__name__}: y must hold one label per row, got shape {y.shape}; "
                "several labels per row are not supported"
            )
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        return X, y

    def _total_weight(self, y: np.ndarray, weight: np.ndarray | None) -> np.ndarray | None:
        if self.class_weight is None:
            return weight
        by_class = compute_sample_weight(self.class_weight, y)
        return by_class if weight is None else by_class * weight

    def _set_target(self, y: np.ndarray, weight: np.ndarray | None, classes: Any) -> None:
        self.classes_ = np.unique(y if classes is None else classes)
        learned = np.unique(y if weight is None else y[weight > 0])
        n_classes = len(learned if classes is None else self.classes_)
        if n_classes < 2:
            raise ValueError(
                f"{type(self).__name__}: y must hold at least 2 classes with a positive weight, "
                f"got {n_classes} class: {learned.tolist()}"
            )
        self.n_outputs_ = 1 if len(self.classes_) == 2 else len(self.classes_)
        self.out_activation_ = "logistic" if len(self.classes_) == 2 else "softmax"

    def _encode_target(self, y: np.ndarray) -> np.ndarray:
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(
                f"{type(self).__name__}: y holds the labels {unknown.tolist()}, which are not "
                f"among the classes of the fit, {self.classes_.tolist()}"
            )
        index = np.searchsorted(self.classes_, y)
        return index.astype(np.float32 if len(self.classes_) == 2 else np.int64)

    def _make_likelihood(self) -> Likelihood:
        if len(self.classes_) == 2:
            return BinaryLikelihood()
        return CategoricalLikelihood(len(self.classes_))

    # ---- prediction ----------------------------------------------------------------------

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class, by the mean of the probabilities over the draws.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels from `classes_`.
        """
        proba = self.predict_proba(X)
        return self.classes_[proba.argmax(1)]

    def predict_proba(self, X: Any, return_std: bool = False) -> Any:
        """Class probabilities: the mean over the draws.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        return_std : bool, default=False
            Also return the standard deviation of the probabilities over the draws.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            Columns in the order of `classes_`.
        std : ndarray of shape (n_samples, n_classes)
            Only with ``return_std=True``.

        Raises
        ------
        ValueError
            If ``return_std=True`` is asked of a model without noise and with one member, or
            with ``n_draws=0``.
        """
        X = self._check_x(X)
        plain = self._functions("predict_proba(return_std=True)" if return_std else None)

        def moments(raws: list[Tensor]) -> tuple[np.ndarray, ...]:
            probabilities = self._probabilities(dict(enumerate(raws)))
            mean = probabilities.mean(0)
            if not return_std:
                return (mean.cpu().numpy(),)
            return mean.cpu().numpy(), probabilities.std(0, correction=0).cpu().numpy()

        results = self._reduce(X, plain, moments)
        return results if return_std else results[0]

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Logarithm of `predict_proba`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            A probability of zero, which rounding can give, has the logarithm of the smallest
            positive number, not minus infinity.
        """
        proba = self.predict_proba(X)
        return np.log(np.maximum(proba, np.finfo(proba.dtype).tiny))

    def predict_uncertainty(
        self, X: Any, *, measure: str = "variance", as_frame: bool = False
    ) -> Uncertainty:
        """Class probabilities and how uncertain they are, split by cause.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        measure : {"variance", "entropy"}, default="variance"
            "variance": ``total = (1 - sum p^2) / 2``, for two classes ``p (1 - p)``.
            "entropy": `total` is the predictive entropy, `epistemic` the mutual information
            and `aleatoric` the expected entropy, in nats.
        as_frame : bool, default=False
            Return a pandas DataFrame on the index of `X` instead of a tuple.

        Returns
        -------
        Uncertainty or DataFrame
            `mean` of shape (n_samples, n_classes); `total`, `epistemic` and `aleatoric` of
            shape (n_samples,). ``total == epistemic + aleatoric``.

        Raises
        ------
        ValueError
            If the model has no noise and one member, or for ``n_draws=0``.
        """
        check_measure = {"measure": [StrOptions(set(_MEASURES))], "as_frame": ["boolean"]}
        name = type(self).__name__
        validate_parameter_constraints(
            check_measure, {"measure": measure, "as_frame": as_frame}, caller_name=name
        )
        x = self._check_x(X)
        plain = self._functions("predict_uncertainty")

        def decompose(raws: list[Tensor]) -> Uncertainty:
            return _MEASURES[measure](self._probabilities(dict(enumerate(raws))).cpu().numpy())

        uncertainty = Uncertainty(*self._reduce(x, plain, decompose))
        if not as_frame:
            return uncertainty
        return uncertainty_frame(X, uncertainty, [f"proba_{label}" for label in self.classes_])

    def sample_proba(self, X: Any, n_samples: int = 10, random_state: Any = None) -> np.ndarray:
        """Class probabilities under single functions from the posterior.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        n_samples : int, default=10
            Number of functions.
        random_state : int, RandomState instance or None, default=None
            None gives the first of the functions that predict; their mean over all `n_draws`
            is `predict_proba`. Anything else draws new functions.

        Returns
        -------
        ndarray of shape (n_functions, n_samples, n_classes)
            Draws first.
        """
        X = self._check_x(X)
        plain = self._sampled_functions("sample_proba", n_samples, random_state)

        def rows_first(raws: list[Tensor]) -> tuple[np.ndarray]:
            members = [self._probabilities({member: raw}) for member, raw in enumerate(raws)]
            draws = interleave([proba.cpu().numpy() for proba in members], n_samples)
            return (np.moveaxis(draws, 1, 0),)

        return np.moveaxis(self._reduce(X, plain, rows_first)[0], 0, 1)

    def _log_target_scale(self) -> float:
        return 0.0

    def _probabilities(self, raws: dict[int, Tensor]) -> Tensor:
        """Class probabilities of the draws of the given members, ``(n_draws, rows, classes)``."""
        likelihood = self.net_.criterion_
        members = [likelihood.distribution(raw, member).probs for member, raw in raws.items()]
        probabilities = members[0] if len(members) == 1 else torch.cat(members)
        if probabilities.ndim == 2:
            probabilities = torch.stack([1 - probabilities, probabilities], -1)
        return probabilities
