"""Dropouts that torch has not."""

from __future__ import annotations

import math
from numbers import Real

import torch
from torch import Tensor, nn

from .._modules.kinds import concrete_dropout, gaussian_dropout


class GaussianDropout(nn.Module):
    """Multiply units by normal noise of the mean and variance of dropout.

    While training a unit is multiplied by ``1 + sqrt(rate / (1 - rate)) eps`` with a standard
    normal `eps` for each row; in a draw of a `DropoutModuleClassifier` all rows share it.

    Parameters
    ----------
    rate : float, default=0.5
        In [0, 1). The variance of the noise is ``rate / (1 - rate)``, as of dropout at this rate.

    References
    ----------
    Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov (2014). Dropout: a simple way to
    prevent neural networks from overfitting. Journal of Machine Learning Research 15.

    Wang and Manning (2013). Fast dropout training. ICML.

    Examples
    --------
    >>> import torch
    >>> from skdropout.nn import GaussianDropout
    >>> GaussianDropout(0.2).eval()(torch.ones(2, 3)).tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """

    rate: float

    def __init__(self, rate: float = 0.5) -> None:
        super().__init__()
        if not isinstance(rate, Real) or not 0 <= rate < 1:
            raise ValueError(f"GaussianDropout: rate must be a float in [0, 1), got {rate!r}")
        self.rate = float(rate)

    def forward(self, x: Tensor) -> Tensor:
        return gaussian_dropout(x, self.rate, self.training)

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


class ConcreteDropout(nn.Module):
    """Dropout whose rate is learned.

    While training, the mask is relaxed to numbers between 0 and 1, so that the rate has a gradient;
    a draw of a `DropoutModuleClassifier` has a hard mask at the learned rate. The estimators add
    `kl`, divided by the number of training rows, to the loss; `alpha` stands for the prior of the
    weights.

    Parameters
    ----------
    rate : float, default=0.1
        In (0, 1), where learning starts.
    channels : bool, default=False
        Drop channels as a whole: the second axis of what comes in.
    temperature : float, default=0.1
        Of the relaxed mask: small is close to a hard one, with a noisier gradient.

    Attributes
    ----------
    logit : Parameter
        Of the rate.

    References
    ----------
    Gal, Hron and Kendall (2017). Concrete dropout. NeurIPS.

    Examples
    --------
    >>> from skdropout.nn import ConcreteDropout
    >>> round(ConcreteDropout(rate=0.2).rate.item(), 6)
    0.2
    """

    logit: nn.Parameter
    start: float
    channels: bool
    temperature: float
    n_units: int

    def __init__(
        self, rate: float = 0.1, *, channels: bool = False, temperature: float = 0.1
    ) -> None:
        super().__init__()
        if not isinstance(rate, Real) or not 0 < rate < 1:
            raise ValueError(f"ConcreteDropout: rate must be a float in (0, 1), got {rate!r}")
        if not isinstance(temperature, Real) or temperature <= 0:
            raise ValueError(
                f"ConcreteDropout: temperature must be a positive float, got {temperature!r}"
            )
        self.start, self.channels, self.temperature = float(rate), bool(channels), temperature
        self.logit = nn.Parameter(torch.empty((), dtype=torch.float32))
        # Units that were dropped in the last training pass: the size of a mask.
        self.n_units = 0
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Let learning start anew."""
        nn.init.constant_(self.logit, math.log(self.start / (1 - self.start)))

    @property
    def rate(self) -> Tensor:
        """Probability of dropping."""
        return self.logit.sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.n_units = x.shape[1] if self.channels else x[:1].numel()
        return concrete_dropout(x, self.logit, self.temperature, self.channels, self.training)

    def kl(self) -> Tensor:
        """What the loss of all training rows together grows by, in nats.

        The negative entropy of a mask: a rate near one half is likely without any data.
        """
        entropy = nn.functional.softplus(self.logit) - self.rate * self.logit
        return -self.n_units * entropy

    def extra_repr(self) -> str:
        return f"rate={float(self.rate.detach()):.3g}, channels={self.channels}"
