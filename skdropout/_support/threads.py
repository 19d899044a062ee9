"""How many threads work: one on what is small, the caller's on what is large.

torch's threads wait for each other actively. Where another program has one of the cores, each
operation that is shared out waits until that core is free again, some milliseconds, which is many
times what small operations take. So these run on one thread, and where there are many of them that
do not depend on each other, each thread takes some of them: it waits once, at the end.

Nothing changes for other threads: OpenMP and MKL hold a number for each. `torch.set_num_threads`
would change that of threads that begin later too.
"""

from __future__ import annotations

import ctypes
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar

import torch
from threadpoolctl import ThreadpoolController

# Multiply-adds of one operation, or of one way forward in training, that all threads share. On two
# idle cores, epochs of steps of 14 million take as long with one thread as with two, and draws
# whose products have 86 million 1.6 times as long (docs/benchmarks/fit.md and draws.md of
# November 2026). On a busy machine one thread is faster still at 400 million.
_LARGE = 3 * 10**7
# Of what a thread takes at a time where each has its own: ten times what Python does meanwhile.
_WORTH_A_TURN = 10**6

T = TypeVar("T")
R = TypeVar("R")


class _Here(threading.local):
    """What this thread may use, as its caller had it; None outside of all blocks."""

    allowed: int | None = None


_here = _Here()


def allowed_threads() -> int:
    """Threads that the caller lets torch use: those from before the outermost `threads_for`."""
    return torch.get_num_threads() if _here.allowed is None else _here.allowed


@contextmanager
def threads_for(multiply_adds: int = 0) -> Iterator[None]:
    """Let a block's operations use one thread, or if they are large all that the caller allows.

    Only the calling thread is concerned, and only torch. Blocks may stand in each other.

    Parameters
    ----------
    multiply_adds : int, default=0
        Of one operation.
    """
    before, allowed = torch.get_num_threads(), allowed_threads()
    wanted = allowed if multiply_adds >= _LARGE else 1
    outer, _here.allowed = _here.allowed, allowed
    try:
        if wanted == before:
            yield
        else:
            with _number_of_threads(wanted):
                yield
    finally:
        _here.allowed = outer


def spread(function: Callable[[T], R], items: Sequence[T], multiply_adds: int) -> list[R]:
    """Apply a function of torch to items that do not depend on each other.

    Each of the allowed threads takes the next item until none is left, with operations of one
    thread: results do not depend on how many there are. Items that are too
    small for that are done one after the other.

    Parameters
    ----------
    function : callable
    items : sequence
    multiply_adds : int
        Of one item. Zero keeps them in the calling thread.

    Returns
    -------
    list
        In the order of the items.
    """
    n_threads = min(allowed_threads(), len(items))
    if n_threads < 2 or multiply_adds < _WORTH_A_TURN:
        with threads_for(multiply_adds):
            return [function(item) for item in items]
    results: list[Any] = [None] * len(items)
    waiting = deque(range(len(items)))
    inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def work() -> None:
        with torch.inference_mode(inference), torch.set_grad_enabled(gradients), threads_for():
            try:
                while waiting:
                    number = _next(waiting)
                    if number is not None:
                        results[number] = function(items[number])
            finally:
                waiting.clear()

    with ThreadPoolExecutor(n_threads - 1, initializer=_be_alone) as others:
        helpers = [others.submit(work) for _ in range(n_threads - 1)]
        work()
        for helper in helpers:
            helper.result()
    return results


def _next(waiting: deque[int]) -> int | None:
    try:
        return waiting.popleft()
    except IndexError:  # Another thread was faster.
        return None


def _be_alone() -> None:
    """In a thread beside others: what it does is never shared out again."""
    _here.allowed = 1


@contextmanager
def _number_of_threads(n_threads: int) -> Iterator[None]:
    """Of torch's operations in the calling thread. torch must have been used in it before."""
    set_local = _mkl_set_local()
    with _openmp().limit(limits=n_threads):
        before = set_local(n_threads)
        try:
            yield
        finally:
            set_local(before)


@lru_cache(maxsize=1)
def _openmp() -> ThreadpoolController:
    """OpenMP libraries, torch's among them. BLAS libraries have one number for all threads."""
    return ThreadpoolController().select(user_api="openmp")


@lru_cache(maxsize=1)
def _mkl_set_local() -> Callable[[int], int]:
    """MKL's own number, which counts more once `torch.set_num_threads` was called; 0 is none."""
    library = ctypes.CDLL(torch._C.__file__)
    return getattr(library, "MKL_Set_Num_Threads_Local", lambda n_threads: 0)
