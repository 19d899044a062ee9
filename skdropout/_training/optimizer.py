"""torch's optimizers over one vector of parameters, and their private names."""

from __future__ import annotations

from typing import Any

import torch
from torch.optim.adam import adam

from .parameters import FlatParameters
from .plan import Plan

# Far below what a step can tell from zero, far above the smallest normal number of float32.
_DIED_AWAY = 1e-30


def make_optimizer(plan: Plan, values: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """An optimizer of parameters, which may be those of nothing yet."""
    if plan.solver == "adam":
        return torch.optim.Adam(
            values,
            lr=plan.learning_rate_init,
            betas=(plan.beta_1, plan.beta_2),
            eps=plan.epsilon,
            fused=True,
        )
    return torch.optim.SGD(
        values,
        lr=plan.learning_rate_init,
        momentum=plan.momentum,
        nesterov=plan.nesterovs_momentum and plan.momentum > 0,
        fused=True,
    )


def nothing_to_optimize(device: str) -> torch.nn.Parameter:
    """What an optimizer has between trainings, in the place of parameters and their copies."""
    return torch.nn.Parameter(torch.empty(0, device=device))


def work_on(
    optimizer: torch.optim.Optimizer,
    values: torch.nn.Parameter,
    state: dict[str, Any] | None = None,
) -> None:
    """Let an optimizer work on other values, with its state, if that is not another one."""
    (group,) = optimizer.param_groups
    (before,) = group["params"]
    had = optimizer.state.pop(before, None)
    if state := had if state is None else state:
        optimizer.state[values] = state
    group["params"] = [values]


def state_of(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """What an optimizer knows of what it works on."""
    (group,) = optimizer.param_groups
    return dict(optimizer.state.get(group["params"][0], {}))


def take_step(optimizer: torch.optim.Optimizer, flat: FlatParameters) -> None:
    """The optimizer's step; Adam's without the wrappers, which take as long again."""
    state = optimizer.state.get(flat.values)
    # Torch's schedulers replace the method, and count on being called.
    if not state or type(optimizer) is not torch.optim.Adam or "step" in vars(optimizer):
        optimizer.step()
        return
    (group,) = optimizer.param_groups
    beta1, beta2 = group["betas"]
    adam(
        [flat.detached],
        [flat.gradient],
        [state["exp_avg"]],
        [state["exp_avg_sq"]],
        [],
        [state["step"]],
        fused=True,
        lr=group["lr"],
        beta1=beta1,
        beta2=beta2,
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        amsgrad=False,
        maximize=False,
    )


@torch.no_grad()
def clear_what_died_away(optimizer: torch.optim.Optimizer, flat: FlatParameters) -> None:
    """Set to zero what has shrunk to nothing, of the parameters and of the optimizer's state.

    Units that no row switches on have no gradient but the penalty's. Their weights and moments
    shrink without end, and arithmetic with denormal numbers takes ten times as long.
    """
    moments = [value for value in state_of(optimizer).values() if torch.is_tensor(value)]
    for values in (flat.detached, *moments):
        if values.shape == flat.detached.shape:
            values.masked_fill_(values.abs() < _DIED_AWAY, 0)
