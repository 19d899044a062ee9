"""A stack's parameters as one vector, so that an optimizer's step is one operation."""

from __future__ import annotations

import torch
from torch import Tensor

from .._networks.stack import Stack


class ParameterShapes:
    """How all parameters of a stack lie in one vector: the weights, which are penalized, first."""

    def __init__(self, module: Stack) -> None:
        self.shapes = [parameter.shape for _, parameter in in_order(module)]
        self.size = sum(shape.numel() for shape in self.shapes)

    def by_member(self, factors: Tensor) -> Tensor:
        """One factor per member laid out so that it multiplies the vector."""
        if len(factors) == 1:
            return factors.clone()
        return self._spread(factors)

    def elements(self, members: Tensor) -> Tensor:
        """Which elements of the vector belong to the members of a mask, bool."""
        return self._spread(members)

    def _spread(self, values: Tensor) -> Tensor:
        return torch.cat([values.repeat_interleave(shape[1:].numel()) for shape in self.shapes])


class FlatParameters(ParameterShapes):
    """All parameters of a stack as one vector.

    The module's parameters and their gradients become views of `values` and `gradient`.
    The weights, to which the penalty applies, come first: `penalized` and `penalized_gradient`
    are views of them alone. `detached` is `values` for operations that autograd need not see.
    """

    def __init__(self, module: Stack) -> None:
        super().__init__(module)
        named = in_order(module)
        sizes = [parameter.numel() for _, parameter in named]
        self.values = torch.nn.Parameter(torch.cat([p.detach().flatten() for _, p in named]))
        self.detached = self.values.detach()
        self.gradient = self.values.grad = torch.zeros_like(self.detached)
        n_penalized = sum(p.numel() for name, p in named if _is_weight(name))
        self.penalized = self.detached[:n_penalized]
        self.penalized_gradient = self.gradient[:n_penalized]
        pieces = zip(self.detached.split(sizes), self.gradient.split(sizes), strict=True)
        for (_, parameter), (value, gradient) in zip(named, pieces, strict=True):
            parameter.data = value.view(parameter.shape)
            parameter.grad = gradient.view(parameter.shape)

    def give_back(self, module: Stack) -> None:
        """Let the module's parameters have memory of their own again, and no gradients.

        A view is pickled with all of the memory that it is a part of.
        """
        self.values.grad = None
        for parameter in module.parameters():
            parameter.data = parameter.detach().clone()
            parameter.grad = None


def in_order(module: Stack) -> list[tuple[str, torch.nn.Parameter]]:
    """The parameters with their names, those first to which the penalty applies."""
    return sorted(module.named_parameters(), key=lambda pair: not _is_weight(pair[0]))


def _is_weight(name: str) -> bool:
    return name.endswith(".weight")
