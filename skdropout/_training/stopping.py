"""When training ends, which weights are kept, and what is printed meanwhile."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback

from .leaving import trained_tensors
from .net import DropoutNet

_SMOOTHING = 0.9
# Epochs that the average remembers.
_MEMORY = 10


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
    cooldown : int, optional
        Instead of stopping let the steps fall, see `Cooldown`. The most epochs that there can be.
    """

    def __init__(
        self,
        early_stopping: bool,
        tol: float,
        n_iter_no_change: float,
        adaptive: bool = False,
        cooldown: int | None = None,
    ) -> None:
        self.early_stopping = early_stopping
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.adaptive = adaptive
        self.cooldown = cooldown

    def on_train_begin(self, net: DropoutNet, **kwargs: Any) -> None:
        n_members = len(net.plans)
        self.best_scores_ = np.full(n_members, -np.inf)
        self.bars_ = np.full(n_members, -np.inf)
        self.waiting_ = np.zeros(n_members, dtype=int)
        self.done_ = np.zeros(n_members, dtype=bool)
        self.cooldown_ = None
        if self.cooldown is not None:
            self.cooldown_ = Cooldown(self.cooldown, n_members)
            net.run_.reset_steps()
        # A `partial_fit` that goes on after a `fit` with early stopping has nothing to watch.
        self.watches_validation_ = self.early_stopping and net.validation is not None
        self.average_, self.n_smoothed_ = np.zeros(n_members), np.zeros(n_members)
        # Weights that are trained through a window fill the memory.
        self.keeps_best_ = self.watches_validation_ or net.run_.window is None
        self.state_ = [
            (values, values.clone())
            for values in trained_tensors(net.module_, net.criterion_)
            if self.keeps_best_
        ]

    def on_epoch_end(self, net: DropoutNet, **kwargs: Any) -> None:
        epoch = net.history[-1]
        # While its KL grows, a member descends on another objective each epoch: nothing to
        # compare, and no weights that the final objective would choose.
        living = net.run_.living
        settled = ~np.array(epoch["warming_up"])[living]
        if self.watches_validation_:
            scores = np.array(epoch["valid_scores"])[living]
        else:
            scores = -self._smoothed(np.array(epoch["train_losses"])[living], settled)
        scores[~settled] = -np.inf
        better = scores > self.best_scores_
        self.waiting_ = np.where(scores < self.bars_ + self.tol, self.waiting_ + 1, 0)
        self.best_scores_ = np.where(better, scores, self.best_scores_)
        # The average of the first few epochs is as noisy as they are: until it has settled, a
        # lucky one must not be what all later ones are compared with.
        young = (self.n_smoothed_ < _MEMORY) & (not self.watches_validation_)
        self.bars_ = np.where(young | (scores > self.bars_), scores, self.bars_)
        members = ... if better.all() else torch.from_numpy(np.flatnonzero(better))
        for values, best in self.state_ if better.any() else ():
            best[members] = values[members]
        self.done_ = self.waiting_ > self.n_iter_no_change
        if self.cooldown_ is not None:
            self.done_ = self.cooldown_.epoch_end(net, self.done_)
        elif self.adaptive and self.done_.any():
            self._slow_down(net)
        net.converged_[living] = self.done_
        if net.failures_:
            self.done_ |= np.isin(living, list(net.failures_))

    def _smoothed(self, losses: np.ndarray, settled: np.ndarray) -> np.ndarray:
        """Exponential moving average of the training losses of the settled members.

        Dropout makes them noisy: one lucky epoch would be hard to beat and end the training of
        a network that still learns.
        """
        self.n_smoothed_ += settled
        self.average_ += (1 - _SMOOTHING) * (losses - self.average_) * settled
        return self.average_ / (1 - _SMOOTHING ** np.maximum(self.n_smoothed_, 1))

    def on_train_end(self, net: DropoutNet, **kwargs: Any) -> None:
        if self.watches_validation_ or net.interrupted:
            self._restore(np.ones(len(net.run_.living), dtype=bool))
        del self.state_

    def leave(self, net: DropoutNet) -> None:
        """Let the members that are done leave the stack, with the weights that are theirs."""
        leaving, kept = self.done_, ~self.done_
        if self.watches_validation_:
            self._restore(leaving)
        net.leave(leaving)
        for name in ("best_scores_", "bars_", "waiting_", "done_", "average_", "n_smoothed_"):
            setattr(self, name, getattr(self, name)[kept])
        if self.cooldown_ is not None:
            self.cooldown_.select(kept)
        if self.keeps_best_:
            bests = [best[torch.from_numpy(kept)] for _, best in self.state_]
            trained = trained_tensors(net.module_, net.criterion_)
            self.state_ = list(zip(trained, bests, strict=True))

    def _restore(self, members: np.ndarray) -> None:
        """Give members the best weights that they had, if they had any."""
        chosen = members & np.isfinite(self.best_scores_)
        index = ... if chosen.all() else torch.from_numpy(np.flatnonzero(chosen))
        for values, best in self.state_ if chosen.any() else ():
            values[index] = best[index]

    def _slow_down(self, net: DropoutNet) -> None:
        slowed = self.done_ & (net.run_.step_sizes() > 1e-6)
        if slowed.any():
            net.run_.slow_down(np.where(slowed, 1 / 5, 1.0))
            self.waiting_[slowed] = 0
            self.done_ &= ~slowed


