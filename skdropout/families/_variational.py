"""Variational dropout, in the form that makes networks sparse."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from .._support.sklearn import Interval
from ._base import NoisyLinear, Posterior, member_column
from ._log_uniform import K1, K2, K3, log_uniform_kl
from ._noise import NoiseStreams
from ._weights import TINY, WeightPosteriorLinear

# Where a map without a rate starts: a factor on a weight of 1 +- 0.02.
_LEAST_LOG_ALPHA = -8.0
# As a tensor it is not made into one in each step.
_K2 = torch.tensor(K2, device="cpu")


class VariationalLinear(WeightPosteriorLinear):
    """Gaussian weights ``N(weight, alpha weight^2)``, each with an alpha of its own."""

    threshold: Tensor
    start: Tensor
    rank: Tensor | None
    counts: Tensor | None

    def __init__(
        self, n_in: int, n_out: int, rates: Sequence[float], families: Sequence[Variational]
    ):
        super().__init__(n_in, n_out, rates, families)
        threshold = member_column([family.threshold for family in families], self.weight)
        self.register_buffer("threshold", threshold, persistent=False)
        with np.errstate(divide="ignore"):
            log_alpha = np.log(rates) - np.log1p(-np.asarray(rates))
        given = [family.max_log_alpha for family in families]
        most = np.array([np.inf if value is None else value for value in given])
        if np.isfinite(most).any():
            self.most = member_column(most, self.weight)
        log_alpha = np.minimum(np.maximum(log_alpha, _LEAST_LOG_ALPHA), most)
        self.register_buffer("start", member_column(log_alpha, self.weight), persistent=False)
        # Only a thinned map has them, see `_ranks`.
        self.register_buffer("rank", None, persistent=False)
        self.register_buffer("counts", None, persistent=False)

    def initial_log_sigma2(self) -> Tensor:
        return self.start + self.weight.square().add_(TINY).log_()

    def kl(self, source: NoiseStreams | None = None) -> Tensor:
        """Divergence from the log-uniform prior, up to a constant: zero for infinite alpha."""
        return log_uniform_kl(self.log_alpha).sum((1, 2))

    def kl_slopes(self, factors: Tensor, source: NoiseStreams) -> Callable[..., None]:
        most = None if self.most is None else self.most.exp()

        def add(on_weight: Tensor, on_noise: Tensor, weight: Tensor, sigma2: Tensor) -> None:
            squares = weight.square().add_(TINY)
            # 1 / (1 + alpha). Its logit is -log_alpha, measured to cost less than a logarithm.
            share = torch.div(squares, squares + sigma2)
            gate = torch.sub(_K2, share.logit(), alpha=K3).sigmoid_()
            # With respect to log_alpha = log_sigma2 - log(weight^2), over -K1 K3.
            slope = torch.addcmul(gate, gate, gate, value=-1).add_(share, alpha=0.5 / (K1 * K3))
            if most is not None:
                # A log_alpha at its bound, as in `sigma2`, does not move.
                slope.masked_fill_(sigma2 == squares * most, 0.0)
            slope.mul_(factors)
            on_noise.addcmul_(slope, self.speed, value=-K1 * K3)
            on_weight.addcdiv_(slope.mul_(weight), squares, value=2 * K1 * K3)

        return add

    def alive(self) -> Tensor:
        return self.log_alpha.detach() <= self.threshold

    def drawn_of_living(self, n_draws: int, rngs: Sequence[np.random.Generator]) -> Tensor:
        """Draws in which the dead weights are zero. Only living weights cost random numbers."""
        weight, std = self.weight.detach(), (0.5 * self.log_sigma2.detach()).exp()
        drawn = weight.new_zeros(len(weight), n_draws, *weight.shape[1:])
        all_ranks, counts = self._ranks()
        for member, (rng, count) in enumerate(zip(rngs, counts.tolist(), strict=True)):
            ranks = all_ranks[member]
            alive = (ranks >= 0).nonzero(as_tuple=True)
            numbers = rng.standard_normal((n_draws, count), dtype=np.float32)
            normal = torch.from_numpy(numbers).to(weight.device)
            chosen = ranks[alive]
            if len(chosen) < count:
                normal = normal.index_select(1, chosen)
            living = normal * std[member][alive] + weight[member][alive]
            drawn[member][:, alive[0], alive[1]] = living
        return drawn

    def _ranks(self) -> tuple[Tensor, Tensor]:
        """Which of a draw's normal numbers each weight reads, and how many a draw has.

        Dead weights read none, -1. A thinned map keeps the numbers of the map that it came from,
        also those that only removed weights read, until training changes what is alive.
        """
        alive = self.alive()
        if self.rank is not None and torch.equal(self.rank >= 0, alive):
            assert self.counts is not None, "they come together"
            return self.rank, self.counts
        order = alive.flatten(1).cumsum(1)
        return torch.where(alive, order.view(alive.shape) - 1, -1), order[:, -1]

    def thinned(self, inputs: Tensor, outputs: Tensor) -> NoisyLinear:
        small = copy.deepcopy(self)
        for name in ("weight", "noise"):
            kept = getattr(self, name).detach()[:, inputs][:, :, outputs]
            setattr(small, name, nn.Parameter(kept.clone()))
        small.bias = nn.Parameter(self.bias.detach()[:, :, outputs].clone())
        ranks, small.counts = self._ranks()
        small.rank = ranks[:, inputs][:, :, outputs].clone()
        return small


@dataclass(eq=False, repr=False)
class Variational(Posterior):
    """Variational dropout: Gaussian noise whose size is learned, weight by weight.

    The prior is the same for weights of every size, so a weight that the data do not need drifts
    to infinite relative noise and is switched off: the network becomes sparse (`sparsity_`,
    `sparsify`). This is the variational dropout of Kingma et al. and Molchanov et al.; what
    Gal calls by that name for recurrent networks, one mask per sequence, is something else.

    Parameters
    ----------
    threshold : float, default=3.0
        A weight with ``log_alpha`` above is off: zero in every draw.
    max_log_alpha : float, default=None
        Noise grows no further: ``log_alpha`` is at most this. Zero, noise as large as the weight,
        is the form of Kingma et al., in which no weight is ever off. None is no bound.
    kl_weight : float, default=1.0
        Factor on the KL.
    kl_warmup : int, default=20
        Epochs over which the factor grows from zero. Without it a network may be switched off
        before it has learned anything. Training does not stop before.
    n_train : int, default=None
        Rows that the KL is divided by. None is the rows of the call; with `partial_fit`, give
        the rows of the whole stream.
    noise_speed : float, default=10.0
        How much further than a weight a log-variance travels in one step of Adam.

    Notes
    -----
    Every weight of the network has noise. `dropout_rate` and `input_dropout_rate` are where
    learning starts: ``alpha = rate / (1 - rate)``, and for a rate of zero ``log_alpha = -8``.
    Biases have no noise, and no prior.

    References
    ----------
    Kingma, Salimans and Welling (2015). Variational dropout and the local reparameterization
    trick. NeurIPS.

    Molchanov, Ashukha and Vetrov (2017). Variational dropout sparsifies deep neural networks.
    ICML.

    Examples
    --------
    >>> from skdropout import DropoutMLPClassifier
    >>> DropoutMLPClassifier(dropout="variational", alpha=0.0).dropout
    'variational'
    """

    name = "variational"
    # Noise does not shrink with the weights: those of an input that fades would be switched off.
    scales_inputs = False
    layer = VariationalLinear

    kl_warmup: int = 20
    noise_speed: float = 10.0
    threshold: float = 3.0
    max_log_alpha: float | None = None

    _parameter_constraints: ClassVar[dict] = {
        **Posterior._parameter_constraints,
        "threshold": [Interval(Real, None, None, closed="neither")],
        "max_log_alpha": [Interval(Real, None, None, closed="neither"), None],
    }
