"""The parameters of the estimators of modules."""

from __future__ import annotations

import functools
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, TypeVar

from sklearn.base import BaseEstimator

from .._support.sklearn import StrOptions
from .parameters import Parameters

C = TypeVar("C", bound=type)
_PREFIX = "module__"
# What networks that are made here have besides.
_OF_LAYERS = (
    "hidden_layer_sizes",
    "activation",
    "dropout",
    "dropout_rate",
    "input_dropout_rate",
    "input_encoding",
    "categorical_features",
    "learn_input_scale",
    "normalization",
)


@dataclass(eq=False, repr=False)
class ModuleParameters(BaseEstimator):
    """Constructor parameters that both estimators of modules share.

    They mean what they mean for networks that are made here, and have the same defaults.
    """

    module: Any
    _: KW_ONLY
    n_draws: int | str = Parameters.n_draws
    inference: str = Parameters.inference
    n_members: int = Parameters.n_members
    solver: str = Parameters.solver
    alpha: float = Parameters.alpha
    l1_ratio: float = Parameters.l1_ratio
    batch_size: int | str = Parameters.batch_size
    learning_rate: str = Parameters.learning_rate
    learning_rate_init: float = Parameters.learning_rate_init
    power_t: float = Parameters.power_t
    max_iter: int = Parameters.max_iter
    shuffle: bool = Parameters.shuffle
    random_state: Any = Parameters.random_state
    tol: float = Parameters.tol
    verbose: bool | int = Parameters.verbose
    warm_start: bool = Parameters.warm_start
    momentum: float = Parameters.momentum
    nesterovs_momentum: bool = Parameters.nesterovs_momentum
    cv: Any = Parameters.cv
    early_stopping: bool = Parameters.early_stopping
    validation_fraction: float = Parameters.validation_fraction
    beta_1: float = Parameters.beta_1
    beta_2: float = Parameters.beta_2
    epsilon: float = Parameters.epsilon
    n_iter_no_change: float = Parameters.n_iter_no_change
    calibrate: bool = Parameters.calibrate
    store_oof: bool = Parameters.store_oof
    device: str = Parameters.device
    callbacks: Any = Parameters.callbacks

    _parameter_constraints: ClassVar[dict] = {
        "module": "no_validation",
        **{k: v for k, v in Parameters._parameter_constraints.items() if k not in _OF_LAYERS},
        "inference": [StrOptions({"draws", "moments"})],
    }

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters of the estimator, and those of the module that were given.

        Parameters
        ----------
        deep : bool, default=True
            For scikit-learn; parameters have none of their own.

        Returns
        -------
        dict
        """
        return {**super().get_params(deep=deep), **self._of_module()}

    def set_params(self, **params: Any) -> Any:
        """Set parameters of the estimator or, as ``module__name``, of the module.

        Parameters
        ----------
        **params : dict
            Those of the module are read by the next `fit`.

        Returns
        -------
        self : object
        """
        own, of_module = _split(params)
        super().set_params(**own)
        self.__dict__["_given_to_module"] = {**self._of_module(), **of_module}
        return self

    def _of_module(self) -> dict[str, Any]:
        return dict(vars(self).get("_given_to_module", {}))

    @property
    def _module_parameters(self) -> dict[str, Any]:
        """Arguments of the module, by their names there."""
        return {k.removeprefix(_PREFIX): v for k, v in self._of_module().items()}


def _split(params: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    own = {k: v for k, v in params.items() if not k.startswith(_PREFIX)}
    return own, {k: v for k, v in params.items() if k.startswith(_PREFIX)}


def takes_module_parameters(estimator: C) -> C:
    """Let a class's constructor also take ``module__name`` for the parameters of the module."""
    plain: Any = estimator.__init__  # type: ignore[misc]

    @functools.wraps(plain)
    def constructor(self: Any, *args: Any, **kwargs: Any) -> None:
        own, of_module = _split(kwargs)
        plain(self, *args, **own)
        self.__dict__["_given_to_module"] = of_module

    estimator.__init__ = constructor  # type: ignore[misc]
    return estimator
