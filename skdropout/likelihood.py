"""Likelihoods: raw outputs of a network to a distribution of the target."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Bernoulli, Categorical, Distribution, Independent, Normal, Poisson

# A network that interpolates its rows would drive the variance to zero.
_SMALLEST_VARIANCE = 1e-6
# Largest logarithm of a predicted variance over the common scale, and the power of the variance
# that weighs a row's mean while training. Both were chosen on the training parts of public tables.
_SHAPE_BOUND = 3.0
_BETA = 0.25


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
        Observation noise in the (standardised) target's squared units, the mean over the rows
        of the last epoch.
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
        # The gradient grows as 1 / variance while the network fits better and better. Gradient
        # descent would diverge, and Adam, whose steps lag behind, take larger ones by accident.
        # Undone, the steps are those of the squared error.
        return self.variance.amin((1, 2))

    def observe(self, raw: Tensor, y: Tensor, weight: Tensor | None) -> None:
        self._add_rows(self._squares, (raw - y).square(), weight)
        self._n_rows += raw.shape[1] if weight is None else weight.sum(1).view(-1, 1, 1)

    @staticmethod
    def _add_rows(total: Tensor, values: Tensor, weight: Tensor | None) -> None:
        total += (values if weight is None else values * weight.unsqueeze(-1)).sum(1, keepdim=True)

    def epoch_end(self) -> None:
        self.variance.copy_(self._mean_over_rows(self._squares)).clamp_min_(_SMALLEST_VARIANCE)
        self._n_rows = 0.0

    def release(self, members: Tensor | None = None) -> None:
        return

    def _mean_over_rows(self, total: Tensor) -> Tensor:
        mean = total / self._n_rows
        total.zero_()
        return mean

    def distribution(self, raw: Tensor, member: int) -> Independent:
        std = self.variance[member].sqrt().to(raw.dtype)
        return Independent(Normal(raw, std, validate_args=False), 1, validate_args=False)


class HeteroscedasticLikelihood(GaussianLikelihood):
    """Real targets with Gaussian noise whose variance the network predicts, row by row.

    Raw outputs are the means, then for each output how far the logarithm of the variance is
    above that of a common scale. The scale has a closed form given the network, as in
    `GaussianLikelihood`; the network learns the shape only, which is bounded: no row's variance
    is beyond exp(+-3) times the scale. So it cannot collapse on a few rows that the network
    interpolates.

    The likelihood's gradient of the mean is divided by the variance, so rows with a large
    variance at first would never be fitted. `objective` multiplies it with the fourth root of the
    variance, held fixed (after Seitzer et al. 2022, who weigh the variance's gradient too).

    That alone does not keep rows that are merely fitted late from being taken for noisy ones. So
    the shape can be held constant until `release`: training is then that of `GaussianLikelihood`.

    Parameters
    ----------
    n_members, n_outputs : int
    held : bool, default=False
        Hold the shape until `release`.

    Attributes
    ----------
    scale : Tensor of shape (members, 1, n_outputs)
        Common scale of the variances.
    released : Tensor of shape (members, 1, 1)
        One for members whose variance differs from row to row, zero while it is held.
    """

    scale: Tensor
    released: Tensor
    _variances: Tensor

    def __init__(self, n_members: int, n_outputs: int, held: bool = False) -> None:
        super().__init__(n_members, n_outputs)
        self.n_raw = 2 * n_outputs
        self.register_buffer("scale", torch.ones_like(self.variance))
        self.register_buffer("_variances", torch.zeros_like(self.variance))
        released = torch.full((n_members, 1, 1), 0.0 if held else 1.0, dtype=torch.float32)
        self.register_buffer("released", released)

    def release(self, members: Tensor | None = None) -> None:
        self.released[slice(None) if members is None else members] = 1.0

    @staticmethod
    def _split(raw: Tensor, released: Tensor) -> tuple[Tensor, Tensor]:
        """Means, and logarithms of the variances over the scale."""
        mean, shape = raw.chunk(2, -1)
        return mean, (shape / _SHAPE_BOUND).tanh() * (_SHAPE_BOUND * released)

    def _neg_log_densities(self, mean: Tensor, shape: Tensor, y: Tensor) -> Tensor:
        """Negative log densities of the outputs, ``(members, rows, n_outputs)``."""
        squares = (mean - y).square() * (-shape).exp() / self.scale
        return 0.5 * (squares + shape + (2 * math.pi * self.scale).log())

    def loss(self, raw: Tensor, y: Tensor) -> Tensor:
        return self._neg_log_densities(*self._split(raw, self.released), y).sum(-1)

    def objective(self, raw: Tensor, y: Tensor) -> Tensor:
        mean, shape = self._split(raw, self.released)
        weighed = self._neg_log_densities(mean, shape.detach(), y) * (_BETA * shape.detach()).exp()
        return (weighed + self._neg_log_densities(mean.detach(), shape, y)).sum(-1)

    def gradient(self, raw: Tensor, y: Tensor) -> Tensor:
        mean, shape = self._split(raw, self.released)
        residual = mean - y
        of_mean = residual * ((_BETA - 1) * shape).exp() / self.scale
        slope = self.released * (1 - (shape / _SHAPE_BOUND).square())
        of_shape = 0.5 * slope * (1 - residual.square() * (-shape).exp() / self.scale)
        return torch.cat([of_mean, of_shape], -1)

    def gradient_scale(self) -> Tensor | None:
        return self.scale.amin((1, 2))

    def observe(self, raw: Tensor, y: Tensor, weight: Tensor | None) -> None:
        mean, shape = self._split(raw, self.released)
        self._add_rows(self._squares, (mean - y).square() * (-shape).exp(), weight)
        self._add_rows(self._variances, shape.exp(), weight)
        self._n_rows += raw.shape[1] if weight is None else weight.sum(1).view(-1, 1, 1)

    def epoch_end(self) -> None:
        self.scale.copy_(self._mean_over_rows(self._squares)).clamp_min_(_SMALLEST_VARIANCE)
        self.variance.copy_(self.scale * self._mean_over_rows(self._variances))
        self._n_rows = 0.0

    def distribution(self, raw: Tensor, member: int) -> Independent:
        mean, shape = self._split(raw, self.released[member].to(raw.dtype))
        std = (shape * 0.5).exp() * self.scale[member].sqrt().to(raw.dtype)
        return Independent(Normal(mean, std, validate_args=False), 1, validate_args=False)


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
