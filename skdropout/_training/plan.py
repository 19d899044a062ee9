"""How a member is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Plan:
    """How a member is trained. The names are those of the estimators' parameters.

    The members of a stack may differ in `learning_rate_init`, `alpha` and `l1_ratio`.
    """

    solver: str
    learning_rate_init: float
    momentum: float
    nesterovs_momentum: bool
    beta_1: float
    beta_2: float
    epsilon: float
    alpha: float
    l1_ratio: float
    batch_size: int
    shuffle: bool

    def of_stack(self) -> Plan:
        """What the plans of all members of a stack agree in; the rest is zero."""
        return replace(self, learning_rate_init=0.0, alpha=0.0, l1_ratio=0.0)


def common_plan(plans: Sequence[Plan]) -> Plan:
    """The plan of all members of a stack, with the largest step size."""
    return replace(plans[0], learning_rate_init=max(plan.learning_rate_init for plan in plans))
