"""What is asked of a regressor, whatever its network is: of numbers, and of their distribution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin

from .._inference.functions import reduce
from .._likelihoods.normal import SMALLEST_VARIANCE
from .._likelihoods.poisson import PoissonLikelihood
from .._predictive.levels import as_intervals, checked_levels, checked_quantiles, tails
from .._predictive.mixture import Mixture
from .._predictive.target_columns import TargetColumns, column_means
from .._support.caller_warnings import one_column, warn
from .._support.gaps import split_gaps
from .._support.random import local_random_state
from .answering import functions_of, sampled_functions
from .base import DropoutEstimator
from .gap_scores import r2_of_columns
from .numbers import Counts, NumericTarget, RealNumbers


class NumberAnswers(RegressorMixin, DropoutEstimator):
    """What numbers are, and what is asked of their distribution."""

    loss: Any
    noise: Any
    normalize_y: Any
    learning_rate: Any
    n_outputs_: int
    _numeric_target = True

    # ---- fit -----------------------------------------------------------------------------

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train for one pass over the given rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The first call's targets set the scale of all later ones, so each column needs a value
            there. Otherwise single cells of several columns may be missing, as in `fit`.
        sample_weight : array-like of shape (n_samples,), default=None
            Factor on each row's loss. What one row weighs against another counts as in `fit`. The
            mean weight of the call's rows says how far the call moves the network: 20 is the same
            as 20 calls (and takes their time; 100 are made at most), 0.25 moves everything by a
            quarter of what one call does, 1e-6 by next to nothing, and ones are the same as no
            weights.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            As `fit`, and if a column of `y` was constant in the first call and is not any more.
            A later call may have no value of a column: it teaches nothing of it.
        """
        return self._partial_fit(X, y, sample_weight, None)

    def _checked_target(self, y: np.ndarray, reset: bool) -> np.ndarray:
        if y.ndim == 2 and y.shape[1] == 1:
            y = one_column(y)
        if not reset and (1 if y.ndim == 1 else y.shape[1]) != self.n_outputs_:
            raise ValueError(
                f"{type(self).__name__}: y has shape {y.shape}, but the model was fitted to "
                f"{self.n_outputs_} outputs"
            )
        if self.loss == "poisson" and (y < 0).any():
            raise ValueError(
                f"{type(self).__name__}: loss='poisson' needs y that is zero or positive, got "
                f"{np.nanmin(y):.6g}"
            )
        return y

    def _total_weight(
        self, y: np.ndarray, weight: np.ndarray | None, classes: Any, again: bool
    ) -> np.ndarray | None:
        return weight

    def _check_again(self, y: np.ndarray, classes: Any) -> None:
        self._target.check_again(y, type(self).__name__)

    def _read_target(self, y: np.ndarray, weight: np.ndarray | None, classes: Any) -> NumericTarget:
        columns = y.reshape(len(y), -1).astype(np.float64)
        if weight is not None:
            # As in the loss: rows of weight zero are not there, and equal weights are none.
            columns, weight = columns[weight > 0], weight[weight > 0]
            weight = weight if np.ptp(weight) else None
        if self.loss == "poisson" and self.noise != "homoscedastic":
            raise ValueError(
                f"{type(self).__name__}: noise must be left at 'homoscedastic' with "
                f"loss='poisson', got {self.noise!r}; the noise of a count follows from its mean"
            )
        if len(columns) < 2:
            raise ValueError(
                f"{type(self).__name__} needs at least 2 rows to learn how y varies, got "
                f"n_samples = {len(columns)}"
            )
        varying = TargetColumns.of(columns)
        self._warn_of_constants(varying, y.ndim)
        columns = varying.select(columns)
        mean = column_means(columns, weight)
        if self.loss == "poisson":
            return Counts(y.ndim, varying, np.where(mean > 0, mean, SMALLEST_VARIANCE))
        centre, scale = np.zeros(len(mean)), np.ones(len(mean))
        if self.normalize_y:
            variance = column_means((columns - mean) ** 2, weight)
            centre, scale = mean, np.where(variance > 0, np.sqrt(variance), 1.0)
        varies, cooldown = self.noise == "heteroscedastic", self.learning_rate == "cooldown"
        return RealNumbers(y.ndim, varying, centre, scale, varies, cooldown)

    def _warn_of_constants(self, columns: TargetColumns, n_dimensions: int) -> None:
        for column in np.flatnonzero(columns.constant):
            where = "y" if n_dimensions == 1 else f"column {column} of y"
            warn(
                f"{type(self).__name__}: {where} is constant ({columns.values[column]:.6g}) "
                "and is predicted as this value for all X"
            )

    @property
    def noise_std_(self) -> Any:
        """Standard deviation of the observation noise, in the units of y."""
        likelihood = self.net_.criterion_
        if isinstance(likelihood, PoissonLikelihood):
            raise AttributeError(
                f"{type(self).__name__}.noise_std_: with loss='poisson' the noise of a count "
                "follows from its mean; see predict_uncertainty(X).aleatoric"
            )
        variance = likelihood.variance[:, 0].mean(0).cpu().double().numpy()
        std = self._target.noise_std(variance, self.calibration_)
        return float(std[0]) if self._target.n_dimensions == 1 else std

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
            (uncertainty,) = self._uncertainty(X, "predict(return_std=True)")
            return uncertainty.mean, np.sqrt(uncertainty.total)
        return self._asked(X, None, lambda mixture: (mixture.mean(),))

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
        x = self._check_x(X)
        rng = local_random_state(random_state)
        functions, turns = sampled_functions(self, "sample_y", n_samples, rng)
        (means,) = self._over_rows(x, functions_of(self), lambda mixture: (mixture.mean(),))

        def observe(outputs: list[Any], mean: np.ndarray) -> tuple[np.ndarray]:
            likelihood, calibration = self.net_.criterion_, self.calibration_
            mixture = self._target.predictive(outputs, likelihood, calibration, mean)
            return (np.moveaxis(mixture.take(turns).sample(rng), 0, -1),)

        return self._shaped(reduce(functions, x, observe, means)[0])

    def crps(self, X: Any, y: Any) -> np.ndarray:
        """Continuous ranked probability score of each row's true target.

        The squared distance between the predictive distribution function and the step at the
        target, integrated; for a prediction without spread the absolute error. Exact for the
        mixture over the draws, so its time grows with the square of `n_draws`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            True targets. Of several columns single cells may be missing.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            In the units of y; the smaller, the better. NaN where the target is missing.

        References
        ----------
        Gneiting and Raftery (2007). Strictly proper scoring rules, prediction, and estimation.
        Journal of the American Statistical Association 102.
        """
        return self._shaped(self._scored(X, y, lambda mixture, part: (mixture.crps(part),)))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Coefficient of determination R^2 of the mean, as of every regressor of scikit-learn.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            True targets. Of several columns single cells may be missing.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
            With several columns the plain mean of their R^2, each over the rows in which the
            column has a value. A column with gaps and fewer than two values is left out.
        """
        filled, gaps = split_gaps(y)
        if gaps is None:
            return super().score(X, y, sample_weight)
        name = type(self).__name__
        return r2_of_columns(filled, gaps, self.predict(X), sample_weight, name)

    def _quantiles(self, X: Any, probabilities: np.ndarray, method: str) -> np.ndarray:
        return self._asked(X, method, lambda mixture: (mixture.quantiles(probabilities),))

    def _asked(self, X: Any, method: str | None, ask: Callable[[Mixture], tuple]) -> np.ndarray:
        """One answer of the predictive distribution of all rows."""
        x = self._check_x(X)
        return self._shaped(self._over_rows(x, functions_of(self, method), ask)[0])

    def _measures(self) -> frozenset[str]:
        return frozenset({"variance"})

    def _scored_target(self, y: np.ndarray) -> np.ndarray:
        return y.reshape(len(y), -1).astype(np.float64)

    def _shaped(self, values: np.ndarray) -> np.ndarray:
        return self._target.shaped(values)

    def _column_names(self) -> None:
        return None
