"""What a likelihood is: raw outputs of a network to a distribution of the target."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from .._support.arrays import PickledAsArrays


class Likelihood(PickledAsArrays, ABC):
    """The distribution of a target given the raw outputs of a stack.

    Attributes
    ----------
    n_raw : int
        Raw outputs that the network must have.
    gaps : bool
        Whether single cells of the targets may be missing (NaN). They add nothing to the loss of
        their row, which is the sum over its other cells, and no row weighs more for it.
    """

    n_raw: int
    gaps: bool = False

    @abstractmethod
    def loss(self, raw: Tensor, y: Tensor) -> Tensor:
        """Negative log-likelihood of each row, in nats, while training.

        Parameters
        ----------
        raw : Tensor of shape (members, rows, n_raw)
        y : Tensor of shape (members or 1, rows, ...)

        Returns
        -------
        Tensor of shape (members, rows)
        """

    def present(self, y: Tensor) -> tuple[Tensor, Tensor | None]:
        """Targets with zeros for missing cells, and where these are; None for nowhere."""
        if not self.gaps:
            return y, None
        missing = y.isnan()
        # Filled, not only masked afterwards: zero times the derivative at NaN is NaN.
        return y.masked_fill(missing, 0.0), missing

    @abstractmethod
    def distribution(self, raw: Tensor, member: int) -> Distribution:
        """Distribution of the target for raw outputs ``(..., rows, n_raw)`` of one member."""

    def surrogate_loss(self, raw: Tensor, y: Tensor) -> Tensor | None:
        """What training descends on in the place of the loss, of its shape; None for nothing."""
        return None

    def objective(self, raw: Tensor, y: Tensor) -> Tensor:
        """What training descends on, of the shape of `loss`."""
        surrogate = self.surrogate_loss(raw, y)
        return self.loss(raw, y) if surrogate is None else surrogate

    @abstractmethod
    def gradient(self, raw: Tensor, y: Tensor) -> Tensor:
        """Gradient of `objective` with respect to `raw`, of its shape."""

    def gradient_scale(self) -> Tensor | None:
        """What keeps each member's gradient of one size: ``(members,)``, None for ones.

        A factor on the gradient of likelihood and penalty together. It changes no objective and
        stays the same for an epoch.
        """
        return None

    def observe(self, raw: Tensor, y: Tensor, weight: Tensor | None) -> None:
        """Take note of rows, for what has a closed form given the network.

        Parameters
        ----------
        raw : Tensor of shape (members, rows, n_raw)
        y : Tensor of shape (members or 1, rows, ...)
        weight : Tensor of shape (members or 1, rows) or None
        """
        return

    def epoch_end(self) -> None:
        """Set what has a closed form from the rows that were observed."""
        return

    def release(self, members: Tensor | None = None) -> None:
        """Let members learn what was held constant until their mean is fitted, if anything is.

        Parameters
        ----------
        members : Tensor of bool of shape (members,), default=None
            None is all of them.
        """
        return


def of_cells(values: Tensor, missing: Tensor | None) -> Tensor:
    """Values of single cells, zero where the target is missing."""
    return values if missing is None else values.masked_fill(missing, 0.0)


def mixture_log_prob(
    likelihood: Likelihood,
    raws: Mapping[int, Tensor],
    y: Tensor,
    shares: Tensor | None = None,
) -> Tensor:
    """Log density of the mixture over all draws of the given members.

    Parameters
    ----------
    likelihood : Likelihood
    raws : mapping of member to Tensor of shape (n_draws, rows, n_raw)
    y : Tensor of shape (rows, ...)
        Of several outputs single cells may be missing (NaN): the density is of the others.
    shares : Tensor of shape (n_draws,), default=None
        What each draw of the members together counts, of sum one. None is the same for all.

    Returns
    -------
    Tensor of shape (rows,)
    """
    missing = y.isnan() if y.ndim > 1 else None
    if missing is None or not missing.any():
        missing = None
    else:
        y = y.masked_fill(missing, 0.0)
    log_prob = torch.cat(
        [_log_prob(likelihood.distribution(raw, m), y, missing) for m, raw in raws.items()]
    )
    if shares is None:
        return log_prob.logsumexp(0) - math.log(len(log_prob))
    return (log_prob + shares.log().unsqueeze(1)).logsumexp(0)


def _log_prob(distribution: Any, y: Tensor, missing: Tensor | None) -> Tensor:
    if missing is None:
        return distribution.log_prob(y)
    return of_cells(distribution.base_dist.log_prob(y), missing).sum(-1)
