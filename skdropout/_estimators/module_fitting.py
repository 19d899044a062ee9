"""What a fit of modules has to train."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .._likelihoods.base import Likelihood
from .._modules.building import Blueprint
from .._modules.drawn import ModuleMember, ModuleStack, member_seeds, with_prefix
from .._modules.layout import layout_of
from .._modules.watching import ModuleRefusedError
from .._predictive.needed_draws import fixed_draws
from .._support.device import resolve_device
from .._support.members import select_members
from .._support.random import new_seed
from .._support.sklearn import validate_parameters
from .._training.callbacks import Training
from .._training.module_net import ModuleNet
from .._training.module_nets import ModuleNets
from .._training.plan import Plan
from .._training.rows import Rows
from .described import Described, Held
from .fitting import Fitting, folds_of, held_of_folds, one_part
from .module_targets import n_expected, of_module
from .recipe import VALIDATION_DRAWS, all_callbacks, batch_size

if TYPE_CHECKING:
    from .module_base import DropoutModule


@dataclass(frozen=True)
class ModuleJob:
    """Modules that are to be trained one after the other.

    Attributes
    ----------
    estimator : DropoutModule
        Whose parameters say how.
    members : tuple of ModuleMember
        Not yet trained.
    likelihood : Likelihood
        Of one member.
    rows : Rows
        Of all members.
    parts : tuple of Rows, one per member
        That each is trained on.
    watched : tuple of Rows or None, one per member
        That early stopping watches.
    """

    estimator: DropoutModule
    members: tuple[ModuleMember, ...]
    likelihood: Likelihood
    rows: Rows = field(repr=False)
    parts: tuple[Rows, ...] = field(repr=False)
    watched: tuple[Rows | None, ...] = field(repr=False)

    def net(
        self, stack: ModuleStack | None = None, likelihood: Likelihood | None = None
    ) -> ModuleNets:
        """The nets of this job, untrained, or those that go on with a stack."""
        nets = []
        for number, member in enumerate(self.members):
            start = member if stack is None else stack.members[number]
            one = self.likelihood
            if likelihood is not None:
                one = select_members(likelihood, torch.as_tensor([number]))
            nets.append(self._net_of(number, replace(start, seed=member.seed), one))
        return ModuleNets(nets)

    def _net_of(self, number: int, start: ModuleMember, likelihood: Likelihood) -> ModuleNet:
        given, watched = self.estimator, self.watched[number]
        options = {option: getattr(given, option) for option in Plan.__dataclass_fields__}
        statistics = "batch normalization" if start.layout.of_batches else None
        options["batch_size"] = batch_size(given, len(self.parts[number]), statistics)
        adds = start.layout.multiply_adds * options["batch_size"]
        return ModuleNet(
            start.module,
            select_members(likelihood, torch.as_tensor([0])),
            seed=start.seed,
            layout=start.layout,
            readout=start.readout,
            plan=Plan(**options),
            validation=watched,
            n_validation_draws=min(fixed_draws(given.n_draws), VALIDATION_DRAWS),
            callbacks=all_callbacks(given, Training(watched is not None, 1, one_vector=False)),
            max_epochs=given.max_iter,
            device=str(resolve_device(given.device, adds, type(given).__name__)),
            verbose=int(given.verbose),
        )


def prepare_modules(
    estimator: DropoutModule,
    described: Described,
    validation: Rows | None = None,
    seed: int | None = None,
) -> Fitting:
    """What is to be trained on data that are described.

    Parameters
    ----------
    estimator : DropoutModule
    described : Described
        By an estimator of the same class.
    validation : Rows or None
        Rows that take the place of folds and of a held-out part.
    seed : int, optional
        Everything random follows from it. By default the estimator's.

    Raises
    ------
    ValueError
        For a parameter out of range, and a module that has no fixed functions.
    """
    validate_parameters(estimator)
    seed = new_seed(estimator.random_state) if seed is None else seed
    rows, everyone = described.rows, range(estimator.n_members)
    splits = folds_of(estimator, described, seed) if validation is None else []
    parts = [rows]
    if validation is not None:
        held = [Held(everyone, validation, None)]
    elif splits:
        parts = [Rows(*rows[torch.from_numpy(split.train)]) for split in splits]
        held = list(held_of_folds(described, splits, len(everyone)))
    else:
        parts[0], held = one_part(estimator, described, seed)
    described, members = untrained(estimator, described, seed, len(parts) * len(everyone))
    watched: list[Rows | None] = [None] * len(members)
    for part in held if estimator.early_stopping else ():
        for member in part.members:
            watched[member] = part.rows
    job = ModuleJob(
        estimator,
        members,
        described.target.likelihood(1),
        described.rows,
        tuple(part for part in parts for _ in everyone),
        tuple(watched),
    )
    return Fitting(described, job, tuple(held), len(parts[0]), seed)


def untrained(
    estimator: DropoutModule, described: Described, seed: int, n_members: int
) -> tuple[Described, tuple[ModuleMember, ...]]:
    """Modules with initial weights, and the data as these take them.

    Parameters
    ----------
    estimator : DropoutModule
    described : Described
    seed : int
    n_members : int
    """
    rows: Any = described.rows.x[:8]
    blueprint = Blueprint(
        estimator.module,
        estimator._module_parameters,
        {"input_shape": tuple(rows.shape[1:]), "n_outputs": n_expected(described.target)},
    )
    seeds = [int(state) for state in np.random.SeedSequence(seed).generate_state(n_members)]
    with named(estimator):
        modules = [blueprint.build(member_seeds(one)[0]) for one in seeds]
        layout = layout_of(modules[0], rows, said_of_module(estimator))
        target, readout = of_module(described.target, layout)
        members = [ModuleMember(s, m, layout, readout) for s, m in zip(seeds, modules, strict=True)]
        late = with_prefix(members[0], rows).layout
    return replace(described, target=target), tuple(replace(m, layout=late) for m in members)


@contextmanager
def named(estimator: DropoutModule) -> Iterator[None]:
    """Let a refusal of a module say whose it is."""
    try:
        yield
    except ModuleRefusedError as error:
        said = said_of_module(estimator)
        sentence = str(error) if str(error).startswith(said) else f"{said}: {error}"
        raise ValueError(sentence) from error


def said_of_module(estimator: DropoutModule) -> str:
    """How an error about a module begins."""
    given = estimator.module
    name = getattr(given, "__name__", type(given).__name__)
    return f"{type(estimator).__name__}: module={name}"
