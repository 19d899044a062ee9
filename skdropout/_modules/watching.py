"""A module is watched while it runs: which dropouts it calls, and where."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .interception import FreshNoise, Generators, Interception
from .kinds import Call

# Calls that map units to new ones; between a dropout and a normalization there should be one.
_MAPS = frozenset({"linear", "bilinear", "matmul", "bmm", "conv1d", "conv2d", "conv3d"})
_MAPS_TOO = frozenset(f"conv_transpose{n}d" for n in (1, 2, 3))
# A sum, as of a residual block, is no dropped unit any more.
_SUMS = frozenset({"add", "__add__", "__radd__", "add_", "__iadd__"})
_NORMS = frozenset({"batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm"})


class ModuleRefusedError(ValueError):
    """A module that has no fixed functions. The estimators say which parameter it is."""


class Watcher:
    """Notes down what a module calls; it answers dropouts as in evaluation or as in training.

    Parameters
    ----------
    fresh : FreshNoise or None
        None leaves units as they are.
    """

    def __init__(self, fresh: FreshNoise | None = None) -> None:
        self.fresh, self.random = fresh, list[str]()
        self.calls: list[tuple[Call, str]] = []
        self.names: list[str] = []
        self.largest = self.multiply_adds = 0
        self.dropped_here = False
        self.complaint: str | None = None

    @property
    def where(self) -> str:
        """The module that runs."""
        return self.names[-1] if self.names else "forward"

    def dropout(self, call: Call) -> Tensor:
        """Answer a call of a dropout."""
        self.calls.append((call, self.where))
        self.dropped_here = True
        return call.x if self.fresh is None else self.fresh(call)

    def draw(self, func: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Answer a call that draws random numbers."""
        self.random.append(f"{func.__name__} in {self.where}")
        return Generators(0)(func, args, kwargs)

    def see(self, func: Any, args: tuple, kwargs: dict[str, Any], result: Any) -> None:
        """Take note of any other call."""
        name = getattr(func, "__name__", "")
        if isinstance(result, Tensor):
            self.largest = max(self.largest, result.numel())
        if name in _MAPS or name in _MAPS_TOO:
            self.dropped_here = False
            self.multiply_adds += result.numel() * args[-1 if len(args) < 2 else 1][0].numel()
        elif name in _SUMS:
            self.dropped_here = False
        elif name in _NORMS and self.dropped_here:
            self.complaint = self.complaint or (
                f"{self.where} normalizes units right after a dropout, whose noise is then part "
                "of what it learns to expect: the order linear map, normalization, activation, "
                "dropout avoids that"
            )
        elif func is F.scaled_dot_product_attention and _attention_rate(args, kwargs) > 0:
            raise ModuleRefusedError(
                f"{self.where} drops attention weights (dropout_p="
                f"{_attention_rate(args, kwargs)}), whose masks depend on the row; use dropout_p=0 "
                "there and torch.nn.Dropout on what the attention returns"
            )

    @contextmanager
    def watching(self, module: nn.Module) -> Iterator[None]:
        """Watch a module while the block runs."""
        handles = []
        for name, part in module.named_modules():
            label = f"{name or 'forward'} ({type(part).__name__})"

            def enter(_: Any, __: Any, label: str = label) -> None:
                self.names.append(label)

            def leave(*_: Any) -> None:
                self.names.pop()

            handles += [part.register_forward_pre_hook(enter), part.register_forward_hook(leave)]
        try:
            with torch.no_grad(), Interception(self.dropout, self.draw, self.see):
                yield
        finally:
            for handle in handles:
                handle.remove()


def _attention_rate(args: tuple, kwargs: dict[str, Any]) -> float:
    return kwargs.get("dropout_p", args[4] if len(args) > 4 else 0.0)
