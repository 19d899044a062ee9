"""`DropoutMLPRegressor`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import Tags
from sklearn.utils._param_validation import validate_parameter_constraints
from sklearn.utils.validation import check_random_state, column_or_1d, validate_data
from torch import Tensor

from ._base import DropoutMLP, interleave
from ._frames import uncertainty_frame
from .likelihood import GaussianLikelihood, Likelihood
from .uncertainty import Uncertainty, regression_uncertainty


@dataclass(eq=False, repr=False)
class DropoutMLPRegressor(RegressorMixin, DropoutMLP):
    """A multi-layer perceptron regressor with dropout that says how sure it is."""

    _: KW_ONLY
    normalize_y: bool = True

    _parameter_constraints: ClassVar[dict] = {
        **DropoutMLP._parameter_constraints,
        "normalize_y": ["boolean"],
    }

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    # ---- fit -----------------------------------------------------------------------------

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> DropoutMLPRegressor:
        """Train for one pass over the given rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The first call's targets set the scale of all later ones.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self : object
        """
        return self._partial_fit(X, y, sample_weight, None)

    def _validate_xy(self, X: Any, y: Any, reset: bool) -> tuple[np.ndarray, np.ndarray]:
        X, y = validate_data(
            self,
            X,
            y,
            dtype=[np.float64, np.float32],
            reset=reset,
            multi_output=True,
            y_numeric=True,
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not reset and (1 if y.ndim == 1 else y.shape[1]) != self.n_outputs_:
            raise ValueError(
                f"{type(self).__name__}: y has shape {y.shape}, but the model was fitted to "
                f"{self.n_outputs_} outputs"
            )
        return X, y

    def _total_weight(self, y: np.ndarray, weight: np.ndarray | None) -> np.ndarray | None:
        return weight

    def _set_target(self, y: np.ndarray, weight: np.ndarray | None, classes: Any) -> None:
        columns = y.reshape(len(y), -1).astype(np.float64)
        used = slice(None) if weight is None else weight > 0
        if len(columns[used]) < 2:
            raise ValueError(
                f"{type(self).__name__} needs at least 2 rows to learn how y varies, got "
                f"n_samples = {len(columns[used])}"
            )
        constant = np.flatnonzero(np.ptp(columns[used], axis=0) == 0)
        if len(constant):
            where = "y" if y.ndim == 1 else f"column {constant[0]} of y"
            raise ValueError(
                f"{type(self).__name__}: {where} is constant "
                f"({columns[used][0, constant[0]]:.6g}), there is nothing to learn from it"
            )
        self.n_outputs_ = columns.shape[1]
        self.out_activation_ = "identity"
        self._y_ndim = y.ndim
        self._y_mean, self._y_scale = np.zeros(self.n_outputs_), np.ones(self.n_outputs_)
        if self.normalize_y:
            self._y_mean = np.average(columns, axis=0, weights=weight)
            variance = np.average((columns - self._y_mean) ** 2, axis=0, weights=weight)
            self._y_scale = np.sqrt(variance)

    def _encode_target(self, y: np.ndarray) -> np.ndarray:
        columns = y.reshape(len(y), -1)
        return ((columns - self._y_mean) / self._y_scale).astype(np.float32)

    def _make_likelihood(self) -> Likelihood:
        return GaussianLikelihood(self.n_members, self.n_outputs_)

    def _log_target_scale(self) -> float:
        return float(np.log(self._y_scale).sum())

    # ---- prediction ----------------------------------------------------------------------

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Mean of the predictive distribution, and its standard deviation.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        return_std : bool, default=False
            Also return the standard deviation of a new observation: of the draws' means and
            of the observation noise together.

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
        uncertainty = self._moments(X, "predict(return_std=True)" if return_std else None)
        return (uncertainty.mean, np.sqrt(uncertainty.total)) if return_std else uncertainty.mean

    def predict_uncertainty(self, X: Any, *, as_frame: bool = False) -> Uncertainty:
        """Mean and variance of the prediction, the variance split by cause.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        as_frame : bool, default=False
            Return a pandas DataFrame on the index of `X` instead of a tuple.

        Returns
        -------
        Uncertainty or DataFrame
            `mean` in the units of y; `total`, `epistemic` and `aleatoric` in its squared
            units. Each of shape (n_samples,) or (n_samples, n_outputs).
            ``total == epistemic + aleatoric``, `total` is the variance of a new observation.

        Raises
        ------
        ValueError
            If the model has no noise and one member, or for ``n_draws=0``.
        """
        validate_parameter_constraints(
            {"as_frame": ["boolean"]}, {"as_frame": as_frame}, caller_name=type(self).__name__
        )
        uncertainty = self._moments(X, "predict_uncertainty")
        return uncertainty_frame(X, uncertainty, None) if as_frame else uncertainty

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
        rng = check_random_state(random_state)
        plain = self._sampled_functions("sample_y", n_samples, rng)
        noise = self._noise_std()

        def rows_first(raws: list[Tensor]) -> tuple[np.ndarray]:
            means = interleave([raw.cpu().numpy() for raw in raws], n_samples)
            return (np.moveaxis(means, 0, -1),)

        (samples,) = self._reduce(X, plain, rows_first)
        std = noise[np.arange(n_samples) % len(noise)].T
        samples = samples + std * rng.standard_normal(samples.shape)
        samples = samples * self._y_scale[:, None] + self._y_mean[:, None]
        return samples[:, 0] if self._y_ndim == 1 else samples

    @property
    def noise_std_(self) -> Any:
        """Standard deviation of the observation noise, in the units of y."""
        std = np.sqrt((self._noise_std() ** 2).mean(0)) * self._y_scale
        return float(std[0]) if self._y_ndim == 1 else std

    def _noise_std(self) -> np.ndarray:
        """Of each member, standardised: ``(members, n_outputs)``."""
        return self.net_.criterion_.variance[:, 0].sqrt().cpu().numpy()

    def _moments(self, X: Any, uncertain: str | None) -> Uncertainty:
        x = self._check_x(X)
        plain = self._functions(uncertain)
        likelihood = self.net_.criterion_

        def decompose(raws: list[Tensor]) -> Uncertainty:
            parts = [likelihood.distribution(raw, member) for member, raw in enumerate(raws)]
            means = np.concatenate([part.mean.cpu().numpy() for part in parts])
            variances = np.concatenate([part.variance.cpu().numpy() for part in parts])
            return regression_uncertainty(means, variances)

        mean, *variances = self._reduce(x, plain, decompose)
        scaled = Uncertainty(
            mean * self._y_scale + self._y_mean,
            *(variance * self._y_scale**2 for variance in variances),
        )
        if self._y_ndim == 1:
            return Uncertainty(*(values[:, 0] for values in scaled))
        return scaled
