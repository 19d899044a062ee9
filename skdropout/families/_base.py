"""What a noise family is: three questions about one linear map ``x @ W + b``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn

from .._support.arrays import PickledAsArrays
from .._support.sklearn import validate_parameter_constraints
from ._noise import NoiseSource


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


@dataclass(frozen=True)
class LinearMoments:
    """Moments of the noisy linear map ``(x * gain) @ weight + bias`` of every member.

    The mean and variance of its product, given those of its inputs, follow from them
    (`skdropout.moments`).

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


class NoisyLinear(PickledAsArrays, ABC):
    """One linear map of every member of a stack, with a family's noise.

    Parameters
    ----------
    n_in, n_out : int
        Widths of the map.
    rates : sequence of float, one per member
        Probability of dropping an input of this map.
    families : sequence of Family, one per member
        Carry the family's own parameters, which may differ from member to member.

    Attributes
    ----------
    weight : Parameter of shape (members, n_in, n_out)
        The centre of the posterior: what the penalty and the weight-scaling rule see.
    bias : Parameter of shape (members, 1, n_out)
    noisy : bool
        Whether a draw can differ from the plain map. Subclasses set it.
    """

    noisy: bool

    def __init__(
        self, n_in: int, n_out: int, rates: Sequence[float], families: Sequence[Family]
    ) -> None:
        super().__init__()
        n_members = len(rates)
        self.weight = nn.Parameter(torch.zeros(n_members, n_in, n_out, dtype=torch.float32))
        self.bias = nn.Parameter(torch.zeros(n_members, 1, n_out, dtype=torch.float32))

    @abstractmethod
    def forward(self, x: Tensor, source: NoiseSource) -> Tensor:
        """The noisy product while training, with fresh noise for every row.

        Parameters
        ----------
        x : Tensor of shape (members, rows, n_in)
        source : NoiseSource

        Returns
        -------
        Tensor of shape (members, rows, n_out)
        """

    @abstractmethod
    def draw(self, n_draws: int, rngs: Sequence[np.random.Generator]) -> PlainLinear:
        """Plain maps from the posterior.

        Parameters
        ----------
        n_draws : int
        rngs : sequence of numpy.random.Generator, one per member
            Read draw by draw: the first draws of a longer sequence are those of a shorter one.
        """

    @abstractmethod
    def kl(self, source: NoiseSource | None = None) -> Tensor:
        """Kullback-Leibler divergence from the prior, in nats, over the map: ``(members,)``.

        Parameters
        ----------
        source : NoiseSource, optional
            For a divergence without a closed form: an unbiased estimate from fresh noise, for a
            training step. Without it the value is deterministic.
        """

    def plain(self) -> PlainLinear:
        """The plain map of the weight-scaling rule: one draw, the centre of the posterior."""
        return PlainLinear(self.weight.detach().unsqueeze(1), self.bias.detach())

    def add_kl_gradient(self, factors: Tensor, source: NoiseSource) -> None:
        """Add the gradient of ``factors * kl`` to the parameters' `grad`.

        Families with many parameters may write it out: autograd also computes the value, which
        a training step does not need.

        Parameters
        ----------
        factors : Tensor of shape (members,)
        source : NoiseSource
            As in `kl`.
        """
        kl = self.kl(source)
        if kl.requires_grad:
            (kl * factors).sum().backward()

    # ---- what a family may add -----------------------------------------------------------

    def moments(self) -> LinearMoments:
        """Moments of the draws, in closed form.

        Raises
        ------
        NotImplementedError
            If the family does not say.
        """
        raise NotImplementedError(
            f"inference='moments' needs the noise's moments, which {type(self).__name__} does not "
            "state (it has no method moments); allowed with it is inference='draws'"
        )

    def reset_noise(self) -> None:
        """Start the learned noise; called once, when the initial weights are there."""
        return

    def learned_rates(self) -> np.ndarray | None:
        """Rates that training has arrived at, ``(members,)``; None if there are none to learn."""
        return None

    def alive(self) -> Tensor | None:
        """Weights that are not switched off, bool, shape of `weight`; None if it knows no off."""
        return None

    def thinned(self, inputs: Tensor, outputs: Tensor) -> NoisyLinear:
        """The map between some of its inputs and outputs, with the same draws. See `alive`.

        Parameters
        ----------
        inputs, outputs : Tensor of int64
            Increasing indices.
        """
        raise NotImplementedError(f"{type(self).__name__} switches no weights off")

    def complaint(self) -> str | None:
        """What a user should know about the noise after training; None if all is well."""
        return None


