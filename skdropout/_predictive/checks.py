"""Numbers that predictive distributions are made of, checked once."""

from __future__ import annotations

from typing import Any

import numpy as np


def checked_finite(name: str, argument: str, values: np.ndarray) -> np.ndarray:
    """An array as it is, if it holds neither NaN nor infinity."""
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: {argument} holds a value that is NaN or infinite")
    return values


def checked_std(name: str, std: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Standard deviations of the shape of the means that they belong to, float64.

    Raises
    ------
    ValueError
        If one is negative, NaN or infinite, or if they have another shape.
    """
    stds = checked_finite(name, "std", np.asarray(std, dtype=np.float64))
    if not (stds >= 0).all():
        raise ValueError(f"{name}: std must not be negative, got {stds.min():g}")
    try:
        return np.broadcast_to(stds, shape)
    except ValueError as error:
        raise ValueError(
            f"{name}: std of shape {stds.shape} cannot be broadcast to mean of shape {shape}"
        ) from error
