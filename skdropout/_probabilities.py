"""What a classifier predicts: class probabilities of its functions, their mean and their spread."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.utils._param_validation import StrOptions, validate_parameter_constraints
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ._base import DropoutMLP
from ._frames import uncertainty_frame
from ._prediction import in_turns
from .arrays import as_tensor
from .gaussian_outputs import GaussianOutputs, as_points
from .likelihood import mixture_log_prob
from .monte_carlo import entropy_error, probability_error
from .uncertainty import Uncertainty, entropy_uncertainty, probability_uncertainty

_MEASURES = {"entropy": entropy_uncertainty, "variance": probability_uncertainty}
_ERRORS = {"entropy": entropy_error, "variance": probability_error}


class ClassProbabilities(DropoutMLP):
    """A classifier without what says how labels become the target of a network.

    Every prediction is read off the probabilities under the functions of all members.
    """

    classes_: np.ndarray

    @abstractmethod
    def _calibrated(self, raws: Sequence[Any]) -> Sequence[Any]:
        """The same with calibrated logits.

        Parameters
        ----------
        raws : sequence of Tensor of shape (n_draws, rows, n_raw) or GaussianOutputs
            One per member.
        """

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

        def moments(raws: list[Any]) -> tuple[np.ndarray, ...]:
            probabilities, shares = self._probabilities(raws)
            mean = _mean(probabilities, shares)
            all_classes = self._all_classes(mean).cpu().numpy()
            if not return_std:
                return (all_classes,)
            std = _mean((probabilities - mean).square_(), shares).sqrt_()
            return all_classes, std.expand(-1, len(self.classes_)).cpu().numpy()

        results = self._reduce(X, plain, moments)
        return results if return_std else results[0]

    def predict_members(self, X: Any) -> np.ndarray:
        """What each member of an ensemble (`n_members`) says: the mean over its own draws.

        Half the sum over the classes of their variance is the part of the epistemic variance
        that is disagreement between members; the rest is between the draws of a member.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_members, n_samples, n_classes)
            Probabilities. Their mean over the members is `predict_proba`.
        """
        x = self._check_x(X)

        def means(raws: list[Any]) -> tuple[np.ndarray]:
            each = [_mean(*self._probabilities([raw])) for raw in raws]
            return (torch.stack([self._all_classes(p) for p in each], 1).cpu().numpy(),)

        return np.moveaxis(self._reduce(x, self._functions(), means)[0], 1, 0)

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
        self,
        X: Any,
        *,
        measure: str = "variance",
        as_frame: bool = False,
        return_error: bool = False,
    ) -> Any:
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
        return_error : bool, default=False
            Also return the standard errors that these numbers have because `n_draws` is finite.
            They say nothing of how good the model is.

        Returns
        -------
        uncertainty : Uncertainty or DataFrame
            `mean` of shape (n_samples, n_classes); `total`, `epistemic` and `aleatoric` of
            shape (n_samples,). ``total == epistemic + aleatoric``.
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
        allowed = {name: ["boolean"] for name in options}
        allowed["measure"] = [StrOptions(set(_MEASURES))]
        validate_parameter_constraints(allowed, options, caller_name=type(self).__name__)
        x = self._check_x(X)
        plain = self._functions("predict_uncertainty")
        if return_error:
            self._check_error()

        def decompose(raws: list[Any]) -> tuple[np.ndarray, ...]:
            if return_error:
                uncertainty, error = self._with_error(raws, measure)
                return (*uncertainty, *error)
            probabilities, shares = self._probabilities(raws)
            of_draws = None if shares is None else shares.cpu().numpy()
            return _MEASURES[measure](self._all_classes(probabilities).cpu().numpy(), of_draws)

        parts = self._reduce(x, plain, decompose)
        results = [Uncertainty(*parts[k : k + 4]) for k in range(0, len(parts), 4)]
        if as_frame:
            names = [f"proba_{label}" for label in self.classes_]
            return uncertainty_frame(X, results[0], results[1] if return_error else None, names)
        return tuple(results) if return_error else results[0]

    def _with_error(
        self, raws: list[Tensor], measure: str = "variance"
    ) -> tuple[Uncertainty, Uncertainty]:
        probabilities = self._all_probabilities(raws)
        return _MEASURES[measure](probabilities), _ERRORS[measure](probabilities, len(raws))

    def _all_probabilities(self, raws: list[Tensor]) -> np.ndarray:
        """Of all members, draws and classes: ``(n_draws, rows, n_classes)``."""
        return self._all_classes(self._probabilities(raws)[0]).cpu().numpy()

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
            turns = in_turns(len(raws), len(raws[0]), n_samples)
            return (np.moveaxis(self._all_probabilities(raws)[turns], 1, 0),)

        return np.moveaxis(self._reduce(X, plain, rows_first)[0], 0, 1)

    def log_prob(self, X: Any, y: Any) -> np.ndarray:
        """Log predictive probability of each row's true class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            True labels.

        Returns
        -------
        ndarray of shape (n_samples,)
            Logarithm of the mean probability over the draws, in nats. Its mean is minus
            scikit-learn's `log_loss`.
        """
        check_is_fitted(self)
        X, y = self._validate_xy(X, y, reset=False)
        likelihood = self.net_.criterion_

        def mixture(raws: list[Any], target: Tensor) -> tuple[np.ndarray]:
            # Log odds of several classes are against the last one, whose own are zero.
            points, shares = as_points(self._calibrated(raws), n_zeros=int(len(self.classes_) > 2))
            target, members = target.to(points[0].device), dict(enumerate(points))
            return (mixture_log_prob(likelihood, members, target, shares).cpu().numpy(),)

        target = as_tensor(self._encode_target(y))
        if target.is_floating_point() and X.dtype == np.float64:
            target = target.double()
        return self._reduce(X, self._functions(), mixture, target)[0]

    def _probabilities(self, raws: list[Any]) -> tuple[Tensor, Tensor | None]:
        """Probabilities under the functions of all members, and what each function counts.

        Shape ``(n_draws, rows, classes)``, for two classes ``(n_draws, rows, 1)``: the second.
        """
        likelihood = self.net_.criterion_
        logits, made = self._calibrated(raws), isinstance(raws[0], GaussianOutputs)
        # Log odds of several classes are against the last one, whose own are zero.
        points, shares = as_points(logits, n_zeros=int(len(self.classes_) > 2))
        # Draws may be asked for again, but what stands for a Gaussian is made for this.
        members = [likelihood.probabilities(raw, out=raw if made else None) for raw in points]
        return members[0] if len(members) == 1 else torch.cat(members), shares

    @staticmethod
    def _all_classes(probabilities: Tensor) -> Tensor:
        """The same with a last axis of all classes."""
        if probabilities.shape[-1] > 1:
            return probabilities
        return torch.cat([1 - probabilities, probabilities], -1)


def _mean(values: Tensor, shares: Tensor | None) -> Tensor:
    """Mean over functions that count as much as `shares` says."""
    if shares is None:
        # Rows are last in memory, as a rule; where they are not, torch is ten times as slow.
        return values.mT.mean(0).mT
    return torch.tensordot(shares, values, 1)
