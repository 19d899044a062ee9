"""What a fit has to train: found out without setting anything, for `fit` and for searches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from .._support.random import new_seed
from .._support.sklearn import validate_parameters
from .._training.rows import Rows
from .described import Described, Held
from .recipe import make_job
from .splits import Split, cross_fitting_parts, held_out_part

if TYPE_CHECKING:
    from .base import DropoutEstimator


@dataclass(frozen=True)
class Fitting:
    """Everything that a fit has to train.

    Attributes
    ----------
    described : Described
    job : Job or ModuleJob
        The networks that predict.
    held : tuple of Held
        What shows when they are to stop, and how sure they may be.
    n_rows : int
        That each network is trained on.
    seed : int
        What everything random follows from.
    """

    described: Described
    job: Any
    held: tuple[Held, ...]
    n_rows: int
    seed: int

    @property
    def n_folds(self) -> int:
        """Of cross-fitting; 0 for none."""
        return len(self.held) if len(self.held) > 1 else 0

    def trained(self, with_rows: bool) -> Fitting:
        """For another process, once all networks are trained.

        Parameters
        ----------
        with_rows : bool
            Whether rows are needed again, to calibrate or to say why training diverged.
        """
        none = Rows(*self.job.rows[:0])
        described = replace(self.described, rows=none, parts={})
        if with_rows:
            return replace(self, described=described)
        job = replace(self.job, rows=none, validation=None)
        return replace(self, described=described, job=job, held=())


def prepare(
    estimator: DropoutEstimator,
    described: Described,
    validation: Rows | None = None,
    *,
    cross_fit: bool = True,
    seed: int | None = None,
) -> Fitting:
    """What is to be trained on data that are described.

    Parameters
    ----------
    estimator : DropoutEstimator
    described : Described
        By an estimator of the same class.
    validation : Rows or None
        Rows that take the place of folds and of a held-out part.
    cross_fit : bool, default=True
        Whether `cv` counts. A search judges its candidates by one network.
    seed : int, optional
        Of the splits; everything else random follows from it too. By default the estimator's.

    Raises
    ------
    ValueError
        For a parameter out of range.
    """
    validate_parameters(estimator)
    seed = new_seed(estimator.random_state) if seed is None else seed
    everyone = range(estimator.n_members)
    if validation is not None:
        rows, held = described.rows, [Held(everyone, validation, None)]
    elif parts := folds_of(estimator, described, seed) if cross_fit else []:
        return _cross_fitting(estimator, described, parts, seed)
    else:
        rows, held = one_part(estimator, described, seed)
    watched = held if estimator.early_stopping else []
    job = make_job(
        estimator,
        described.target.likelihood(estimator.n_members),
        rows,
        tuple(part.rows for part in watched for _ in everyone) or None,
        seed,
        sources=described.sources,
    )
    return Fitting(described, job, tuple(held), len(rows), seed)


def folds_of(estimator: DropoutEstimator, described: Described, seed: int) -> list[Split]:
    """Which rows networks of each fold are not trained on; empty for no folds."""
    if estimator.cv is None:
        return []
    encoded, name = described.rows.y.numpy(), type(estimator).__name__
    return cross_fitting_parts(estimator.cv, described.target, encoded, described.given, seed, name)


def _cross_fitting(
    estimator: DropoutEstimator, described: Described, parts: list[Split], seed: int
) -> Fitting:
    """Networks of each fold side by side, each trained on the rows of the others."""
    rows, n_members = described.rows, estimator.n_members
    held = held_of_folds(described, parts, n_members)
    own = rows.of_members([torch.from_numpy(p.train) for p in parts for _ in range(n_members)])
    watched = tuple(part.rows for part in held for _ in part.members)
    job = make_job(
        estimator,
        described.target.likelihood(len(watched)),
        own,
        watched if estimator.early_stopping else None,
        seed,
        n_folds=len(parts),
        sources=described.sources,
    )
    return Fitting(described, job, held, len(own), seed)


def held_of_folds(described: Described, parts: list[Split], n_members: int) -> tuple[Held, ...]:
    """What each fold holds out, from so many networks of its own."""
    return tuple(
        Held(
            range(fold * n_members, (fold + 1) * n_members),
            # With the weights that they have beside those of other folds.
            Rows(*described.rows[torch.from_numpy(part.held_out)]),
            described.given.used[part.held_out],
        )
        for fold, part in enumerate(parts)
    )


def one_part(
    estimator: DropoutEstimator, described: Described, seed: int
) -> tuple[Rows, list[Held]]:
    """Rows to train on, and the part that is held out from all networks, if there is one."""
    rows, share = described.rows, estimator.validation_fraction
    if not estimator.early_stopping:
        return rows, []
    if (seed, share) not in described.parts:
        encoded, name = rows.y.numpy(), type(estimator).__name__
        try:
            part = held_out_part(
                share,
                described.target,
                encoded,
                described.given,
                seed,
                name,
                quiet=estimator.cv is not None,
            )
        except ValueError:
            if estimator.cv is None:
                raise
            # There are too few rows for folds too, and nobody asked for a part.
            return rows, []
        train, held_out = (rows.part(torch.from_numpy(numbers)) for numbers in part)
        numbers = described.given.used[part.held_out]
        held = Held(range(estimator.n_members), held_out, numbers)
        described.parts[seed, share] = train, held
    train, held = described.parts[seed, share]
    # Candidates of a search may differ in the number of networks.
    return train, [held._replace(members=range(estimator.n_members))]
