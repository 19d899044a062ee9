"""The stack of networks: the noisy forward pass, and draws of plain stacks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from .._support.members import copy_holding, select_members
from ..families import NoiseStreams, NoisyLinear, PlainLinear
from .activations import ACTIVATIONS
from .architecture import Architecture, Member
from .input_scale import InputScale
from .normalization import NORMALIZATIONS, Normalization
from .plain import MomentLayer, MomentStack, PlainLayer, PlainStack


class Stack(nn.Module):
    """Networks side by side: every tensor has a leading member axis.

    Order in a hidden layer: linear, normalization, activation, dropout. The dropout belongs to
    the next linear map, whose inputs it drops; the outputs are never dropped.

    Parameters
    ----------
    architecture : Architecture
    members : sequence of Member

    Attributes
    ----------
    inputs : Tensor of int64 or None
        Columns of a row that the networks read, in order. None is all of them.
    input_scale : InputScale or None
    n_epochs : int
        Epochs of training so far, over all calls: the KL's warm-up is counted in them.
    """

    linears: Sequence[NoisyLinear]
    norms: Sequence[Normalization]
    inputs: Tensor | None
    input_scale: InputScale | None

    def __init__(self, architecture: Architecture, members: Sequence[Member]) -> None:
        super().__init__()
        self.architecture = architecture
        self.members = tuple(members)
        self.n_epochs = 0
        self.register_buffer("inputs", None, persistent=False)
        families = [member.family for member in members]
        self.linears = nn.ModuleList(  # type: ignore[assignment]
            type(families[0]).layer(n_in, n_out, rates, families)
            for (n_in, n_out), rates in zip(
                itertools.pairwise(architecture.widths),
                zip(*(member.rates for member in members), strict=True),
                strict=True,
            )
        )
        if architecture.sources is not None:
            self.linears[0].share_gains(architecture.sources)
        normalization = architecture.normalization
        hidden = architecture.widths[1:-1] if normalization else ()
        self.norms = nn.ModuleList(  # type: ignore[assignment]
            NORMALIZATIONS[str(normalization)](len(members), width) for width in hidden
        )
        self.input_scale = None
        if architecture.scaled:
            self.input_scale = InputScale(len(members), architecture.widths[0])
        self._initialize()

    @torch.no_grad()
    def _initialize(self) -> None:
        """Glorot's uniform initial weights and biases, as in scikit-learn's MLP."""
        factor = 2.0 if self.architecture.activation == "logistic" else 6.0
        rows: dict[int, list[int]] = {}
        for row, member in enumerate(self.members):
            rows.setdefault(member.seed, []).append(row)
        for first, *others in rows.values():
            generator = torch.Generator().manual_seed(self.members[first].seeds()[0])
            for linear in self.linears:
                bound = (factor / sum(linear.weight.shape[1:])) ** 0.5
                for values in (linear.weight, linear.bias):
                    values[first].uniform_(-bound, bound, generator=generator)
                    if others:
                        values[others] = values[first].clone()
        for linear in self.linears:
            linear.reset_noise()

    def select(self, kept: Tensor) -> Stack:
        """A stack of some of the members, which shares no memory with this one.

        Parameters
        ----------
        kept : Tensor of int64
            Which members, in increasing order.
        """
        children = {name: select_members(child, kept) for name, child in self.named_children()}
        small = copy_holding(self, children=children)
        small.members = tuple(self.members[member] for member in kept.tolist())
        return small

    def forward(self, x: Tensor, source: NoiseStreams) -> Tensor:
        """Noisy pass with fresh noise for every row, for training.

        Parameters
        ----------
        x : Tensor of shape (members, rows, n_features)
        source : NoiseStreams

        Returns
        -------
        Tensor of shape (members, rows, raw outputs)
        """
        activation = ACTIVATIONS[self.architecture.activation].function
        if self.inputs is not None:
            x = x.index_select(2, self.inputs)
        *hidden, last = self.linears
        for depth, linear in enumerate(hidden):
            x = linear(x, source)
            if self.norms:
                x = self.norms[depth](x)
            x = activation(x)
        return last(x, source)

    def kl(self, source: NoiseStreams | None = None) -> Tensor:
        """Kullback-Leibler divergence from the prior, in nats: ``(members,)``.

        Parameters
        ----------
        source : NoiseStreams, optional
            As in `NoisyLinear.kl`.
        """
        return torch.stack([linear.kl(source) for linear in self.linears]).sum(0)

    def kl_factors(self, n_rows: int | Sequence[int]) -> list[float]:
        """What one nat of each member's KL costs in this epoch, in nats per row.

        Parameters
        ----------
        n_rows : int, or one for each member
            Rows of the training call: the sum of the sample weights.
        """
        families = [member.family for member in self.members]
        counts = [n_rows] * len(families) if isinstance(n_rows, int) else n_rows
        return [
            family.kl_factor(self.n_epochs) / (family.n_train or count)
            for family, count in zip(families, counts, strict=True)
        ]

    @property
    def noisy(self) -> bool:
        """Whether draws differ."""
        return any(linear.noisy for linear in self.linears)

    def rates(self) -> np.ndarray:
        """Rates as they are now, learned or fixed: ``(members, noisy maps)``."""
        columns = []
        for linear, *given in zip(self.linears, *(m.rates for m in self.members), strict=True):
            learned = linear.learned_rates()
            if linear.noisy:
                columns.append(np.array(given) if learned is None else learned)
        return np.stack(columns, 1) if columns else np.empty((len(self.members), 0))

    def plain(self) -> PlainStack:
        """One plain network per member, by the weight-scaling rule."""
        return self._assemble([linear.plain() for linear in self.linears])

    def draw(self, n_draws: int, seeds: Sequence[int] | None = None) -> PlainStack:
        """Plain networks from the posterior, `n_draws` per member.

        Parameters
        ----------
        n_draws : int
            Per member. The draws of a shorter sequence are the first ones of a longer.
        seeds : sequence of int, one per member, optional
            By default the members' own, which makes a model a fixed set of functions.
        """
        if seeds is None:
            seeds = self.draw_seeds()
        return self._assemble(
            [
                # A stream per map: the draws of one do not depend on how many another took.
                linear.draw(n_draws, [np.random.default_rng((seed, depth)) for seed in seeds])
                if linear.noisy
                else linear.plain()
                for depth, linear in enumerate(self.linears)
            ]
        )

    def draw_seeds(self) -> list[int]:
        """What the draws of each member follow from."""
        return [member.seeds()[3] for member in self.members]

    def moments(self) -> MomentStack:
        """Moments of the noisy maps that `draw` draws from.

        Raises
        ------
        NotImplementedError
            If the family does not state its noise's moments.
        """
        linears = [linear.moments() for linear in self.linears]
        layers = [
            MomentLayer(*norm.moments(linear))
            for linear, norm in zip(linears, self.norms, strict=False)
        ]
        layers += [MomentLayer(linear, None) for linear in linears[len(layers) :]]
        return MomentStack(tuple(layers), self.architecture.activation, self.inputs)

    def _assemble(self, linears: list[PlainLinear]) -> PlainStack:
        layers = [
            PlainLayer(*norm.plain(linear))
            for linear, norm in zip(linears, self.norms, strict=False)
        ]
        layers += [PlainLayer(linear, None) for linear in linears[len(layers) :]]
        activation = ACTIVATIONS[self.architecture.activation].function
        return PlainStack(tuple(layers), activation, self.inputs)
