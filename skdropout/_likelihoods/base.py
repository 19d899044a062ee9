"""What a likelihood is: raw outputs of a network to a distribution of the target."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

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
    """

    n_raw: int

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
    shares : Tensor of shape (n_draws,), default=None
        What each draw of the members together counts, of sum one. None is the same for all.

    Returns
    -------
    Tensor of shape (rows,)
    """
    log_prob = torch.cat(
        [likelihood.distribution(raw, member).log_prob(y) for member, raw in raws.items()]
    )
    if shares is None:
        return log_prob.logsumexp(0) - math.log(len(log_prob))
    return (log_prob + shares.log().unsqueeze(1)).logsumexp(0)
