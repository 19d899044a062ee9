"""Modules from what a user gives: a class, an instance, or a function that makes one."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from .interception import FreshNoise, Generators, Interception
from .watching import ModuleRefusedError

_ALLOWED = "it must be a torch.nn.Module, a class of them or a function that returns one"


@dataclass(frozen=True)
class Blueprint:
    """How the module of a member is made.

    Attributes
    ----------
    given : Module, class or callable
        An instance is copied, and its layers start anew if all that learn can.
    parameters : dict
        For a class or a callable.
    filled_in : dict
        More of them, for those that it takes and that are not in `parameters`.
    """

    given: Any
    parameters: dict[str, Any]
    filled_in: dict[str, Any]

    def build(self, seed: int) -> nn.Module:
        """A new module, of initial weights that follow from a seed.

        Raises
        ------
        ModuleRefusedError
            If there is none.
        """
        generators = Generators(seed)
        with Interception(FreshNoise(generators), generators):
            module = self._instance()
        if not isinstance(module, nn.Module):
            raise ModuleRefusedError(f"{_ALLOWED}, and gave a {type(module).__name__}")
        return module

    def _instance(self) -> Any:
        if isinstance(self.given, nn.Module):
            if self.parameters:
                raise ModuleRefusedError(
                    f"module__{next(iter(self.parameters))} is for a class or a function, and it "
                    "is an instance; give the class"
                )
            return started_anew(copy.deepcopy(self.given))
        if not callable(self.given):
            raise ModuleRefusedError(f"{_ALLOWED}, got {self.given!r:.100}")
        parameters = {**_taken(self.given, self.filled_in), **self.parameters}
        try:
            return self.given(**parameters)
        except Exception as error:
            raise ModuleRefusedError(
                f"it cannot be made with {parameters!r:.300}: {type(error).__name__}: {error}"
            ) from error


def _taken(make: Callable, filled_in: dict[str, Any]) -> dict[str, Any]:
    """Those arguments that a class or function has by name."""
    try:
        names = inspect.signature(make).parameters
    except (TypeError, ValueError):
        return {}
    return {name: value for name, value in filled_in.items() if name in names}


def started_anew(module: nn.Module) -> nn.Module:
    """The module, whose layers have new weights if all of those that learn can have them.

    Layers that are frozen stay as they are.
    """
    learning = [
        part
        for part in module.modules()
        if any(values.requires_grad for values in part.parameters(recurse=False))
    ]
    if all(hasattr(part, "reset_parameters") for part in learning):
        for part in learning:
            part.reset_parameters()  # type: ignore[operator]
    return module
