"""When training ends, which weights are kept, and what is printed meanwhile."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback

from .training import DropoutNet


class TrainingConverged(KeyboardInterrupt):
    """Ends skorch's loop, which listens to this exception only. It never reaches a user."""


class Stopping(Callback):
    """scikit-learn's MLP stopping rule, per member, and the best weights so far.

    Parameters
    ----------
    early_stopping : bool
        Watch the validation score and restore the best weights; otherwise watch the training
        loss and keep the last ones.
    tol : float
        Nats per row by which an epoch must be better than the best to count as better.
    n_iter_no_change : int or inf
        Epochs without improvement before training stops.
    adaptive : bool
        Instead of stopping divide the learning rate by five, until it is below 1e-6.
    """

    def __init__(
        self, early_stopping: bool, tol: float, n_iter_no_change: float, adaptive: bool = False
    ) -> None:
        self.early_stopping = early_stopping
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.adaptive = adaptive

    def on_train_begin(self, net: DropoutNet, **kwargs: Any) -> None:
        n_members = len(net.module_.members)
        self.best_scores_ = np.full(n_members, -np.inf)
        self.waiting_ = np.zeros(n_members, dtype=int)
        self.converged_ = False
        # Everything that training moves; each tensor has a leading member axis.
        state = [*net.module_.state_dict().values(), *net.criterion_.state_dict().values()]
        self.state_ = [(values.detach(), values.detach().clone()) for values in state]

    def on_epoch_end(self, net: DropoutNet, **kwargs: Any) -> None:
        epoch = net.history[-1]
        scores = np.array(epoch["valid_scores"] if self.early_stopping else epoch["train_losses"])
        if not self.early_stopping:
            scores = -scores
        # While its KL grows, a member descends on another objective each epoch: nothing to
        # compare, and no weights that the final objective would choose.
        scores = np.where(epoch["warming_up"], -np.inf, scores)
        better = scores > self.best_scores_
        self.waiting_ = np.where(scores < self.best_scores_ + self.tol, self.waiting_ + 1, 0)
        self.best_scores_ = np.where(better, scores, self.best_scores_)
        members = slice(None) if better.all() else torch.from_numpy(np.flatnonzero(better))
        for values, best in self.state_ if better.any() else ():
            best[members] = values[members]
        if self.waiting_.min() > self.n_iter_no_change:
            self._stop_or_slow_down(net)

    def on_train_end(self, net: DropoutNet, **kwargs: Any) -> None:
        interrupted = net.history and net.history[-1].get("interrupted", False)
        if (self.early_stopping or interrupted) and np.isfinite(self.best_scores_).all():
            for values, best in self.state_:
                values.copy_(best)
        del self.state_

    def _stop_or_slow_down(self, net: DropoutNet) -> None:
        (group,) = net.optimizer_.param_groups
        if self.adaptive and group["lr"] > 1e-6:
            group["lr"] /= 5
            self.waiting_[:] = 0
            return
        self.converged_ = True
        raise TrainingConverged


class InverseScaling(Callback):
    """scikit-learn's ``learning_rate="invscaling"``: ``init / (rows seen + 1) ** power_t``.

    Parameters
    ----------
    power_t : float
    """

    def __init__(self, power_t: float) -> None:
        self.power_t = power_t

    def on_epoch_end(self, net: DropoutNet, dataset_train: Any = None, **kwargs: Any) -> None:
        seen = len(net.history) * len(dataset_train)
        for group in net.optimizer_.param_groups:
            group["lr"] = net.plan.learning_rate_init / (seen + 1) ** self.power_t


class EpochLine(Callback):
    """Print one readable line per epoch.

    Parameters
    ----------
    n_epochs : int
        How many there can be.
    """

    def __init__(self, n_epochs: int) -> None:
        self.n_epochs = n_epochs

    def on_epoch_begin(self, net: DropoutNet, **kwargs: Any) -> None:
        self.start_ = time.perf_counter()

    def on_epoch_end(self, net: DropoutNet, **kwargs: Any) -> None:
        epoch = net.history[-1]
        parts = [f"epoch {epoch['epoch']:>4}/{self.n_epochs}", f"loss {epoch['train_loss']:.5f}"]
        if "valid_loss" in epoch:
            parts.append(f"validation log-likelihood {-epoch['valid_loss']:.5f}")
        parts.append(f"{time.perf_counter() - self.start_:.2f} s")
        print("  ".join(parts), flush=True)
