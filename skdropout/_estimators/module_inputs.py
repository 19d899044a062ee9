"""Rows for a module: arrays of any shape."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data
from torch import Tensor

from .._support.gaps import put_back, split_gaps
from .._support.sklearn import check_y

# How scikit-learn is to check them.
_NUMBERS: dict[str, Any] = {"dtype": "numeric", "allow_nd": True}


def checked_arrays(estimator: Any, X: Any, reset: bool = False) -> np.ndarray:
    """Rows for an estimator of a module: ``(n_samples, ...)``, in float32 or float64.

    Parameters
    ----------
    estimator : DropoutModule
        With `reset` it is told what shape a row has.
    X : array-like of shape (n_samples, ...)
    reset : bool, default=False
    """
    X = X.detach().cpu().numpy() if isinstance(X, Tensor) else X
    shape = getattr(estimator, "input_shape_", None)
    if reset or shape is None or len(shape) == 1:
        # Also counts columns and knows their names.
        x = validate_data(estimator, X, reset=reset, **_NUMBERS)
    else:
        x = check_array(X, estimator=estimator, input_name="X", **_NUMBERS)
    if reset:
        estimator.input_shape_ = x.shape[1:]
    elif shape is not None and x.shape[1:] != shape:
        raise ValueError(
            f"{type(estimator).__name__}: X has rows of shape {x.shape[1:]}, and the model was "
            f"fitted to rows of shape {shape}"
        )
    return _as_floats(x)


def checked_arrays_and_target(
    estimator: Any, X: Any, y: Any, reset: bool, numeric: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Rows for an estimator of a module, and targets of equal length.

    Parameters
    ----------
    estimator, X, reset
        As for `checked_arrays`.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    numeric : bool
        Whether y must hold numbers.
    """
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is None"
        )
    x = checked_arrays(estimator, X, reset)
    y, gaps = split_gaps(y.detach().cpu().numpy() if isinstance(y, Tensor) else y)
    y = check_y(y, multi_output=True, y_numeric=numeric, estimator=estimator)
    if len(x) != len(y):
        raise ValueError(
            f"{type(estimator).__name__}: Found input variables with inconsistent numbers of "
            f"samples: X has {len(x)} rows and y has {len(y)}"
        )
    return x, put_back(y, gaps)


def _as_floats(x: np.ndarray) -> np.ndarray:
    """In float64, unless the numbers are no finer than float32."""
    return x if x.dtype in (np.float32, np.float64) else x.astype(_float_of(x.dtype))


def _float_of(dtype: np.dtype) -> Any:
    return np.float32 if np.can_cast(dtype, np.float32) else np.float64
