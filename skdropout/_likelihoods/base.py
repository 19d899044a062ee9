"""Likelihoods: raw outputs of a network to a distribution of the target."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Distribution, Independent, Poisson

from .._support.arrays import PickledAsArrays

_LOG2_E = math.log2(math.e)


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

    def objective(self, raw: Tensor, y: Tensor) -> Tensor:
        """What training descends on, of the shape of `loss`; `loss` itself unless said so."""
        return self.loss(raw, y)

    @abstractmethod
    def gradient(self, raw: Tensor, y: Tensor) -> Tensor:
        """Gradient of `objective` with respect to `raw`, of its shape."""

    @abstractmethod
    def gradient_scale(self) -> Tensor | None:
        """What keeps each member's gradient of one size: ``(members,)``, None for ones.

        A factor on the gradient of likelihood and penalty together. It changes no objective and
        stays the same for an epoch.
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

    @abstractmethod
    def release(self, members: Tensor | None = None) -> None:
        """Let members learn what was held constant until their mean is fitted, if anything is.

        Parameters
        ----------
        members : Tensor of bool of shape (members,), default=None
            None is all of them.
        """


class _NothingClosedForm(Likelihood):
    """A likelihood without parameters of its own."""

    def gradient_scale(self) -> Tensor | None:
        return None

    def observe(self, raw: Tensor, y: Tensor, weight: Tensor | None) -> None:
        return

    def epoch_end(self) -> None:
        return

    def release(self, members: Tensor | None = None) -> None:
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

    def probabilities(self, raw: Tensor, out: Tensor | None = None) -> Tensor:
        """Of the second class: ``(..., rows, 1)``. `out` is memory for them, or `raw` itself."""
        return torch.sigmoid(raw, out=out)


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

    def probabilities(self, raw: Tensor, out: Tensor | None = None) -> Tensor:
        """Of the classes: ``(..., rows, n_classes)``. `out` is memory for them, or `raw` itself."""
        # Measured: over a short last axis torch takes thirty times as long as with the rows last in
        # memory, and its own softmax a third longer than powers of two.
        logits = raw.mT.contiguous()
        out = None if out is None else out.mT
        powers = torch.sub(logits, logits.amax(-2, keepdim=True), out=out)
        powers.mul_(_LOG2_E).exp2_()
        return powers.div_(powers.sum(-2, keepdim=True)).mT


class PoissonLikelihood(_NothingClosedForm):
    """Counts. A raw output is the logarithm of the expected count over the mean count.

    Parameters
    ----------
    n_members : int
    means : Tensor of shape (n_outputs,)
        Mean counts, where training starts from.
    """

    means: Tensor

    def __init__(self, n_members: int, means: Tensor) -> None:
        super().__init__()
        self.n_raw = len(means)
        self.register_buffer("means", means.repeat(n_members, 1, 1))

    def loss(self, raw: Tensor, y: Tensor) -> Tensor:
        log_rate = raw + self.means.log()
        return (log_rate.exp() - y * log_rate + (y + 1).lgamma()).sum(-1)

    def gradient(self, raw: Tensor, y: Tensor) -> Tensor:
        return raw.exp().mul_(self.means).sub_(y)

    def gradient_scale(self) -> Tensor:
        return 1 / self.means.amax((1, 2))

    def distribution(self, raw: Tensor, member: int) -> Independent:
        rate = raw.exp() * self.means[member].to(raw.dtype)
        return Independent(Poisson(rate, validate_args=False), 1, validate_args=False)


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
