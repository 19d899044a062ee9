"""The kinds of dropout that a module may call, and what each makes of random numbers.

Every kind multiplies, and some add. The same rule serves training, where each row has random
numbers of its own, and draws, in which all rows share them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary

Affine = tuple[Tensor, Tensor | None]

# What a self-normalizing network's dropped unit is set to (Klambauer et al. 2017), negative.
_SATURATED = 1.7580993408473766


class Kind(NamedTuple):
    """A kind of dropout.

    Attributes
    ----------
    name : str
        Of the function that is called.
    affine : callable
        Takes random numbers and the rate. Returns what units are multiplied by, and what is added
        to them or None.
    normal : bool
        Whether the random numbers are standard normal. Otherwise they are uniform.
    channels : bool
        Whether a channel is dropped as a whole.
    """

    name: str
    affine: Callable[[Tensor, float], Affine]
    normal: bool = False
    channels: bool = False

    def shape(self, x: Tensor) -> tuple[int, ...]:
        """Of the random numbers of one row."""
        if self.channels:
            return (x.shape[1], *[1] * (x.ndim - 2))
        return tuple(x.shape[1:])


class Call(NamedTuple):
    """One call of a dropout.

    Attributes
    ----------
    kind : Kind
    x : Tensor
        What is to be dropped.
    rate : float
    training : bool
        Whether the caller says that the noise is on.
    relaxed : callable or None
        Takes uniform random numbers; returns what units are multiplied by while training, if that
        is something else than in a draw.
    """

    kind: Kind
    x: Tensor
    rate: float
    training: bool
    relaxed: Callable[[Tensor], Tensor] | None = None


def _bernoulli(random: Tensor, rate: float) -> Affine:
    kept = (random >= rate).to(random.dtype)
    return kept / (1 - rate) if rate < 1 else kept.zero_(), None


def _gaussian(random: Tensor, rate: float) -> Affine:
    return 1 + math.sqrt(rate / (1 - rate)) * random, None


def _alpha(random: Tensor, rate: float) -> Affine:
    if rate == 1:
        return torch.zeros_like(random), None
    scale = 1 / math.sqrt((1 - rate) * (1 + rate * _SATURATED**2))
    kept = (random >= rate).to(random.dtype)
    return scale * kept, scale * _SATURATED * (kept - 1 + rate)


def gaussian_dropout(x: Tensor, rate: float = 0.5, training: bool = True) -> Tensor:
    """Multiply by ``1 + sqrt(rate / (1 - rate)) eps`` if `training`, with standard normal `eps`."""
    if has_torch_function_unary(x):
        return handle_torch_function(gaussian_dropout, (x,), x, rate, training)
    if not training or rate == 0:
        return x
    return x * _gaussian(torch.randn_like(x), rate)[0]


def concrete_dropout(
    x: Tensor,
    logit: Tensor,
    temperature: float = 0.1,
    channels: bool = False,
    training: bool = True,
) -> Tensor:
    """Drop at the rate ``sigmoid(logit)``, if `training` with a mask that has a gradient."""
    if has_torch_function_unary(x):
        args = (x, logit, temperature, channels, training)
        return handle_torch_function(concrete_dropout, (x,), *args)
    if not training:
        return x
    shape = (len(x), *KINDS[concrete_dropout, channels].shape(x))
    return x * _concrete(torch.rand(shape, dtype=x.dtype, device=x.device), logit, temperature)


def _concrete(random: Tensor, logit: Tensor, temperature: float) -> Tensor:
    """A relaxed mask (Gal, Hron and Kendall 2017), divided by the probability of keeping."""
    tiny = torch.finfo(random.dtype).eps
    kept = torch.sigmoid((random.clamp(tiny, 1 - tiny).logit() - logit) / temperature)
    return kept / torch.sigmoid(-logit)


_CHANNELWISE = (F.dropout1d, F.dropout2d, F.dropout3d)
KINDS: dict[Any, Kind] = {
    F.dropout: Kind("dropout", _bernoulli),
    torch.dropout: Kind("dropout", _bernoulli),
    **{call: Kind(call.__name__, _bernoulli, channels=True) for call in _CHANNELWISE},
    torch.feature_dropout: Kind("feature_dropout", _bernoulli, channels=True),
    F.alpha_dropout: Kind("alpha_dropout", _alpha),
    torch.alpha_dropout: Kind("alpha_dropout", _alpha),
    F.feature_alpha_dropout: Kind("feature_alpha_dropout", _alpha, channels=True),
    torch.feature_alpha_dropout: Kind("feature_alpha_dropout", _alpha, channels=True),
    gaussian_dropout: Kind("gaussian_dropout", _gaussian, normal=True),
    (concrete_dropout, False): Kind("concrete_dropout", _bernoulli),
    (concrete_dropout, True): Kind("concrete_dropout", _bernoulli, channels=True),
}
"""By the function that is called."""

_DEFAULT_ON = (F.dropout, *_CHANNELWISE)


def call_of(func: Any, args: tuple, kwargs: dict[str, Any]) -> Call | None:
    """What a call of a function asks for, if that is a dropout."""
    if func is concrete_dropout:
        return _concrete_call(*args, **kwargs)
    kind = KINDS.get(func)
    if kind is None:
        return None
    given = dict(zip(("x", "rate", "training"), args, strict=False)) | kwargs
    x = given["x"] if "x" in given else given["input"]
    rate = float(given.get("rate", given.get("p", 0.5)))
    training = given.get("training", given.get("train", func in _DEFAULT_ON))
    return Call(kind, x, rate, bool(training))


def _concrete_call(
    x: Tensor, logit: Tensor, temperature: float, channels: bool, training: bool
) -> Call:
    def relaxed(random: Tensor) -> Tensor:
        return _concrete(random, logit, temperature)

    rate = float(logit.detach().sigmoid())
    return Call(KINDS[concrete_dropout, channels], x, rate, training, relaxed)
