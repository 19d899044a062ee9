"""`DropoutModuleRegressor`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from sklearn.base import RegressorMixin
from sklearn.utils import Tags

from .module_base import DropoutModule
from .module_parameters import takes_module_parameters
from .regressor import DropoutMLPRegressor


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

    _numeric_target = True
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
