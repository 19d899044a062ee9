"""Rows that are new to networks, and what these say there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._inference.functions import Draws
from .._inference.process import GaussianProcess
from .._likelihoods.base import Likelihood
from .._support.members import select_members
from .._training.net import DropoutNet
from .._training.rows import Rows

# Draws of the networks that calibrate: a few per cent of error in the spread between them.
_CALIBRATION_DRAWS = 50


class HeldOut(NamedTuple):
    """What networks say about rows that they were not trained on.

    Attributes
    ----------
    likelihood : Likelihood
        Theirs, in the order of `raws`.
    raws : list of Tensor of shape (n_draws, rows, n_raw)
    rows : Rows
    too_far : Tensor of shape (rows, n_raw) or None
        By how much the variance of their mean is larger than that of the mean of all networks.
    beside : list of Tensor
        What a Gaussian process adds to `raws`, of their shapes; none without one.
    """

    likelihood: Likelihood
    raws: list[Tensor]
    rows: Rows
    too_far: Tensor | None = None
    beside: Sequence[Tensor] = ()

    @property
    def weight(self) -> np.ndarray:
        """Of the rows; ones if they have none."""
        weight = self.rows.weight
        return np.ones(len(self.rows)) if weight is None else weight.cpu().double().numpy()


def held_out(
    net: DropoutNet,
    members: Sequence[int],
    rows: Rows,
    n_draws: int,
    process: GaussianProcess | None = None,
) -> HeldOut:
    """What some members of a net say about rows, in a few draws, as spread as all of them are.

    A prediction is the mean over all members, which is less sure than each of them. So the draws of
    who has not seen the rows are moved, in turns, as far as one of the other members is from their
    own mean. These have seen the rows, and are drawn to their targets; that is common to them, and
    what they disagree about is not. The mean over all is also nearer to the targets than that of
    each, and by how much follows from what they disagree about too. Both are less than they would
    be on rows that none has seen.

    Parameters
    ----------
    net : DropoutNet
    members : sequence of int
        Increasing.
    rows : Rows
        That they were not trained on.
    n_draws : int
        Of the predictions; no more than a few are made.
    process : GaussianProcess, optional
        That does not know these rows either. With it networks without noise are as many draws too.
    """
    members, n_draws = list(members), min(n_draws, _CALIBRATION_DRAWS)
    answers = _answers(net, members, rows, n_draws)
    if process is None or not n_draws:
        return answers
    each = -(-n_draws // len(answers.raws))
    raws = [raw.expand(each if len(raw) == 1 else -1, -1, -1) for raw in answers.raws]
    seed = net.module_.draw_seeds()[members[0]]
    drawn = process.draw(sum(map(len, raws)), [seed])(rows.x)[0]
    return answers._replace(raws=raws, beside=drawn.split([len(raw) for raw in raws]))


def _answers(net: DropoutNet, members: list[int], rows: Rows, n_draws: int) -> HeldOut:
    raws = _raws(net, members, rows, n_draws)
    others = [member for member in range(len(net.module_.members)) if member not in members]
    if len(others) < 2:
        return HeldOut(_likelihood_of(net, members), raws, rows)
    means = torch.stack([raw.mean(0) for raw in _raws(net, others, rows, n_draws)])
    # The draws take turns, so that there are no more of them: they cost time in what follows.
    turns = [number % len(members) for number in range(len(others))]
    few = len(raws[0]) < len(others)
    spread = [
        (raws[turn] if few else raws[turn][number :: len(others)]) + deviation
        for number, (turn, deviation) in enumerate(zip(turns, means - means.mean(0), strict=True))
    ]
    likelihood = _likelihood_of(net, [members[turn] for turn in turns])
    n_networks = len(members) + len(others)
    too_far = means.var(0) * (1 / len(members) - 1 / n_networks)
    return HeldOut(likelihood, spread, rows, too_far)


def _raws(net: DropoutNet, members: list[int], rows: Rows, n_draws: int) -> list[Tensor]:
    functions, _ = functions_of_members(net, members, n_draws)
    with torch.inference_mode():
        chunks = [raws for _, raws in functions.over(rows.x)]
        return [torch.cat(parts, 1) for parts in zip(*chunks, strict=True)]


def _likelihood_of(net: DropoutNet, members: list[int]) -> Likelihood:
    return select_members(net.criterion_, torch.as_tensor(members))


def functions_of_members(
    net: DropoutNet, members: Sequence[int], n_draws: int, process: GaussianProcess | None = None
) -> tuple[Draws, Likelihood]:
    """Draws of some members, and their likelihood.

    Parameters
    ----------
    net : DropoutNet
    members : sequence of int
        Increasing.
    n_draws : int
        For each. 0 is the weight-scaling rule.
    process : GaussianProcess, optional
        Whose functions are added to the draws.
    """
    stack, likelihood = net.module_, net.criterion_
    with torch.inference_mode():
        if len(members) < len(stack.members):
            kept = torch.as_tensor(list(members))
            stack, likelihood = stack.select(kept), select_members(likelihood, kept)
        drawn = n_draws and (stack.noisy or process is not None)
        draws = Draws.of(stack, process, n_draws) if drawn else Draws(stack.plain())
    return draws, likelihood
