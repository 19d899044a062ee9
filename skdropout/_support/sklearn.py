"""scikit-learn's private names: nothing else in the package imports any."""

from __future__ import annotations

from typing import Any

from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._indexing import _get_column_indices as get_column_indices
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    Options,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils.metaestimators import _safe_split as safe_split
from sklearn.utils.validation import _check_feature_names_in as check_feature_names_in
from sklearn.utils.validation import _check_method_params as check_method_params
from sklearn.utils.validation import _check_sample_weight as check_sample_weight
from sklearn.utils.validation import _check_y as check_y
from sklearn.utils.validation import _num_samples as num_samples

__all__ = [
    "BaseSearchCV",
    "HasMethods",
    "Interval",
    "Options",
    "StrOptions",
    "check_feature_names_in",
    "check_method_params",
    "check_sample_weight",
    "check_y",
    "get_column_indices",
    "num_samples",
    "safe_indexing",
    "safe_split",
    "validate_parameter_constraints",
    "validate_parameters",
]


def validate_parameters(estimator: Any) -> None:
    """Check an estimator's parameters against its own constraints.

    Raises
    ------
    InvalidParameterError
        If one is not allowed.
    """
    estimator._validate_params()
