"""What answers a prediction: draws, rounds of draws, or moments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._modules.drawn import DrawnModules
from .._networks.plain import MomentStack, PlainStack
from .._networks.stack import Stack
from .._predictive.needed_draws import FIRST_DRAWS, MOST_DRAWS, draws_of_each, needed_draws
from .._predictive.uncertainty import Uncertainty
from .._support.compressed import Compressed, rows_of
from .._support.threads import threads_for
from .draws import evaluate
from .moments.propagation import propagate
from .process import DrawnFunctions, GaussianProcess, widened


class Functions(ABC):
    """The functions of a fitted network, of which a prediction is the mean."""

    @abstractmethod
    def over(self, x: Tensor | Compressed) -> Iterator[tuple[Any, list[Any]]]:
        """Raw outputs, a chunk of rows at a time.

        Parameters
        ----------
        x : Tensor or Compressed of shape (rows, n_features)
            On the CPU. Its dtype is the one of the computation.

        Yields
        ------
        rows : slice or ndarray of int
            Which rows; each is in one chunk.
        outputs : list of Tensor of shape (n_draws, rows, n_raw) or GaussianOutputs
            One entry per member.
        """


class Draws(Functions):
    """Plain networks.

    Parameters
    ----------
    plain : PlainStack
    beside : DrawnFunctions, optional
        What is added to them, for each member as many as it has draws, or to its only one.
    """

    def __init__(self, plain: PlainStack, beside: DrawnFunctions | None = None) -> None:
        self.plain, self.beside = plain, beside

    @classmethod
    def of(
        cls,
        stack: Stack,
        process: GaussianProcess | None,
        n_draws: int,
        seeds: Sequence[int] | None = None,
    ) -> Draws:
        """Draws of each member, with a function of the process added to each.

        Parameters
        ----------
        stack : Stack
        process : GaussianProcess or None
        n_draws : int
            Of each member. Without noise, and without a process, its network is the only one.
        seeds : sequence of int, one per member, optional
            As in `Stack.draw`.
        """
        plain = stack.draw(n_draws, seeds)
        if process is None:
            return cls(plain)
        if seeds is None:
            return cls(plain, process.draw(n_draws, stack.draw_seeds()))
        # Who names seeds wants functions that are independent of each other.
        return cls(plain, process.draw(n_draws, seeds, centred=False))

    @property
    def n_draws(self) -> int:
        """Of each member."""
        return self.plain.n_draws if self.beside is None else self.beside.weights.shape[1]

    def over(self, x: Tensor | Compressed) -> Iterator[tuple[slice, list[Tensor]]]:
        chunks = evaluate(self.plain, x.to(_device(self.plain)))
        return chunks if self.beside is None else _with(self.beside, x, chunks)


class Moments(Functions):
    """All draws, by mean and covariance in closed form.

    Parameters
    ----------
    stack : MomentStack
    process : GaussianProcess, optional
        Whose functions are added.
    """

    def __init__(self, stack: MomentStack, process: GaussianProcess | None = None) -> None:
        self.stack, self.process = stack, process

    def over(self, x: Tensor | Compressed) -> Iterator[tuple[slice, list[Any]]]:
        for rows, outputs in propagate(self.stack, x.to(_device(self.stack))):
            if self.process is not None:
                variance = self.process.variance(x[rows])
                outputs = [widened(one, variance, self.stack.directions) for one in outputs]
            yield rows, outputs


class Rounds(Functions):
    """100 draws in all, and for rows that need more 200, 400, 800 or 1,600.

    The draws of a round begin with those of the rounds before, so a row that stops after some
    round has what ``n_draws`` of that size would give it.

    Parameters
    ----------
    stack : Stack
    known : callable
        Takes raw outputs, and returns variances and their standard errors, each an `Uncertainty`.
    process : GaussianProcess, optional
        Whose functions are added.
    """

    sizes = (FIRST_DRAWS, 200, 400, 800, MOST_DRAWS)

    def __init__(
        self,
        stack: Stack,
        known: Callable[[list[Tensor]], tuple[Uncertainty, Uncertainty]],
        process: GaussianProcess | None = None,
    ) -> None:
        self.stack, self.known, self.process = stack, known, process

    def over(self, x: Tensor | Compressed) -> Iterator[tuple[np.ndarray, list[Tensor]]]:
        sizes = np.full(len(x), self.sizes[0])
        for size in self.sizes:
            pending = np.flatnonzero(sizes == size)
            if not len(pending):
                continue
            for chunk, raws in self._draws(size).over(x[torch.from_numpy(pending)]):
                index = pending[chunk]
                if size < self.sizes[-1]:
                    sizes[index] = self._next_round(size, needed_draws(*self.known(raws), size))
                done = np.flatnonzero(sizes[index] == size)
                if len(done):
                    kept = torch.from_numpy(done).to(raws[0].device)
                    yield index[done], [raw.index_select(1, kept) for raw in raws]

    def _draws(self, size: int) -> Draws:
        return Draws.of(self.stack, self.process, draws_of_each(size, len(self.stack.members)))

    def _next_round(self, size: int, needed: np.ndarray) -> np.ndarray:
        """Where rows go after a round: to the first later one that is large enough, or nowhere.

        Parameters
        ----------
        size : int
            Of the round that is over.
        needed : ndarray of shape (n_samples,)
            Draws that each row needs.

        Returns
        -------
        ndarray of int of shape (n_samples,)
            Sizes; `size` for rows that are done.
        """
        later = np.searchsorted(self.sizes, np.minimum(needed, MOST_DRAWS))
        return np.where(needed <= size, size, np.take(self.sizes, later))


def _with(
    beside: DrawnFunctions, x: Tensor | Compressed, chunks: Iterator[tuple[slice, list[Tensor]]]
) -> Iterator[tuple[slice, list[Tensor]]]:
    """Raw outputs of networks, and what is added to them."""
    for rows, raws in chunks:
        added = beside(x[rows])
        pairs = zip(raws, added, strict=True)
        yield rows, [raw + more.to(raw.device) for raw, more in pairs]


def _device(stack: PlainStack | MomentStack) -> torch.device:
    if isinstance(stack, DrawnModules):
        return stack.reads_from
    return stack.layers[0].linear.weight.device


@threads_for()
def reduce(
    functions: Functions, X: Any, function: Callable[..., tuple], *rows: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Apply a function to the raw outputs of each chunk of rows and join the results.

    Parameters
    ----------
    functions : Functions
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        Its dtype is the one of the computation.
    function : callable
        Takes raw outputs, one entry per member, and the chunk's part of each of `rows`. Returns
        arrays with rows first.
    *rows : ndarray with one entry per row

    Returns
    -------
    tuple of ndarray
        Rows in the order of `X`.
    """
    places, results = [], []
    numbers = np.arange(X.shape[0])
    with torch.inference_mode():
        for chunk, outputs in functions.over(rows_of(X)):
            places.append(numbers[chunk])
            results.append(function(outputs, *(values[chunk] for values in rows)))
    joined = tuple(np.concatenate(parts) for parts in zip(*results, strict=True))
    place = np.concatenate(places)
    if (place[1:] > place[:-1]).all():
        return joined
    order = np.argsort(place)
    return tuple(values[order] for values in joined)
