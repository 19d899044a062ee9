"""Tensors as arrays: where NumPy hands over to torch, and in pickles."""

from __future__ import annotations

import copy
from typing import Any, Self

import numpy as np
from torch import Tensor, from_numpy, nn


def as_tensor(values: np.ndarray) -> Tensor:
    """A tensor over the same memory, where that is possible."""
    # Nothing writes to it, but torch warns about arrays that cannot be written to, such as
    # joblib's memory maps.
    values = np.asarray(values, order="C")
    return from_numpy(values if values.flags.writeable else values.copy())


def as_array(values: Tensor) -> np.ndarray:
    """An array over the same memory, if that is the CPU's."""
    return values.detach().cpu().numpy()


class PickledAsArrays(nn.Module):
    """A module whose pickle holds arrays, and which is unpickled on the CPU.

    Networks that are trained in other processes come and go as pickles. Measured: a small tensor
    takes torch ten times as long, and a kilobyte more.
    """

    def __getstate__(self) -> dict[str, Any]:
        state = vars(self).copy()
        for kind in ("_parameters", "_buffers"):
            state[kind] = {
                name: None if values is None else as_array(values)
                for name, values in state[kind].items()
            }
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for name, values in state["_parameters"].items():
            self._parameters[name] = None if values is None else nn.Parameter(as_tensor(values))
        for name, values in state["_buffers"].items():
            self._buffers[name] = None if values is None else as_tensor(values)

    def __copy__(self) -> Self:
        # Otherwise it would go by way of the arrays.
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # By way of the arrays it would leave its accelerator.
        other = memo[id(self)] = object.__new__(type(self))
        other.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return other
