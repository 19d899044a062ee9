"""What a noise family is: its parameters, and the noise of one linear map ``x @ W + b``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn

from .._support.arrays import PickledAsArrays
from .._support.sklearn import Interval, validate_parameter_constraints
from ._maps import LinearMoments, PlainLinear
from ._noise import NoiseStreams
from ._reverse import ReversePass


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

    # ---- what a family says ------------------------------------------------------------------

    @abstractmethod
    def forward(self, x: Tensor, source: NoiseStreams) -> Tensor:
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
    def kl(self, source: NoiseStreams | None = None) -> Tensor:
        """Kullback-Leibler divergence from the prior, in nats, over the map: ``(members,)``.

        Parameters
        ----------
        source : NoiseSource, optional
            For a divergence without a closed form: an unbiased estimate from fresh noise, for a
            training step. Without it the value is deterministic.
        """

    # ---- what a family may add ---------------------------------------------------------------

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

    def reverse_pass(self, rectified: bool) -> type[ReversePass] | None:
        """What trains this map without autograd, for speed; None for autograd.

        Parameters
        ----------
        rectified : bool
            Whether the inputs are rectified units, in memory that the pass may overwrite.
        """
        return None

    @classmethod
    def is_exact_at_zero(cls) -> bool:
        """Whether noise at a rate of zero is exactly none: factors of one, and no KL."""
        return False

    def share_gains(self, sources: Sequence[int]) -> None:
        """Let inputs of one source be dropped together; called once, before `reset_noise`.

        Parameters
        ----------
        sources : sequence of int, one per input
            Counted from zero.
        """
        return

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

    # ---- what follows ------------------------------------------------------------------------

    def plain(self) -> PlainLinear:
        """The plain map of the weight-scaling rule: one draw, the centre of the posterior."""
        weight, alive = self.weight.detach(), self.alive()
        weight = weight if alive is None else weight * alive
        return PlainLinear(weight.unsqueeze(1), self.bias.detach())

    def add_kl_gradient(self, factors: Tensor, source: NoiseStreams) -> None:
        """Add the gradient of ``factors * kl`` to the parameters' `grad`, by autograd.

        Parameters
        ----------
        factors : Tensor of shape (members,)
        source : NoiseSource
            As in `kl`.
        """
        kl = self.kl(source)
        if kl.requires_grad:
            (kl * factors).sum().backward()


class Family(BaseEstimator, ABC):
    """A kind of noise. Subclasses with a `name` enter themselves in the table `FAMILIES`.

    A family is a small scikit-learn object: its constructor parameters appear in the
    estimator's `get_params` (``dropout__...``), so that a search can vary them. What is allowed
    stands in `_parameter_constraints`, in scikit-learn's terms.

    Attributes
    ----------
    layer : type of NoisyLinear
        The noise of one linear map.
    uses_rate : bool
        Whether the estimator's `dropout_rate` has a bearing on the noise.
    scales_inputs : bool
        Whether the estimator's `learn_input_scale` has a bearing on the training.
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
    uses_rate: ClassVar[bool] = True
    scales_inputs: ClassVar[bool] = True
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
        """What members of a stack must agree in, so that each reads the numbers of its noise."""
        return type(self), self.kind_of_noise()

    def kind_of_noise(self) -> object:
        """What the parameters say about which random numbers a training step reads.

        None where they have no bearing on it.
        """
        return None

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "name" in vars(cls):
            FAMILIES[cls.name] = cls


FAMILIES: dict[str, type[Family]] = {}
"""The families by name."""


@dataclass(eq=False, repr=False)
class Posterior(Family):
    """A family that learns its noise: the balance of data and prior, in one place.

    The objective per row is the mean negative log-likelihood plus
    ``kl_weight * min(1, epoch / kl_warmup) * KL / n_train``. Subclasses document the parameters.
    """

    kl_weight: float = 1.0
    kl_warmup: int = 0
    n_train: int | None = None
    noise_speed: float = 1.0

    _parameter_constraints: ClassVar[dict] = {
        "kl_weight": [Interval(Real, 0, None, closed="left")],
        "kl_warmup": [Interval(Integral, 0, None, closed="left")],
        "n_train": [Interval(Integral, 1, None, closed="left"), None],
        "noise_speed": [Interval(Real, 0, None, closed="neither")],
    }


def member_column(values: Sequence[float] | np.ndarray, like: Tensor) -> Tensor:
    """One value per member as a float32 column ``(members, 1, 1)`` that broadcasts over maps."""
    return torch.as_tensor(values, dtype=torch.float32, device=like.device).view(-1, 1, 1)