class MultiplicativeLinear(NoisyLinear):
    """A map whose inputs are multiplied by noise of mean one; a rate of zero is a factor of one.

    Attributes
    ----------
    learned : bool
        Whether the noise has parameters or a KL. If not, the gradient is written out
        (`skdropout.backprop`), which is faster than autograd.
    noisy : bool
        Whether any member has a positive rate.
    """

    learned: ClassVar[bool] = False
    positive: Tensor

    def __init__(
        self, n_in: int, n_out: int, rates: Sequence[float], families: Sequence[Family]
    ) -> None:
        super().__init__(n_in, n_out, rates, families)
        # A buffer, so that it is that of some members where they are selected.
        self.register_buffer("positive", torch.as_tensor(rates) > 0, persistent=False)

    @property
    def noisy(self) -> bool:  # type: ignore[override]
        return bool(self.positive.any())

    @abstractmethod
    def training_gain(self, n_rows: int, source: NoiseSource) -> Tensor:
        """Noise for every row and input, shape ``(members or 1, n_rows, n_in)``."""

    @abstractmethod
    def drawn_gain(self, n_draws: int, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        """Noise for every draw and input, shape ``(members, n_draws, n_in)``, float32."""

    def gain(self, n_rows: int, source: NoiseSource) -> Tensor | None:
        """The noise of a training pass, None where there is none."""
        return self.training_gain(n_rows, source) if self.noisy else None

    def forward(self, x: Tensor, source: NoiseSource) -> Tensor:
        gain = self.gain(x.shape[1], source)
        return torch.baddbmm(self.bias, x if gain is None else x * gain, self.weight)

    def draw(self, n_draws: int, rngs: Sequence[np.random.Generator]) -> PlainLinear:
        if not self.noisy:
            return self.plain()
        gain = torch.from_numpy(self.drawn_gain(n_draws, rngs)).to(self.weight.device)
        return PlainLinear(self.weight.detach().unsqueeze(1), self.bias.detach(), gain)

    def kl(self, source: NoiseSource | None = None) -> Tensor:
        return self.weight.new_zeros(self.weight.shape[0])

    def gain_moments(self) -> GainMoments:
        """Moments of `drawn_gain`, asked for where there is noise."""
        raise NotImplementedError(
            f"inference='moments' needs the noise's moments, which {type(self).__name__} does not "
            "state (it has no method gain_moments); allowed with it is inference='draws'"
        )

    def moments(self) -> LinearMoments:
        gain = self.gain_moments() if self.noisy else None
        return LinearMoments.of_plain(self.plain(), gain=gain)


class Family(BaseEstimator, ABC):
    """A kind of noise. Subclasses with a `name` enter themselves in the table `FAMILIES`.

    A family is a small scikit-learn object: its constructor parameters appear in the
    estimator's `get_params` (``dropout__...``), so that a search can vary them. What is allowed
    stands in `_parameter_constraints`, in scikit-learn's terms.

    Attributes
    ----------
    layer : type of NoisyLinear
        The noise of one linear map.
    kl_weight : float
        Factor on the KL in the objective. Families with a KL make this and the next two
        parameters (`Posterior`).
    kl_warmup : int
        Epochs over which that factor grows from zero.
    n_train : int or None
        Rows that the KL is divided by. None is the rows of the call that trains.
    """

    name: ClassVar[str]
    layer: ClassVar[type[NoisyLinear]]
    _parameter_constraints: ClassVar[dict] = {}
    kl_weight: float = 1.0
    kl_warmup: int = 0
    n_train: int | None = None

    def validate(self) -> None:
        """Raise a ValueError that names the first parameter out of range."""
        validate_parameter_constraints(
            self._parameter_constraints, self.get_params(), caller_name=type(self).__name__
        )

    def kl_factor(self, epoch: int) -> float:
        """Factor on the KL in an epoch, counted from zero over the life of the network."""
        if epoch >= self.kl_warmup:
            return self.kl_weight
        return self.kl_weight * epoch / self.kl_warmup

    def stack_key(self) -> object:
        """What the members of a stack must agree in, so that each reads the numbers of its noise.

        The class; where parameters decide which random numbers a training step reads, they too.
        """
        return type(self)

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "name" in vars(cls):
            FAMILIES[cls.name] = cls


FAMILIES: dict[str, type[Family]] = {}
"""The families by name."""


def bernoulli_moments(rates: np.ndarray, like: Tensor) -> GainMoments:
    """Moments of a Bernoulli mask of mean one, for one dropping rate a member.

    The noise is ``-1`` with probability `rate` and ``rate / (1 - rate)`` otherwise.
    """
    rate = torch.as_tensor(rates, dtype=torch.float64, device=like.device).view(-1, 1)
    keep = 1 - rate
    third = -rate * (1 - 2 * rate) / keep.square()
    return GainMoments(rate / keep, third, rate + rate**4 / keep**3)


def member_column(values: Sequence[float] | np.ndarray, like: Tensor) -> Tensor:
    """One value per member as a float32 column ``(members, 1, 1)`` that broadcasts over maps."""
    return torch.as_tensor(values, dtype=torch.float32, device=like.device).view(-1, 1, 1)
