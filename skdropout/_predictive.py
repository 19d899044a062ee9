"""What a regressor predicts: numbers that are read off its predictive mixture."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils._param_validation import StrOptions, validate_parameter_constraints
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ._base import DropoutMLP
from ._frames import uncertainty_frame
from ._levels import as_intervals, checked_levels, checked_quantiles, tails
from ._prediction import in_turns
from ._random import local_random_state
from .mixture import Mixture
from .uncertainty import Uncertainty


class PredictiveDistribution(DropoutMLP):
    """A regressor without what says how its network becomes a distribution.

    Subclasses turn raw outputs into a `Mixture` in the units of y; every prediction is asked of it.
    """

    _y_ndim: int

    @abstractmethod
    def _mixture(self, raws: list[Any]) -> Mixture:
        """Predictive distribution of the rows of a chunk, in the units of y.

        Parameters
        ----------
        raws : list of Tensor of shape (n_draws, rows, n_raw) or GaussianOutputs, one per member
        """

    @abstractmethod
    def _sampled_mixture(
        self, raws: list[Tensor], functions: np.ndarray, mean: np.ndarray
    ) -> Mixture:
        """Mixture of new functions.

        Parameters
        ----------
        raws : list of Tensor
            As for `_mixture`.
        functions : ndarray of int
            Which functions, in order.
        mean : ndarray of shape (rows, n_outputs)
            Mean of the predictive distribution, which calibration leaves where it is.
        """

    def _over_mixtures(
        self, X: np.ndarray, uncertain: str | None, function: Callable[..., tuple], *rows: Any
    ) -> tuple[np.ndarray, ...]:
        """Apply `function` to the mixture of each chunk of rows and join the results.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
        uncertain : str or None
            Name of the call that asks for uncertainty.
        function : callable
            Takes a mixture, and the chunk's part of each of `rows`. Returns arrays with rows
            first.
        *rows : arrays with one entry per row
        """

        def of_chunk(raws: list[Any], *parts: Any) -> tuple:
            return function(self._mixture(raws), *parts)

        return self._reduce(X, self._functions(uncertain), of_chunk, *rows)

    def _with_error(self, raws: list[Tensor]) -> tuple[Uncertainty, Uncertainty]:
        mixture = self._mixture(raws)
        return mixture.uncertainty(), mixture.error(len(raws))

    # ---- prediction ----------------------------------------------------------------------

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Mean of the predictive distribution, and its standard deviation.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        return_std : bool, default=False
            Also return the standard deviation of a new observation: what the draws disagree about
            and the observation noise of the row together, calibrated.

        Returns
        -------
        mean : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            In the units of y.
        std : ndarray of the same shape
            Only with ``return_std=True``. In the units of y.

        Raises
        ------
        ValueError
            If ``return_std=True`` is asked of a model without noise and with one member, or
            with ``n_draws=0``.
        """
        if return_std:
            uncertainty = self._uncertainty(X, "predict(return_std=True)")
            return uncertainty.mean, np.sqrt(uncertainty.total)
        (mean,) = self._over_mixtures(self._check_x(X), None, lambda mixture: (mixture.mean(),))
        return self._shaped(mean)

    def predict_uncertainty(
        self,
        X: Any,
        *,
        measure: str = "variance",
        as_frame: bool = False,
        return_error: bool = False,
    ) -> Any:
        """Mean and variance of the prediction, the variance split by cause.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        measure : {"variance"}, default="variance"
            As for the classifier, which measures by entropy too.
        as_frame : bool, default=False
            Return a pandas DataFrame on the index of `X` instead of a tuple.
        return_error : bool, default=False
            Also return the standard errors that these numbers have because `n_draws` is finite.
            They say nothing of how good the model is.

        Returns
        -------
        uncertainty : Uncertainty or DataFrame
            `mean` in the units of y; `total`, `epistemic` and `aleatoric` in its squared
            units. Each of shape (n_samples,) or (n_samples, n_outputs).
            ``total == epistemic + aleatoric``, `total` is the variance of a new observation.
        error : Uncertainty
            Only with ``return_error=True``: the standard error of each of these numbers, in the
            same shapes and units. A frame has columns of its own for them, named ``..._error``.

        Raises
        ------
        ValueError
            If the model has no noise and one member, for ``n_draws=0``, with
            ``return_error=True`` for ``n_draws=1``, and for ``measure="entropy"``.
        """
        options = {"measure": measure, "as_frame": as_frame, "return_error": return_error}
        allowed: dict[str, list] = {name: ["boolean"] for name in options}
        allowed["measure"] = [StrOptions({"variance"})]
        validate_parameter_constraints(allowed, options, caller_name=type(self).__name__)
        if return_error:
            results = self._uncertainty_and_error(X)
            return uncertainty_frame(X, *results) if as_frame else results
        uncertainty = self._uncertainty(X, "predict_uncertainty")
        return uncertainty_frame(X, uncertainty) if as_frame else uncertainty

    def predict_members(self, X: Any) -> np.ndarray:
        """What each member of an ensemble (`n_members`) predicts: the mean over its own draws.

        Their variance is the part of the epistemic variance that is disagreement between members;
        the rest is disagreement between the draws of a member.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_members, n_samples) or (n_members, n_samples, n_outputs)
            In the units of y. The mean over the members is that of `predict`.
        """
        n_members = len(self.net_.module_.members) if hasattr(self, "net_") else 1
        x = self._check_x(X)

        def means(raws: list[Any]) -> tuple[np.ndarray]:
            mixture = self._mixture(raws)
            components = np.arange(mixture.n_components).reshape(n_members, -1)
            each = [mixture.take(chosen).mean() for chosen in components]
            return (np.stack(each, 1),)

        (values,) = self._reduce(x, self._functions(), means)
        members = np.moveaxis(values, 1, 0)
        return members[..., 0] if self._y_ndim == 1 else members

    def predict_quantiles(self, X: Any, quantiles: Any) -> np.ndarray:
        """Quantiles of the predictive distribution, the mixture over the draws.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        quantiles : array-like of shape (n_quantiles,)
            Probabilities in (0, 1), increasing.

        Returns
        -------
        ndarray of shape (n_samples, n_quantiles) or (n_samples, n_outputs, n_quantiles)
            In the units of y, increasing along the last axis.

        Raises
        ------
        ValueError
            For quantiles out of range or not increasing, and for a model without noise and
            with one member or with ``n_draws=0``.
        """
        probabilities = checked_quantiles(f"{type(self).__name__}.predict_quantiles", quantiles)
        return self._quantiles(X, probabilities, "predict_quantiles")

    def predict_interval(self, X: Any, confidence_level: Any = 0.9) -> np.ndarray:
        """Central interval that holds a new observation with a given probability.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        confidence_level : float or array-like of shape (n_levels,), default=0.9
            Probability of the interval, in (0, 1).

        Returns
        -------
        ndarray of shape (n_samples, 2) or (n_samples, 2, n_levels)
            Lower and upper ends, in the units of y. With several outputs the shape is
            (n_samples, n_outputs, 2) or (n_samples, n_outputs, 2, n_levels).

        Raises
        ------
        ValueError
            For a level out of range, and for a model without noise and with one member or with
            ``n_draws=0``.
        """
        levels = checked_levels(f"{type(self).__name__}.predict_interval", confidence_level)
        return as_intervals(self._quantiles(X, tails(levels), "predict_interval"), levels)

    def sample_y(self, X: Any, n_samples: int = 1, random_state: Any = 0) -> np.ndarray:
        """New observations from the predictive distribution.

        Each sample is one function from the posterior plus observation noise.

        Parameters
        ----------
        X : array-like of shape (n_samples_X, n_features)
        n_samples : int, default=1
            Observations per row.
        random_state : int, RandomState instance or None, default=0
            None draws differently in each call.

        Returns
        -------
        ndarray of shape (n_samples_X, n_samples) or (n_samples_X, n_outputs, n_samples)
            In the units of y.
        """
        X = self._check_x(X)
        rng = local_random_state(random_state)
        plain = self._sampled_functions("sample_y", n_samples, rng)

        (means,) = self._over_mixtures(X, None, lambda mixture: (mixture.mean(),))

        def observe(raws: list[Tensor], mean: np.ndarray) -> tuple[np.ndarray]:
            turns = in_turns(len(raws), len(raws[0]), n_samples)
            samples = self._sampled_mixture(raws, turns, mean).sample(rng)
            return (np.moveaxis(samples, 0, -1),)

        return self._shaped(self._reduce(X, plain, observe, means)[0])

    def log_prob(self, X: Any, y: Any) -> np.ndarray:
        """Log predictive density of each row's true target.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            True targets.

        Returns
        -------
        ndarray of shape (n_samples,)
            Logarithm of the mixture over the draws, in nats per unit of y, of all outputs
            jointly.
        """
        return self._scored(X, y, lambda mixture, part: (mixture.log_prob(part),))

    def crps(self, X: Any, y: Any) -> np.ndarray:
        """Continuous ranked probability score of each row's true target.

        The squared distance between the predictive distribution function and the step at the
        target, integrated; for a prediction without spread the absolute error. Exact for the
        mixture over the draws, so its time grows with the square of `n_draws`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            True targets.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            In the units of y; the smaller, the better.

        References
        ----------
        Gneiting and Raftery (2007). Strictly proper scoring rules, prediction, and estimation.
        Journal of the American Statistical Association 102.
        """
        return self._shaped(self._scored(X, y, lambda mixture, part: (mixture.crps(part),)))

    def _scored(self, X: Any, y: Any, score: Callable[..., tuple]) -> np.ndarray:
        check_is_fitted(self)
        X, y = self._validate_xy(X, y, reset=False)
        targets = y.reshape(len(y), -1).astype(np.float64)
        return self._over_mixtures(X, None, score, targets)[0]

    def _uncertainty(self, X: Any, method: str) -> Uncertainty:
        parts = self._over_mixtures(self._check_x(X), method, lambda mixture: mixture.uncertainty())
        return Uncertainty(*map(self._shaped, parts))

    def _uncertainty_and_error(self, X: Any) -> tuple[Uncertainty, Uncertainty]:
        x = self._check_x(X)
        self._check_error()

        def both(raws: list[Tensor]) -> tuple[np.ndarray, ...]:
            uncertainty, error = self._with_error(raws)
            return (*uncertainty, *error)

        parts = self._reduce(x, self._functions("predict_uncertainty"), both)
        shaped = [self._shaped(part) for part in parts]
        return Uncertainty(*shaped[:4]), Uncertainty(*shaped[4:])

    def _quantiles(self, X: Any, probabilities: np.ndarray, method: str) -> np.ndarray:
        def invert(mixture: Mixture) -> tuple[np.ndarray]:
            return (mixture.quantiles(probabilities),)

        return self._shaped(self._over_mixtures(self._check_x(X), method, invert)[0])

    def _shaped(self, values: np.ndarray) -> np.ndarray:
        """Without the axis of outputs if y had none: ``(rows, n_outputs, ...)``."""
        return values[:, 0] if self._y_ndim == 1 else values
