"""The record of a stack's training, and what of it is one member's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from skorch.history import History

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
