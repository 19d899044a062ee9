"""`DropoutModuleRegressor`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, cast

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import Tags

from .._likelihoods.base import Likelihood
from .._likelihoods.gaussian import GaussianLikelihood
from .._likelihoods.log_variance import LogVarianceLikelihood
from .._likelihoods.normal import SMALLEST_VARIANCE
from .._modules.drawn import Readout
from .._predictive.needed_draws import fixed_draws
from .._predictive.target_columns import TargetColumns
from .._training.rows import Rows
from .module_base import DropoutModule
from .module_parameters import takes_module_parameters
from .numbers import RealNumbers
from .regressor import DropoutMLPRegressor
from .trained import hold, learn_noise


@takes_module_parameters
@dataclass(eq=False, repr=False)
class DropoutModuleRegressor(RegressorMixin, DropoutModule):
    """A torch module with dropout as a regressor that says how sure it is."""

    _: KW_ONLY
    alpha: float = DropoutMLPRegressor.alpha
    beta_2: float = DropoutMLPRegressor.beta_2
    learning_rate: str = DropoutMLPRegressor.learning_rate
    learning_rate_init: float = DropoutMLPRegressor.learning_rate_init
    loss: str = "squared_error"
    normalize_y: bool = True

    _parameter_constraints: ClassVar[dict] = {
        **DropoutModule._parameter_constraints,
        "loss": DropoutMLPRegressor._parameter_constraints["loss"],
        "normalize_y": ["boolean"],
    }

    def __sklearn_tags__(self) -> Tags:
        tags = self._with_input_tags(super().__sklearn_tags__())
        tags.target_tags.multi_output = True
        return tags

    @classmethod
    def from_trained(
        cls,
        module: Any,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
        *,
        n_outputs: int = 1,
        noise_std: float | None = None,
        **params: Any,
    ) -> DropoutModuleRegressor:
        """A fitted regressor from a module that was trained elsewhere.

        It predicts and refers at once. The module is copied, and seen first when there are rows.

        Parameters
        ----------
        module : Module
            An instance whose outputs are means in the units of y; or the means, and then the
            logarithms of the variances of the noise.
        X_val : array-like of shape (n_val, ...), default=None
            Rows that the module was not trained on, for the noise and for calibration.
        y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None
            Their targets.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights.
        n_outputs : int, default=1
            Columns of y, if `y_val` does not show them.
        noise_std : float, default=None
            Standard deviation of the noise. None finds it on `X_val`. Without these, and without
            variances of the module's own, there is none: uncertainty is epistemic then.
        **params : dict
            Parameters of the estimator.

        Returns
        -------
        estimator : DropoutModuleRegressor

        Raises
        ------
        ValueError
            If the module is no instance, or has no fixed functions.
        """
        shape = (n_outputs,) if y_val is None else np.shape(y_val)[1:]
        n_columns = int(np.prod(shape, dtype=int))
        if noise_std is not None and not noise_std > 0:
            raise ValueError(
                f"{cls.__name__}.from_trained: noise_std must be positive or None, got "
                f"{noise_std!r}"
            )
        columns = TargetColumns(np.zeros(n_columns, dtype=bool), np.zeros(n_columns))
        n_dimensions = 2 if n_columns > 1 else 1
        zeros, ones = np.zeros(n_columns), np.ones(n_columns)
        target = RealNumbers(n_dimensions, columns, zeros, ones, False, False)
        model = cls(module, **params)
        model._noise_std = noise_std
        return hold(model, target, X_val, y_val, sample_weight_val)

    def _trained_likelihood(self, target: Any) -> Likelihood:
        n_columns = len(target.mean)
        if target.heteroscedastic:
            return LogVarianceLikelihood(1, n_columns)
        likelihood = GaussianLikelihood(1, n_columns)
        std = 0.0 if self._noise_std is None else self._noise_std
        likelihood.variance.fill_(max(std**2, SMALLEST_VARIANCE))
        return likelihood

    def _in_order(self, readout: Readout, width: int) -> Readout:
        return readout

    def _learn_noise(self, rows: Rows) -> None:
        if self._noise_std is None:
            learn_noise(self.net_, rows, fixed_draws(self.n_draws))

    _numeric_target = True
    # Of a module that was trained elsewhere, if it was given.
    _noise_std = cast("float | None", None)
    # Until the module's outputs are known, which say whether it is another.
    noise: ClassVar[str] = "homoscedastic"
    _auto_batch_size = staticmethod(DropoutMLPRegressor._auto_batch_size)
    # What numbers are, and what is asked of their distribution, does not depend on the network.
    partial_fit = DropoutMLPRegressor.partial_fit
    _checked_target = DropoutMLPRegressor._checked_target
    _total_weight = DropoutMLPRegressor._total_weight
    _check_again = DropoutMLPRegressor._check_again
    _read_target = DropoutMLPRegressor._read_target
    _warn_of_constants = DropoutMLPRegressor._warn_of_constants
    noise_std_ = DropoutMLPRegressor.noise_std_
    predict = DropoutMLPRegressor.predict
    predict_quantiles = DropoutMLPRegressor.predict_quantiles
    predict_interval = DropoutMLPRegressor.predict_interval
    sample_y = DropoutMLPRegressor.sample_y
    crps = DropoutMLPRegressor.crps
    score = DropoutMLPRegressor.score
    _quantiles = DropoutMLPRegressor._quantiles
    _asked = DropoutMLPRegressor._asked
    _measures = DropoutMLPRegressor._measures
    _scored_target = DropoutMLPRegressor._scored_target
    _shaped = DropoutMLPRegressor._shaped
    _column_names = DropoutMLPRegressor._column_names
