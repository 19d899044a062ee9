"""Random numbers for training: one stream per member of the stack."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from .._support.arrays import as_array, as_tensor

_INT64_MIN = -(2**63)


def kinds_of(*marks: Tensor) -> tuple[Tensor, Tensor]:
    """Which members are alike.

    Parameters
    ----------
    *marks : Tensor of int64 of shape (members,)
        Members of one kind agree in all of them.

    Returns
    -------
    one : Tensor of int64 of shape (kinds,)
        One member of each kind.
    kind : Tensor of int64 of shape (members,)
        The kind of each.
    """
    _, kind = torch.unique(torch.stack(marks), dim=1, return_inverse=True)
    one = kind.new_empty(int(kind.max()) + 1)
    return one.scatter_(0, kind, torch.arange(len(kind), device=kind.device)), kind


class NoiseStreams(ABC):
    """Numbers for the rows of a training step, from one stream per member.

    Members may share a stream: its numbers are made once and broadcast.

    Attributes
    ----------
    device : torch.device
    generators : list of torch.Generator
        One for each stream.
    stream : Tensor of int64 of shape (members,) or None
        Which stream each member reads. None is one for all.
    counts : list of int or None
        Rows for which each stream makes numbers. None is as many as are asked for.
    """

    device: torch.device
    generators: list[torch.Generator]
    stream: Tensor | None
    counts: list[int] | None = None

    @abstractmethod
    def bits(self, *shape: int, some: Tensor | None = None) -> Tensor:
        """Uniform 16-bit integers, shape ``(members or 1, *shape)``, int16.

        On a CPU `bernoulli_` is half of a training step. Four of these numbers come out of one
        64-bit word, which makes a mask several times cheaper.

        Parameters
        ----------
        *shape : int
            Rows first.
        some : Tensor of int64, optional
            These members only.
        """

    @abstractmethod
    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, shape ``(members or 1, *shape)``, float32."""

    def of_streams(self, values: Tensor) -> list[int]:
        """One value for each stream from one for each member, which members of a stream share."""
        if self.stream is None:
            return [int(values[0])]
        each = values.new_empty(len(self.generators))
        return each.scatter_(0, self.stream, values).tolist()

    def per_member(self, streams: Tensor, some: Tensor | None = None) -> Tensor:
        """Numbers of each stream ``(streams, ...)`` as ``(members or 1, ...)``.

        Parameters
        ----------
        streams : Tensor
        some : Tensor of int64, optional
            These members only.
        """
        if self.stream is None or (some is None and len(streams) == len(self.stream)):
            return streams
        # Ten times faster than an index in brackets.
        return streams.index_select(0, self.stream if some is None else self.stream[some])

    def _counts(self, shape: Sequence[int]) -> list[int]:
        """How many numbers each stream makes for a request."""
        if self.counts is None:
            return [math.prod(shape)] * len(self.generators)
        return [count * math.prod(shape[1:]) for count in self.counts]

    def stream_bits(self, *shape: int) -> Tensor:
        """Bits of each stream, before they are handed to the members: ``(streams, *shape)``."""
        count = math.prod(shape)
        words = torch.empty(
            len(self.generators), (count + 3) // 4, dtype=torch.int64, device=self.device
        )
        for row, own, generator in zip(words, self._counts(shape), self.generators, strict=True):
            # Without explicit bounds random_() leaves the sign bit zero.
            row[: (own + 3) // 4].random_(_INT64_MIN, None, generator=generator)
        return words.view(torch.int16)[:, :count].view(-1, *shape)

    def stream_normal(self, *shape: int) -> Tensor:
        """Normal numbers of each stream: ``(streams, *shape)``."""
        numbers = torch.empty(len(self.generators), *shape, dtype=torch.float32, device=self.device)
        for row, own, generator in zip(numbers, self._counts(shape), self.generators, strict=True):
            row.view(-1)[:own].normal_(generator=generator)
            row.view(-1)[own:].zero_()
        return numbers


class NoiseSource(NoiseStreams):
    """Fresh noise for every row while a stack is trained.

    Each member reads the stream of its own seed, so it gets the numbers that it would get alone.
    Members with equal seeds share one stream: the numbers are made once and broadcast.

    Parameters
    ----------
    seeds : sequence of int
        One seed per member.
    device : torch.device
        Where the numbers are needed. They are made there; a CPU and a GPU give different ones.
    lengths : sequence of int, optional
        Rows of each member. With another number of rows, a member has a stream of its own.
    """

    def __init__(
        self, seeds: Sequence[int], device: torch.device, lengths: Sequence[int] | None = None
    ):
        marks = np.array([seeds, seeds if lengths is None else lengths], dtype=np.int64)
        _, first, stream = np.unique(marks, axis=1, return_index=True, return_inverse=True)
        self.device = device
        # In the order of the members, so that streams of one member each are those of the members.
        rank = first.argsort().argsort()
        self.generators = [
            torch.Generator(device).manual_seed(int(seeds[member])) for member in np.sort(first)
        ]
        self.stream = None
        if len(self.generators) > 1:
            self.stream = torch.as_tensor(rank[stream.reshape(-1)], device=device)

    def select(self, kept: Sequence[int]) -> NoiseSource:
        """The streams of some of the members, which go on where they are.

        Parameters
        ----------
        kept : sequence of int
            Which members, in increasing order.
        """
        small = copy.copy(self)
        if self.stream is not None:
            used, stream = np.unique(self.stream.cpu().numpy()[kept], return_inverse=True)
            small.generators = [self.generators[index] for index in used]
            small.stream = None
            if len(used) > 1:
                small.stream = torch.as_tensor(stream, device=self.device)
        return small

    def copy(self) -> NoiseSource:
        """Streams that go on from where these are, apart from them."""
        other = copy.copy(self)
        other.generators = [torch.Generator(self.device) for _ in self.generators]
        for generator, given in zip(other.generators, self.generators, strict=True):
            generator.set_state(given.get_state())
        return other

    def bits(self, *shape: int, some: Tensor | None = None) -> Tensor:
        return self.per_member(self.stream_bits(*shape), some)

    def normal(self, *shape: int) -> Tensor:
        return self.per_member(self.stream_normal(*shape))

    def permutation(self, n_rows: int, counts: Sequence[int] | None = None) -> Tensor:
        """Random orders of ``range(n_rows)``, shape ``(members or 1, n_rows)``, int64.

        Parameters
        ----------
        n_rows : int
        counts : sequence of int, one per stream, optional
            Orders of so many; the rest follows as it is.
        """
        orders = torch.arange(n_rows, device=self.device).repeat(len(self.generators), 1)
        counts = [n_rows] * len(orders) if counts is None else counts
        for order, own, generator in zip(orders, counts, self.generators, strict=True):
            order[:own] = torch.randperm(own, generator=generator, device=self.device)
        return self.per_member(orders)

    def __copy__(self) -> NoiseSource:
        # With the same generators, which copies of their states would not be.
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        return other

    def __getstate__(self) -> dict:
        # Generators are stored by their state, on the CPU, so that a model that was trained on
        # a GPU unpickles on a machine without one.
        state = self.__dict__.copy()
        state["generators"] = [as_array(generator.get_state()) for generator in self.generators]
        state["stream"] = None if self.stream is None else as_array(self.stream)
        return state

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        if self.device.type == "cuda" and not torch.cuda.is_available():
            self.device = torch.device("cpu")
        states = [as_tensor(values) for values in state["generators"]]
        self.generators = [torch.Generator(self.device) for _ in states]
        for generator, saved in zip(self.generators, states, strict=True):
            if saved.numel() == generator.get_state().numel():
                generator.set_state(saved)
            else:
                # A CUDA stream cannot go on as a CPU one; it starts anew from the same bytes.
                generator.manual_seed(int(saved.to(torch.int64).sum()))
        if self.stream is not None:
            self.stream = as_tensor(state["stream"]).to(self.device)


class BlockNoise(NoiseStreams):
    """The noise of a block of rows, handed out a part of the rows at a time.

    The numbers of the whole block are made at the first request, once for each stream of the
    source; what the members need of them is laid out for a part only, so that a large stack
    stays in the cache. What a member gets does not depend on the parts.

    Parameters
    ----------
    source : NoiseSource
    n_rows : int
        Rows of the block, the first axis of every request.
    counting : Tensor of int64 of shape (members,), optional
        How many of them each member has. The others get numbers that mean nothing.
    """

    def __init__(self, source: NoiseSource, n_rows: int, counting: Tensor | None = None) -> None:
        self.device, self.generators, self.stream = source.device, source.generators, source.stream
        self.n_rows = n_rows
        self.counts = None if counting is None else source.of_streams(counting)
        self.numbers: list[Tensor] = []
        self.first, self.request = 0, 0

    def advance(self, n_rows: int) -> None:
        """Go on to the next part, past so many rows. Its requests must be those of the first."""
        self.first, self.request = self.first + n_rows, 0

    def bits(self, *shape: int, some: Tensor | None = None) -> Tensor:
        return self._part(self.stream_bits, some, *shape)

    def normal(self, *shape: int) -> Tensor:
        return self._part(self.stream_normal, None, *shape)

    def _part(
        self, make: Callable[..., Tensor], some: Tensor | None, n_rows: int, *shape: int
    ) -> Tensor:
        if self.request == len(self.numbers):
            self.numbers.append(make(self.n_rows, *shape))
        numbers = self.numbers[self.request][:, self.first : self.first + n_rows]
        self.request += 1
        return self.per_member(numbers, some)
