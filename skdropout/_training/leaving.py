"""Members that leave a stack while the others train on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .._likelihoods.base import Likelihood
from .._networks.stack import Stack
from .._support.members import select_members
from ..families import NoiseSource


@dataclass
class Moving:
    """Everything that moves while a stack is trained.

    Attributes
    ----------
    stack : Stack
    likelihood : Likelihood
    order, noise : NoiseSource
        Random numbers for the order of the rows, and for the noise.
    flat : ParameterShapes
        Of the stack.
    optimizer_state : dict or None
        The optimizer's state: tensors like the flat parameters, and what all members share. None
        is the one that it has.
    """

    stack: Stack
    likelihood: Likelihood
    order: NoiseSource
    noise: NoiseSource
    flat: Any
    optimizer_state: dict[str, Any] | None = None

    def with_state(self, state: dict[str, Any]) -> Moving:
        """With another state of the optimizer."""
        return replace(self, optimizer_state=state)

    def tensors(self) -> list[Tensor]:
        """What training moves but for the optimizer; each with a leading member axis."""
        return trained_tensors(self.stack, self.likelihood)

    def select(self, kept: Tensor) -> Moving:
        """What moves of some members, given by a mask. It shares no memory with this."""
        index = kept.nonzero().flatten()
        stack = self.stack.select(index)
        elements = self.flat.elements(kept)
        return Moving(
            stack,
            select_members(self.likelihood, index),
            self.order.select(index.tolist()),
            self.noise.select(index.tolist()),
            type(self.flat)(stack),
            {
                name: values[elements] if self._per_parameter(values) else values
                for name, values in (self.optimizer_state or {}).items()
            },
        )

    def take(self, few: Moving, chosen: Tensor, own: Tensor) -> None:
        """Copy members from a smaller stack.

        Parameters
        ----------
        few : Moving
            Made from this by `select`.
        chosen, own : Tensor of bool
            Masks of the same members, in `few` and in this.
        """
        for ours, theirs in zip(self.tensors(), few.tensors(), strict=True):
            ours[own] = theirs[chosen]
        ours_state = self.optimizer_state
        assert ours_state is not None, "whole stacks are kept with their state"
        to, from_ = self.flat.elements(own), few.flat.elements(chosen)
        for name, values in (few.optimizer_state or {}).items():
            if few._per_parameter(values):
                ours_state[name][to] = values[from_]
            else:
                ours_state[name] = values
        self.stack.n_epochs = few.stack.n_epochs

    def _per_parameter(self, values: Any) -> bool:
        return isinstance(values, Tensor) and values.shape == (self.flat.size,)


def trained_tensors(stack: Stack, likelihood: Likelihood) -> list[Tensor]:
    """Everything of a network that training moves; each tensor has a leading member axis."""
    states = stack.state_dict(), likelihood.state_dict()
    return [values.detach() for state in states for values in state.values()]


def mask_of(members: Any, n_members: int) -> Tensor:
    """A mask from the numbers of members."""
    mask = torch.zeros(n_members, dtype=torch.bool)
    mask[torch.as_tensor(members)] = True
    return mask
