"""Warnings that point to the caller's line."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from pathlib import Path

import joblib
import numpy as np
import sklearn
import skorch
import torch
from sklearn.exceptions import DataConversionWarning
from sklearn.utils.validation import column_or_1d

# Of this package, and of those that call it back: a user wrote none of these lines.
_LIBRARIES = (
    f"{Path(__file__).parents[1]}{os.sep}",
    *(
        f"{Path(path).parent}{os.sep}"
        for path in (sklearn.__file__, skorch.__file__, torch.__file__, joblib.__file__)
    ),
    contextlib.__file__,
)


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn, and name the line outside of the libraries that led here.

    Through a pipeline or a search that is the line which called its `fit`.

    Parameters
    ----------
    message : str
    category : type of Warning, default=UserWarning
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_LIBRARIES):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def one_column(y: np.ndarray) -> np.ndarray:
    """`y` of shape (n_samples,); of shape (n_samples, 1) with scikit-learn's warning."""
    column = column_or_1d(y)
    if np.ndim(y) == 2:
        warn(
            "A column-vector y was passed when a 1d array was expected. Please change the shape "
            "of y to (n_samples,), for example using ravel().",
            DataConversionWarning,
        )
    return column
