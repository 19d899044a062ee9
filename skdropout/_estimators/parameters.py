"""The parameters of the estimators, each written once."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np

from .._networks.activations import ACTIVATIONS
from .._networks.normalization import NORMALIZATIONS
from .._support.sklearn import Interval, Options, StrOptions
from ..families import FAMILIES, Family


@dataclass(eq=False, repr=False)
class Parameters:
    """Constructor parameters that both estimators share; the estimators document them.

    A dataclass writes the constructor, so that each parameter stands in one place with its
    default. What is allowed stands in `_parameter_constraints`, which scikit-learn checks.
    """

    hidden_layer_sizes: Any = (100,)
    activation: str = "relu"
    _: KW_ONLY
    dropout: str | Family | None = "bernoulli"
    dropout_rate: Any = 0.3
    input_dropout_rate: float = 0.0
    n_draws: int | str = 100
    inference: str = "draws"
    n_members: int = 1
    distance_awareness: float = 0.0
    input_encoding: str | None = "auto"
    categorical_features: Any = "from_dtype"
    learn_input_scale: bool = True
    normalization: str | None = None
    solver: str = "adam"
    alpha: float = 0.0001
    l1_ratio: float = 0.0
    batch_size: int | str = "auto"
    learning_rate: str = "constant"
    learning_rate_init: float = 0.001
    power_t: float = 0.5
    max_iter: int = 200
    shuffle: bool = True
    random_state: Any = None
    tol: float = 1e-4
    verbose: bool | int = False
    warm_start: bool = False
    momentum: float = 0.9
    nesterovs_momentum: bool = True
    cv: Any = 5
    early_stopping: bool = True
    validation_fraction: float = 0.1
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    n_iter_no_change: float = 20
    calibrate: bool = True
    store_oof: bool = False
    device: str = "auto"
    callbacks: Any = None

    _parameter_constraints: ClassVar[dict] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS))],
        # A live view: families that are defined later are known too.
        "dropout": [StrOptions(FAMILIES.keys()), Family, None],
        "dropout_rate": ["array-like", Interval(Real, 0, 1, closed="left")],
        "input_dropout_rate": [Interval(Real, 0, 1, closed="left")],
        "n_draws": [StrOptions({"auto"}), Interval(Integral, 0, None, closed="left")],
        "inference": [StrOptions({"draws", "moments"})],
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "distance_awareness": [Interval(Real, 0, None, closed="left")],
        "input_encoding": [StrOptions({"auto", "scale", "piecewise", "cumulative"}), None],
        "categorical_features": [StrOptions({"from_dtype"}), "array-like", None],
        "learn_input_scale": ["boolean"],
        "normalization": [StrOptions(set(NORMALIZATIONS)), None],
        "solver": [StrOptions({"adam", "sgd"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "l1_ratio": [Interval(Real, 0, 1, closed="both")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive", "cooldown"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "nesterovs_momentum": ["boolean"],
        "cv": ["cv_object"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [
            Interval(Integral, 1, None, closed="left"),
            Options(Real, {np.inf}),
        ],
        "calibrate": ["boolean"],
        "store_oof": ["boolean"],
        "device": [str],
        "callbacks": [list, tuple, None],
    }

    # Of `input_encoding="cumulative"`.
    _cumulative_knots: ClassVar[int]

    @staticmethod
    @abstractmethod
    def _auto_batch_size(n_rows: int) -> int:
        """What ``batch_size="auto"`` stands for."""

    @staticmethod
    @abstractmethod
    def _auto_encoding(n_rows: int, n_columns: int) -> str:
        """What ``input_encoding="auto"`` stands for."""
