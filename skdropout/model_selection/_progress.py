"""How far a search is."""

from __future__ import annotations

import sys
import time
from typing import Any

from skorch.callbacks import Callback

from .._training.net import DropoutNet

_WIDTH = 30


class Progress(Callback):
    """A bar over candidates x folds x epochs, with the time that is left.

    On a terminal it is redrawn after each epoch; elsewhere, and where several processes print,
    there is a line for every tenth of a stack.

    Parameters
    ----------
    number : int
        Which stack this is.
    sizes : list of int
        Networks of each stack of the search.
    shared : bool
        Whether other processes print too.
    """

    def __init__(self, number: int, sizes: list[int], shared: bool) -> None:
        self.number, self.sizes, self.shared = number, sizes, shared

    def on_train_begin(self, net: DropoutNet, **kwargs: Any) -> None:
        self.start_, self.tenths_ = time.perf_counter(), 0

    def on_epoch_end(self, net: DropoutNet, **kwargs: Any) -> None:
        epoch = len(net.history)
        share = epoch / net.max_epochs
        left = (time.perf_counter() - self.start_) * (1 - share) / share
        self._show(net, share, f"epoch {epoch}/{net.max_epochs}, at most {left:.0f} s left")

    def on_train_end(self, net: DropoutNet, **kwargs: Any) -> None:
        seconds = time.perf_counter() - self.start_
        self.tenths_ = -1
        self._show(net, 1.0, f"{len(net.history)} epochs in {seconds:.1f} s", end="\n")

    def _show(self, net: DropoutNet, share: float, text: str, end: str = "") -> None:
        redrawn = sys.stdout.isatty() and not self.shared
        tenths = int(10 * share)
        if not redrawn and tenths == self.tenths_:
            return
        self.tenths_ = tenths
        bar = ("#" * round(_WIDTH * share)).ljust(_WIDTH, ".")
        place = f"stack {self.number + 1}/{len(self.sizes)}"
        line = f"[{bar}] {place}: {self.sizes[self.number]} networks"
        line += f" ({len(net.run_.living)} in training), {text}"
        print(f"\r{line:<100}" if redrawn else line, end=end if redrawn else "\n", flush=True)
