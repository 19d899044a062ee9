"""Linear maps as plain records: what a draw is, and what the moments of all draws are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

Some = Callable[[str, Tensor, int], Tensor]
"""Takes values of a name, and their axis of inputs. Returns those of some inputs, in order."""


@dataclass(frozen=True)
class PlainLinear:
    """The linear maps ``(x * gain) @ weight + bias`` of ``M`` members with ``S`` draws each.

    An axis of draws of length 1 means that all draws share the value, which lets the evaluation
    do the work that they share only once.

    Attributes
    ----------
    weight : Tensor of shape (M, S or 1, n_in, n_out)
    bias : Tensor of shape (M, S or 1, n_out)
    gain : Tensor of shape (M, S, n_in) or None
        Factor on each input, zero where the unit is dropped. None means ones.
    """

    weight: Tensor
    bias: Tensor
    gain: Tensor | None = None

    def reading(self, some: Some) -> PlainLinear:
        """The maps of some inputs; the others are zero."""
        gain = None if self.gain is None else some("gain", self.gain, 2)
        return replace(self, weight=some("weight", self.weight, 2), gain=gain)

    @property
    def shared(self) -> bool:
        """Whether all draws of a member are the same map."""
        return self.gain is None and self.weight.shape[1] == 1 and self.bias.shape[1] == 1


@dataclass(frozen=True)
class GainMoments:
    """Central moments of independent factors of mean one on the inputs of a map.

    Attributes
    ----------
    variance, third, fourth : Tensor of shape (members, n_in or 1)
    """

    variance: Tensor
    third: Tensor
    fourth: Tensor

    def reading(self, some: Some) -> GainMoments:
        """Those of some inputs."""
        parts = vars(self).items()
        return GainMoments(**{k: v if v.shape[1] == 1 else some(k, v, 1) for k, v in parts})


@dataclass(frozen=True)
class LinearMoments:
    """Moments of the noisy linear map ``(x * gain) @ weight + bias`` of every member.

    The mean and variance of its product, given those of its inputs, follow from them.

    Attributes
    ----------
    weight : Tensor of shape (members, n_in, n_out)
        Means.
    bias : Tensor of shape (members, n_out)
    gain : GainMoments or None
        None is no noise on the inputs.
    variance : Tensor of shape (members, n_in, n_out) or None
        Variances of the weights, which are independent. None is no noise on them.
    """

    weight: Tensor
    bias: Tensor
    gain: GainMoments | None = None
    variance: Tensor | None = None

    @classmethod
    def of_plain(cls, plain: PlainLinear, **noise: GainMoments | Tensor | None) -> LinearMoments:
        """Around the map of the weight-scaling rule."""
        return cls(plain.weight[:, 0], plain.bias[:, 0], **noise)  # type: ignore[arg-type]

    def reading(self, some: Some) -> LinearMoments:
        """The map of some inputs; the others are zero."""
        gain = None if self.gain is None else self.gain.reading(some)
        variance = None if self.variance is None else some("variances", self.variance, 1)
        return replace(self, weight=some("weight", self.weight, 1), gain=gain, variance=variance)
