"""When training ends, which weights are kept, and what is printed meanwhile."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback

from .training import DropoutNet

_SMOOTHING = 0.9


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
    cooldown : Cooldown, optional
        What to do instead of stopping at once.
    """

    def __init__(
        self,
        early_stopping: bool,
        tol: float,
        n_iter_no_change: float,
        adaptive: bool = False,
        cooldown: Cooldown | None = None,
    ) -> None:
        self.early_stopping = early_stopping
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.adaptive = adaptive
        self.cooldown = cooldown

    def on_train_begin(self, net: DropoutNet, **kwargs: Any) -> None:
        n_members = len(net.module_.members)
        self.best_scores_ = np.full(n_members, -np.inf)
        self.waiting_ = np.zeros(n_members, dtype=int)
        self.converged_ = False
        if self.cooldown is not None:
            self.cooldown.begin(net)
        # A `partial_fit` that goes on after a `fit` with early stopping has nothing to watch.
        self.watches_validation_ = self.early_stopping and net.validation is not None
        self.average_, self.n_smoothed_ = np.zeros(n_members), np.zeros(n_members)
        # Everything that training moves; each tensor has a leading member axis.
        state = [*net.module_.state_dict().values(), *net.criterion_.state_dict().values()]
        self.state_ = [(values.detach(), values.detach().clone()) for values in state]

    def on_epoch_end(self, net: DropoutNet, **kwargs: Any) -> None:
        epoch = net.history[-1]
        # While its KL grows, a member descends on another objective each epoch: nothing to
        # compare, and no weights that the final objective would choose.
        settled = ~np.array(epoch["warming_up"])
        if self.watches_validation_:
            scores = np.array(epoch["valid_scores"])
        else:
            scores = -self._smoothed(np.array(epoch["train_losses"]), settled)
        scores[~settled] = -np.inf
        better = scores > self.best_scores_
        self.waiting_ = np.where(scores < self.best_scores_ + self.tol, self.waiting_ + 1, 0)
        self.best_scores_ = np.where(better, scores, self.best_scores_)
        members = slice(None) if better.all() else torch.from_numpy(np.flatnonzero(better))
        for values, best in self.state_ if better.any() else ():
            best[members] = values[members]
        stalled = bool(self.waiting_.min() > self.n_iter_no_change)
        if self.cooldown is not None:
            self.converged_ = self.cooldown.epoch_end(net, stalled)
        elif stalled:
            self._converge_or_slow_down(net)

    def _smoothed(self, losses: np.ndarray, settled: np.ndarray) -> np.ndarray:
        """Exponential moving average of the training losses of the settled members.

        Dropout makes them noisy: one lucky epoch would be hard to beat and end the training of
        a network that still learns.
        """
        self.n_smoothed_ += settled
        self.average_ += (1 - _SMOOTHING) * (losses - self.average_) * settled
        return self.average_ / (1 - _SMOOTHING ** np.maximum(self.n_smoothed_, 1))

    def on_train_end(self, net: DropoutNet, **kwargs: Any) -> None:
        interrupted = net.history and net.history[-1].get("interrupted", False)
        if (self.watches_validation_ or interrupted) and np.isfinite(self.best_scores_).all():
            for values, best in self.state_:
                values.copy_(best)
        del self.state_

    def _converge_or_slow_down(self, net: DropoutNet) -> None:
        (group,) = net.optimizer_.param_groups
        if self.adaptive and group["lr"] > 1e-6:
            group["lr"] /= 5
            self.waiting_[:] = 0
            return
        self.converged_ = True


class Cooldown:
    """Steps of one size until learning stalls or half of the epochs are over, then smaller ones.

    They fall on a straight line towards zero, during as many epochs as there were until then.
    Training ends there: at `n_epochs` at the latest.

    Parameters
    ----------
    n_epochs : int
        The most there can be.
    """

    def __init__(self, n_epochs: int) -> None:
        self.n_epochs = n_epochs

    def begin(self, net: DropoutNet) -> None:
        """Start anew, with steps of the first size."""
        self.n_before_, self.length_, self.left_ = 0, 0, 0
        self._set_step_size(net, 1.0)

    def epoch_end(self, net: DropoutNet, stalled: bool) -> bool:
        """Choose the size of the next epoch's steps; whether there is to be none.

        Parameters
        ----------
        net : DropoutNet
        stalled : bool
            Whether training would stop here.
        """
        if self.length_:
            self.left_ -= 1
        else:
            self.n_before_ += 1
            if stalled or self.n_before_ >= self.n_epochs - self.n_epochs // 2:
                self.length_ = min(self.n_before_, self.n_epochs - self.n_before_)
                self.left_ = self.length_
        if self.length_:
            self._set_step_size(net, self.left_ / (self.length_ + 1))
        return self.left_ == 0 and (self.length_ > 0 or self.n_before_ >= self.n_epochs)

    @staticmethod
    def _set_step_size(net: DropoutNet, share: float) -> None:
        for group in net.optimizer_.param_groups:
            group["lr"] = net.plan.learning_rate_init * share


class StopWhenConverged(Callback):
    """Ends training once `Stopping` says so; the last callback, so that all see the last epoch."""

    def on_epoch_end(self, net: DropoutNet, **kwargs: Any) -> None:
        if dict(net.callbacks_)["stopping"].converged_:
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
