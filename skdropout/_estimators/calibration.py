"""What a fit finds out on rows that its networks have not seen: a scale, and answers to keep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from .._inference.functions import reduce
from .._predictive.needed_draws import draws_of_each, fixed_draws
from .._support.compressed import given as as_given
from .._support.random import local_random_state
from .._training.net import DropoutNet
from .._training.rows import Rows
from .described import Held
from .distance import Conditioned
from .fitting import Fitting
from .held_out import functions_of_members, held_out
from .parameters import Parameters

# Rows that pin one number down to a per cent or two; more only take longer.
_ENOUGH_ROWS = 5000
# Fewer say nothing.
_FEWEST_ROWS = 10


class OutOfFold(NamedTuple):
    """Who has not seen which of the rows that a fit was given.

    Attributes
    ----------
    n_rows : int
        That the fit was given.
    parts : list of (ndarray of int, list of int)
        Rows, and the members that were not trained on them.
    """

    n_rows: int
    parts: list[tuple[np.ndarray, list[int]]]

    @classmethod
    def of(cls, fitting: Fitting, net: DropoutNet) -> OutOfFold:
        """Of what was trained for a fit."""
        there = answering(fitting, net)
        parts = [(held.numbers, who) for held, who in there if held.numbers is not None]
        return cls(len(fitting.described.given.y), parts)


def answering(fitting: Fitting, net: DropoutNet) -> Iterator[tuple[Held, list[int]]]:
    """Held-out rows, and which members of a net have not seen them.

    Parameters
    ----------
    fitting : Fitting
    net : DropoutNet
        Trained for it. It may lack members, whose training diverged.
    """
    # By seed: in another process, or in networks that went on, they are copies.
    place = {member.seed: number for number, member in enumerate(net.module_.members)}
    for held in fitting.held:
        members = [place.get(fitting.job.members[member].seed) for member in held.members]
        if there := [member for member in members if member is not None]:
            yield held, there


def calibrated(
    given: Parameters, fitting: Fitting, net: DropoutNet, told: Conditioned | None = None
) -> dict[str, Any] | None:
    """What calibration chose, if the user wants it and there are rows for it.

    Parameters
    ----------
    given : Parameters
        Of the estimator.
    fitting : Fitting
    net : DropoutNet
        Trained for it.
    told : Conditioned, optional
        The Gaussian process that is added to its networks.
    """
    target = fitting.described.target
    n_rows = sum(len(held.rows) for held in fitting.held)
    if not given.calibrate or not target.can_be_calibrated or n_rows < _FEWEST_ROWS:
        return None
    n_draws, rng = fixed_draws(given.n_draws), local_random_state(fitting.seed)
    most = -(-_ENOUGH_ROWS // len(fitting.held))
    parts = [
        held_out(
            net,
            members,
            _some(held.rows, most, rng),
            n_draws,
            None if told is None else told.before(held),
        )
        for held, members in answering(fitting, net)
    ]
    return {
        "method": "out-of-fold" if fitting.n_folds else "held-out part",
        "n_rows": sum(len(part.rows) for part in parts),
        **target.calibrate(parts),
    }


def _some(rows: Rows, most: int, rng: np.random.RandomState) -> Rows:
    """At most so many of the rows, at random."""
    if len(rows) <= most:
        return rows
    numbers = rng.permutation(len(rows))[:most]
    # The weights of all parts together count, so those of one keep their mean.
    return Rows(*rows[torch.from_numpy(numbers)])


def out_of_fold(
    given: Parameters,
    fitting: Fitting,
    net: DropoutNet,
    calibration: dict[str, Any] | None,
    told: Conditioned | None = None,
) -> dict[str, Any]:
    """What members say about training rows that they have not seen, as fitted attributes.

    Parameters
    ----------
    given : Parameters
        Of the estimator.
    fitting : Fitting
    net : DropoutNet
        Trained for it.
    calibration : dict or None
        From `calibrated`.
    told : Conditioned, optional
        As there.
    """
    target, n_rows = fitting.described.target, len(fitting.described.given.y)
    n_answers = np.zeros(n_rows)
    sums: list[np.ndarray] = []
    for held, members in answering(fitting, net):
        if held.numbers is None:
            continue
        n_draws = draws_of_each(fixed_draws(given.n_draws), len(members))
        process = told.before(held, target.uncalibrated_size(calibration)) if told else None
        draws, likelihood = functions_of_members(net, members, n_draws, process)

        def ask(outputs: list[Any], likelihood: Any = likelihood) -> tuple[np.ndarray, ...]:
            answer = target.predictive(outputs, likelihood, calibration).uncertainty()
            # For a row in several folds: the mixture of what was said of it.
            return answer.mean, answer.total, answer.mean**2

        answers = reduce(draws, as_given(held.rows.x), ask)
        sums = sums or [np.zeros((n_rows, *part.shape[1:])) for part in answers]
        for total, part in zip(sums, answers, strict=True):
            total[held.numbers] += part
        n_answers[held.numbers] += 1
    if not sums:
        return {}
    with np.errstate(invalid="ignore"):
        # Rows that are in no fold are NaN.
        mean, total, square = (
            values / n_answers.reshape(-1, *[1] * (values.ndim - 1)) for values in sums
        )
    return target.out_of_fold(mean, total, square)