class Cooldown:
    """Steps of one size until learning stalls or half of the epochs are over, then smaller ones.

    They fall on a straight line towards zero, during as many epochs as there were until then.
    Training ends there: at `n_epochs` at the latest. Each member does so by itself. What its
    likelihood held constant until then, it learns while the steps fall.

    Parameters
    ----------
    n_epochs : int
        The most there can be.
    n_members : int
    """

    def __init__(self, n_epochs: int, n_members: int) -> None:
        self.n_epochs, self.n_past_ = n_epochs, 0
        # Epochs with falling steps that are still to come; -1 before they begin.
        self.left_ = np.full(n_members, -1)

    def epoch_end(self, net: DropoutNet, stalled: np.ndarray) -> np.ndarray:
        """Choose the sizes of the next epoch's steps. Returns which members are done.

        Parameters
        ----------
        net : DropoutNet
        stalled : ndarray of bool of shape (members in training,)
            Members whose training would stop here.
        """
        self.n_past_ += 1
        falling = self.left_ >= 0
        self.left_[falling] -= 1
        half = self.n_past_ >= self.n_epochs - self.n_epochs // 2
        self.left_[~falling & (stalled | half)] = min(self.n_past_, self.n_epochs - self.n_past_)
        left = np.maximum(self.left_, 1)
        if (self.left_ > 0).any():
            net.run_.slow_down(np.where(self.left_ > 0, left / (left + 1), 1.0))
            net.criterion_.release(torch.from_numpy(self.left_ > 0))
        return self.left_ == 0

    def select(self, kept: np.ndarray) -> None:
        """Forget the members that leave."""
        self.left_ = self.left_[kept]


class StopWhenConverged(Callback):
    """Ends the training of members once `Stopping` says so.

    It is the last callback, so that all see the last epoch.
    """

    def on_epoch_end(self, net: DropoutNet, **kwargs: Any) -> None:
        stopping = dict(net.callbacks_)["stopping"]
        if stopping.done_.all():
            raise TrainingConverged
        if stopping.done_.any():
            stopping.leave(net)


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
    """Print one readable line per epoch."""

    def on_epoch_begin(self, net: DropoutNet, **kwargs: Any) -> None:
        self.start_ = time.perf_counter()

    def on_epoch_end(self, net: DropoutNet, **kwargs: Any) -> None:
        epoch = net.history[-1]
        parts = [f"epoch {epoch['epoch']:>4}/{net.last_epoch_}", f"loss {epoch['train_loss']:.5f}"]
        if "valid_loss" in epoch:
            parts.append(f"validation log-likelihood {-epoch['valid_loss']:.5f}")
        parts.append(f"{time.perf_counter() - self.start_:.2f} s")
        print("  ".join(parts), flush=True)
