"""Dropouts as they are called in a module: caught in this thread, and nowhere else.

A module calls functions of torch. A function mode sees these calls, so neither the module nor
torch is changed, and other threads see nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .kinds import Call, call_of

Seen = Callable[[Any, tuple, dict[str, Any], Any], None]
Random = Callable[[Any, tuple, dict[str, Any]], Any]


class Interception(TorchFunctionMode):
    """What happens to the calls of a module while the block runs.

    Parameters
    ----------
    dropout : callable
        Answers a `Call` of a dropout.
    random : callable
        Answers calls that draw random numbers: takes the function and its arguments.
    seen : callable, optional
        Told of all other calls: function, arguments and result.
    """

    def __init__(
        self, dropout: Callable[[Call], Tensor], random: Random, seen: Seen | None = None
    ) -> None:
        super().__init__()
        self.dropout, self.random, self.seen = dropout, random, seen

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        call = call_of(func, args, kwargs)
        if call is not None:
            return self.dropout(call)
        if func in _RANDOM:
            return self.random(func, args, kwargs)
        result = func(*args, **kwargs)
        if self.seen is not None:
            self.seen(func, args, kwargs, result)
        return result


class Generators:
    """Random numbers of torch from one seed, a generator for each device.

    An object that answers random calls in the place of torch's global generators.

    Parameters
    ----------
    seed : sequence of int
    """

    def __init__(self, *seed: int) -> None:
        self.seed = int(np.random.SeedSequence(seed).generate_state(1)[0])
        self._by_device: dict[torch.device, torch.Generator] = {}

    def on(self, device: torch.device) -> torch.Generator:
        """The generator of a device."""
        if device not in self._by_device:
            self._by_device[device] = torch.Generator(device).manual_seed(self.seed)
        return self._by_device[device]

    def __call__(self, func: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        device = _device(args, kwargs)
        if func in _LIKE:
            kwargs = {"dtype": args[0].dtype, **kwargs, "device": device}
            return _LIKE[func](args[0].shape, *args[1:], **kwargs, generator=self.on(device))
        if kwargs.get("generator") is None:
            kwargs = {**kwargs, "generator": self.on(device)}
        return func(*args, **kwargs)


def _device(args: tuple, kwargs: dict[str, Any]) -> torch.device:
    if kwargs.get("device") is not None:
        return torch.device(kwargs["device"])
    tensors = (value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
    first = next(tensors, None)
    return torch.device("cpu") if first is None else first.device


class FreshNoise:
    """Dropouts as in training: random numbers of its own for each row.

    Parameters
    ----------
    generators : Generators

    Attributes
    ----------
    rates : list of float
        Of the calls that were on, in their order.
    """

    def __init__(self, generators: Generators) -> None:
        self.generators, self.rates = generators, list[float]()

    def __call__(self, call: Call) -> Tensor:
        if not call.training:
            return call.x
        self.rates.append(call.rate)
        x, kind = call.x, call.kind
        if call.rate == 0:
            return x
        make = torch.randn if kind.normal else torch.rand
        generator = self.generators.on(x.device)
        shape = (len(x), *kind.shape(x))
        random = make(shape, generator=generator, dtype=x.dtype, device=x.device)
        if call.relaxed is not None:
            return x * call.relaxed(random)
        factor, shift = kind.affine(random, call.rate)
        return x * factor if shift is None else torch.addcmul(shift, x, factor)


_LIKE: dict[Any, Any] = {
    torch.rand_like: torch.rand,
    torch.randn_like: torch.randn,
}
_IN_PLACE = ("uniform_", "normal_", "bernoulli_", "random_", "exponential_", "geometric_")
_MORE_IN_PLACE = ("cauchy_", "log_normal_", "bernoulli", "multinomial")
_MAKERS = ("rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial", "poisson")
_STARTS = ("uniform_", "normal_", "kaiming_uniform_", "kaiming_normal_")
_RANDOM: set[Any] = {
    *_LIKE,
    *(getattr(torch.Tensor, name) for name in (*_IN_PLACE, *_MORE_IN_PLACE)),
    *(getattr(torch, name) for name in _MAKERS),
    *(getattr(nn.init, name) for name in _STARTS),
}
