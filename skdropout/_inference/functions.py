"""What answers a prediction: draws, rounds of draws, or moments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
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
    """

    def __init__(self, plain: PlainStack) -> None:
        self.plain = plain

    def over(self, x: Tensor | Compressed) -> Iterator[tuple[slice, list[Tensor]]]:
        return evaluate(self.plain, x.to(_device(self.plain)))


class Moments(Functions):
    """All draws, by mean and covariance in closed form.

    Parameters
    ----------
    stack : MomentStack
    """

    def __init__(self, stack: MomentStack) -> None:
        self.stack = stack

    def over(self, x: Tensor | Compressed) -> Iterator[tuple[slice, list[Any]]]:
        return propagate(self.stack, x.to(_device(self.stack)))


class Rounds(Functions):
    """100 draws in all, and for rows that need more 200, 400, 800 or 1,600.

    The draws of a round begin with those of the rounds before, so a row that stops after some
    round has what ``n_draws`` of that size would give it.

    Parameters
    ----------
    stack : Stack
    known : callable
        Takes raw outputs, and returns variances and their standard errors, each an `Uncertainty`.
    """

    sizes = (FIRST_DRAWS, 200, 400, 800, MOST_DRAWS)

    def __init__(
        self, stack: Stack, known: Callable[[list[Tensor]], tuple[Uncertainty, Uncertainty]]
    ) -> None:
        self.stack, self.known = stack, known

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
        return Draws(self.stack.draw(draws_of_each(size, len(self.stack.members))))

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
