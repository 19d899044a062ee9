"""Likelihoods: raw outputs of a network to a distribution of the target."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Bernoulli, Categorical, Distribution, Independent, Normal


class Likelihood(nn.Module, ABC):
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

    @abstractmethod
    def gradient(self, raw: Tensor, y: Tensor) -> Tensor:
        """Gradient of `loss` with respect to `raw`, of its shape."""

    @abstractmethod
    def gradient_scale(self) -> Tensor | None:
        """What keeps each member's gradient of one size: ``(members,)``, None for ones.

        A factor on the steps of plain gradient descent. It changes no objective and stays the
        same for an epoch.
        """

    @abstractmethod
    def observe(self, raw: Tensor, y: Tensor, weight: Tensor | None) -> None:
        """Take note of rows, for what has a closed form given the network.

        Parameters
        ----------
        raw : Tensor of shape (members, rows, n_raw)
        y : Tensor of shape (members or 1, rows, ...)
        weight : Tensor of shape (members or 1, rows) or None
        """

    @abstractmethod
    def epoch_end(self) -> None:
        """Set what has a closed form from the rows that were observed."""


class _NothingClosedForm(Likelihood):
    """A likelihood without parameters of its own."""

    def gradient_scale(self) -> Tensor | None:
        return None

    def observe(self, raw: Tensor, y: Tensor, weight: Tensor | None) -> None:
        return

    def epoch_end(self) -> None:
        return


class BinaryLikelihood(_NothingClosedForm):
    """Two classes, one raw output: the log odds of the second."""

    n_raw = 1

    def loss(self, raw: Tensor, y: Tensor) -> Tensor:
        y = y.unsqueeze(-1).expand(raw.shape)
        return F.binary_cross_entropy_with_logits(raw, y, reduction="none").squeeze(-1)

    def gradient(self, raw: Tensor, y: Tensor) -> Tensor:
        return raw.sigmoid().sub_(y.unsqueeze(-1))

    def distribution(self, raw: Tensor, member: int) -> Bernoulli:
        return Bernoulli(logits=raw[..., 0], validate_args=False)

    def probabilities(self, raw: Tensor) -> Tensor:
        """Of the second class: ``(..., rows, 1)``."""
        return raw.sigmoid()


class CategoricalLikelihood(_NothingClosedForm):
    """Several classes, one raw output each: logits.

    Parameters
    ----------
    n_classes : int
    """

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.n_raw = n_classes

    def loss(self, raw: Tensor, y: Tensor) -> Tensor:
        y = y.expand(raw.shape[:2]).flatten()
        return F.cross_entropy(raw.flatten(0, 1), y, reduction="none").view(raw.shape[:2])

    def gradient(self, raw: Tensor, y: Tensor) -> Tensor:
        index = y.expand(raw.shape[:2]).unsqueeze(-1)
        return raw.softmax(-1).scatter_add_(-1, index, raw.new_full((), -1.0).expand(index.shape))

    def distribution(self, raw: Tensor, member: int) -> Categorical:
        return Categorical(logits=raw, validate_args=False)

    def probabilities(self, raw: Tensor) -> Tensor:
        """Of the classes: ``(..., rows, n_classes)``."""
        # Measured: over a short last axis torch's softmax takes thirty times as long as with the
        # rows last, where it works on many at once.
        return raw.mT.softmax(-2).mT


class GaussianLikelihood(Likelihood):
    """Real targets with Gaussian noise, one learned variance per member and output.

    The variance has a closed form given the network, the mean squared residual, so it is not
    descended on but set at the end of each epoch from the residuals of the noisy passes. A
    gradient step of 0.001 on its logarithm would need thousands of steps to get there.

    Parameters
    ----------
    n_members, n_outputs : int

    Attributes
    ----------
    variance : Tensor of shape (members, 1, n_outputs)
        Observation noise in the (standardised) target's squared units.
    """

    variance: Tensor
    _squares: Tensor
    _n_rows: Tensor | float

    def __init__(self, n_members: int, n_outputs: int) -> None:
        super().__init__()
        self.n_raw = n_outputs
        shape = (n_members, 1, n_outputs)
        self.register_buffer("variance", torch.ones(shape, dtype=torch.float32))
        self.register_buffer("_squares", torch.zeros(shape, dtype=torch.float32))
        self._n_rows = 0.0

    def loss(self, raw: Tensor, y: Tensor) -> Tensor:
        log_scale = (2 * math.pi * self.variance).log()
        return torch.addcdiv(log_scale, (raw - y).square(), self.variance).sum(-1) * 0.5

    def gradient(self, raw: Tensor, y: Tensor) -> Tensor:
        return (raw - y).div_(self.variance)

    def gradient_scale(self) -> Tensor | None:
        # The gradient grows as 1 / variance while the network fits better and better, until
        # gradient descent diverges. Undone, the steps are those of the squared error.
        return self.variance.amin((1, 2))

    def observe(self, raw: Tensor, y: Tensor, weight: Tensor | None) -> None:
        squares = (raw - y).square()
        if weight is not None:
            squares *= weight.unsqueeze(-1)
        self._squares += squares.sum(1, keepdim=True)
        self._n_rows += raw.shape[1] if weight is None else weight.sum(1).view(-1, 1, 1)

    def epoch_end(self) -> None:
        # A network that interpolates its rows would drive the variance to zero.
        self.variance.copy_(self._squares / self._n_rows).clamp_min_(1e-6)
        self._squares.zero_()
        self._n_rows = 0.0

    def distribution(self, raw: Tensor, member: int) -> Independent:
        std = self.variance[member].sqrt().to(raw.dtype)
        return Independent(Normal(raw, std, validate_args=False), 1, validate_args=False)


def mixture_log_prob(likelihood: Likelihood, raws: Mapping[int, Tensor], y: Tensor) -> Tensor:
    """Log density of the mixture over all draws of the given members.

    Parameters
    ----------
    likelihood : Likelihood
    raws : mapping of member to Tensor of shape (n_draws, rows, n_raw)
    y : Tensor of shape (rows, ...)

    Returns
    -------
    Tensor of shape (rows,)
    """
    log_prob = torch.cat(
        [likelihood.distribution(raw, member).log_prob(y) for member, raw in raws.items()]
    )
    return log_prob.logsumexp(0) - math.log(len(log_prob))
