"""The record of a stack's training, and what of it is one member's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from skorch.history import History
from torch import Tensor

from .._networks.stack import Stack

# Of each epoch: what is kept for every member.
_LISTS = ("train_losses", "valid_scores", "warming_up")


def select_history(
    history: Sequence[dict], members: Sequence[int], n_epochs: int, noisy: bool
) -> History:
    """The history of some members of a stack, as if they had been trained without the others.

    Parameters
    ----------
    history : sequence of dict
        Of a `DropoutNet`.
    members : sequence of int
    n_epochs : int
        Epochs that the longest of them was trained for.
    noisy : bool
        Whether they have noise. The stack may have had some that they did not.

    Returns
    -------
    History
        An epoch's duration is their share of the stack's.
    """
    selected, lowest = History(), {"train_loss": math.inf, "valid_loss": math.inf}
    for epoch in history:
        if "interrupted" in epoch or epoch["epoch"] > n_epochs:
            break
        row: dict[str, Any] = {"batches": [], "epoch": epoch["epoch"]}
        for name in _LISTS:
            if name in epoch:
                row[name] = [epoch[name][member] for member in members]
        means = {"train_loss": row["train_losses"]}
        if "valid_scores" in row:
            means["valid_loss"] = [-score for score in row["valid_scores"]]
        for name, values in means.items():
            row[name] = sum(values) / len(values)
            row[f"{name}_best"] = row[name] < lowest[name]
            lowest[name] = min(lowest[name], row[name])
        by_member = epoch["by_member"]
        row["by_member"] = {k: [values[m] for m in members] for k, values in by_member.items()}
        if not noisy:
            row["by_member"]["rates"] = [[] for _ in members]
        row.update(means_by_member(row["by_member"]))
        row["dur"] = epoch["dur"] * len(members) / len(epoch["train_losses"])
        selected.append(row)
    return selected


def means_by_member(by_member: dict[str, list]) -> dict[str, Any]:
    """The means over the members, under the names that the history has for them."""
    terms = {
        f"train_{name}": sum(values) / len(values)
        for name, values in by_member.items()
        if name != "rates"
    }
    return {**terms, "dropout_rates": _mean_rates(by_member["rates"])}


def _mean_rates(rates: list[list[float]]) -> list[float]:
    return rates[0] if len(rates) == 1 else np.mean(rates, axis=0).tolist()


class Recorder:
    """Writes a history, epoch by epoch.

    ``train_loss`` and ``valid_loss`` are means over the members, as skorch's callbacks expect.
    Who has left keeps the last record.

    Parameters
    ----------
    history : History
    n_members : int
    """

    def __init__(self, history: History, n_members: int) -> None:
        self.history, self.n_members = history, n_members
        self._lowest: dict[str, float] = {}
        self._latest: dict[str, list] = {}

    def training(self, terms: dict[str, Tensor], stack: Stack, living: np.ndarray) -> list[float]:
        """Record an epoch's objective. Returns the losses of the members in training.

        Parameters
        ----------
        terms : dict of str to Tensor of shape (members in training,)
        stack : Stack
            Of the members in training.
        living : ndarray of int
            Which they are.
        """
        losses = sum(terms.values(), torch.zeros(())).tolist()
        everyone = self._everyone("losses", losses, living)
        self._record("train_loss", everyone)
        self.history.record("train_losses", everyone)
        each = {name: self._everyone(name, terms[name].tolist(), living) for name in terms}
        each["rates"] = self._everyone("rates", stack.rates().tolist(), living)
        self.history.record("by_member", each)
        for name, value in means_by_member(each).items():
            self.history.record(name, value)
        warming_up = [stack.n_epochs < member.family.kl_warmup for member in stack.members]
        self.history.record("warming_up", self._everyone("warming_up", warming_up, living))
        return losses

    def validation(self, scores: list[float], living: np.ndarray) -> None:
        """Record the scores of the validation rows of the members in training."""
        everyone = self._everyone("scores", scores, living)
        self._record("valid_loss", [-score for score in everyone])
        self.history.record("valid_scores", everyone)

    def _everyone(self, name: str, values: list, living: np.ndarray) -> list:
        """One value for every member of the whole stack."""
        if len(living) < self.n_members:
            latest = self._latest[name].copy()
            for member, value in zip(living.tolist(), values, strict=True):
                latest[member] = value
            values = latest
        self._latest[name] = values
        return values

    def _record(self, name: str, values: list[float]) -> None:
        """Record the mean over the members, and whether it is the best so far."""
        value = float(np.mean(values))
        best = value < self._lowest.get(name, math.inf)
        if best:
            self._lowest[name] = value
        self.history.record(name, value)
        self.history.record(f"{name}_best", best)
