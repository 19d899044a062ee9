"""How far rows are from those of a fit: the Gaussian process that networks are given.

All that is learned of it has a closed form: the length scale and the ratio of signal to noise that
make y most probable, then the posterior given the rows. Its mean is left out, because the
networks' is better; what stays is a variance that grows where there are no rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.sparse import issparse
from torch import Tensor

from .._inference.process import GaussianProcess, RandomFeatures
from .._support.compressed import Compressed, rows_within
from .._support.compressed import given as given_rows
from .._training.net import DropoutNet
from .._training.rows import Rows
from .described import Held
from .fitting import Fitting
from .held_out import functions_of_members
from .parameters import Parameters
from .targets import Target

# More resemble the kernel better, and take longer by their square.
_N_FEATURES = 256
# In standard deviations of the rows, all columns together.
_LENGTHS = 0.2 * 2.0 ** np.arange(6)
# Prior variance over that of the noise.
_RATIOS = 10.0 ** np.arange(-2, 7, 0.5)
# Rows that say which of them; more only take longer.
_ENOUGH_ROWS = 2000
# Columns with the largest variance; the others of very many are left out.
_MOST_COLUMNS = 2**13
# Rows, and bytes of compressed ones, that are dense at once.
_CHUNK_ROWS, _CHUNK_BYTES = 2**12, 2**25
# Of a y that is met exactly, in units of its variance.
_LEAST_NOISE = 1e-8
# Of a precision, so that it is positive in spite of rounding, in units of what rows say.
_LEAST_RIDGE = 1e-11
# Of a variance, in units of the squared mean: what is below is none.
_ROUNDING = 1e-12
# Of the random numbers that follow from the seed of a fit.
_STREAM = 2**16


@dataclass(frozen=True)
class Conditioned:
    """A Gaussian process and what it was told by the rows of a fit.

    Attributes
    ----------
    features : RandomFeatures
    precision : Tensor of shape (n_features, n_features)
        Of the weights, in units of the noise.
    size : ndarray of shape (n_raw,)
        Standard deviation of the noise, in raw outputs.
    cross_fitted : bool
        Whether rows that were held from networks are among those that it was told of.
    """

    features: RandomFeatures
    precision: Tensor
    size: np.ndarray
    cross_fitted: bool

    def process(self, size: np.ndarray | float = 1.0) -> GaussianProcess:
        """What predicts; `size` is a factor on its functions."""
        factor = torch.linalg.cholesky(self.precision)
        one = torch.eye(len(factor), dtype=factor.dtype)
        root = torch.linalg.solve_triangular(factor, one, upper=False).T
        frequencies = self.features.frequencies.astype(np.float32)
        features = replace(self.features, frequencies=frequencies)
        return GaussianProcess(features, root.float().numpy(), self.size * size)

    def before(self, held: Held, size: np.ndarray | float = 1.0) -> GaussianProcess:
        """As `process`, of what it was told by rows that were not held from networks."""
        if not self.cross_fitted:
            return self.process(size)
        precision = self.precision - _gram(self.features, held.rows.x, held.rows.weight)
        return replace(self, precision=precision).process(size)


def conditioned(given: Parameters, fitting: Fitting, net: DropoutNet) -> Conditioned | None:
    """What the rows of a fit say; None if nobody wants to know.

    Parameters
    ----------
    given : Parameters
        Of the estimator. Without `distance_awareness` it is zero.
    fitting : Fitting
    net : DropoutNet
        Trained for it.
    """
    awareness = getattr(given, "distance_awareness", 0)
    if not awareness:
        return None
    rows, target = fitting.job.rows, fitting.described.target
    y, std = _standardised(target.responses(rows.y.numpy()), rows.weight)
    rng = np.random.default_rng((fitting.seed, _STREAM))
    choices = _features(rows.x, fitting.described.telling, rng)
    some = torch.from_numpy(rng.permutation(len(y))[:_ENOUGH_ROWS])
    few = Rows(rows.x, y, rows.weight).part(some)
    found = max((_evidence(one, *few[:]) for one in choices), key=lambda one: one.log_evidence)
    precision = _gram(found.features, rows.x, rows.weight)
    least = _LEAST_RIDGE * float(precision.diagonal().mean())
    precision.diagonal().add_(max(least, 1 / (found.ratio * awareness**2)))
    size = np.zeros(fitting.job.likelihood.n_raw)
    size[: len(std)] = np.sqrt(found.noise) * std * _units(target, net, few)
    return Conditioned(found.features, precision, size, fitting.n_folds > 0)


def _units(target: Target, net: DropoutNet, rows: Rows) -> np.ndarray:
    """How far raw outputs go while the mean of y goes by one: ``(n_responses,)``.

    By the networks, over all rows: links are far from straight, and steep ones are what classes
    that are well apart have.
    """
    functions, _ = functions_of_members(net, range(len(net.module_.members)), 0)
    with torch.inference_mode():
        raws = [
            raw[0].cpu().double().numpy() for _, chunk in functions.over(rows.x) for raw in chunk
        ]
    predictors, means = target.linked(np.concatenate(raws))
    moved = means.std(0)
    return np.where(moved > 0, predictors.std(0) / np.where(moved > 0, moved, 1.0), 1.0)


def _standardised(values: np.ndarray, weight: Tensor | None) -> tuple[Tensor, np.ndarray]:
    """Columns of y with mean zero and variance one, and what this was; gaps are at the mean."""
    known = ~np.isnan(values)
    counts = known if weight is None else known * weight.numpy()[:, None]
    shares = counts / counts.sum(0)
    mean = (shares * np.where(known, values, 0.0)).sum(0)
    centred = np.where(known, values - mean, 0.0)
    std = np.sqrt((shares * centred**2).sum(0))
    return torch.from_numpy(centred / np.where(std > 0, std, 1.0)), std


def _features(
    x: Tensor | Compressed, telling: np.ndarray | None, rng: np.random.Generator
) -> list[RandomFeatures]:
    """Features of all length scales, from the same random numbers."""
    mean, spread = _spread(given_rows(x))
    columns = np.flatnonzero(spread if telling is None else spread * telling)
    most = np.argsort(-spread[columns], kind="stable")[:_MOST_COLUMNS]
    columns = np.sort(columns[most])
    frequencies = rng.standard_normal((len(columns), _N_FEATURES)) / spread[columns, None]
    features = RandomFeatures(columns, frequencies, rng.uniform(0, 2 * np.pi, _N_FEATURES))
    whole = np.sqrt(max(len(columns), 1))
    return [features.at_length(whole * length, mean[columns]) for length in _LENGTHS]


def _spread(X: Any) -> tuple[np.ndarray, np.ndarray]:
    """Means of columns, and their standard deviations; zero for what does not vary.

    At least a sixth of the range, so that a level that is rare is not far from everything.
    """
    mean = _dense(X.mean(0, dtype=np.float64)).ravel()
    square = X.power(2) if issparse(X) else np.square(X, dtype=np.float64)
    variance = _dense(square.mean(0, dtype=np.float64)).ravel() - mean**2
    low, high = (_dense(end).ravel() for end in (X.min(0), X.max(0)))
    spread = np.maximum(np.sqrt(np.maximum(variance, 0)), (high - low) / 6)
    return mean, np.where(variance > _ROUNDING * mean**2, spread, 0.0)


def _dense(values: Any) -> np.ndarray:
    return values.toarray() if issparse(values) else np.asarray(values)


class _Found(NamedTuple):
    """Features, and the prior that makes y most probable with them."""

    log_evidence: float
    features: RandomFeatures
    ratio: float
    noise: np.ndarray


def _evidence(
    features: RandomFeatures, x: Tensor | Compressed, y: Tensor, weight: Tensor | None
) -> _Found:
    """The most probable ratio of prior to noise, with the most probable noise of each column."""
    counts = torch.ones(len(y), dtype=y.dtype) if weight is None else weight.to(y.dtype)
    moments = features(x.to(torch.float64)).T @ (y * counts.unsqueeze(1))
    values, vectors = torch.linalg.eigh(_gram(features, x, weight))
    ratios = torch.from_numpy(_RATIOS).unsqueeze(1)
    grown = 1 + ratios * values.clamp_min_(0)
    explained = (ratios / grown) @ (vectors.T @ moments).square_()
    total = counts.sum()
    noise = ((counts @ y.square() - explained) / total).clamp_min_(_LEAST_NOISE)
    log_evidence = -(total * noise.log().sum(1) + y.shape[1] * grown.log().sum(1)) / 2
    best = int(log_evidence.argmax())
    return _Found(float(log_evidence[best]), features, _RATIOS[best], noise[best].numpy())


def _gram(features: RandomFeatures, x: Tensor | Compressed, weight: Tensor | None) -> Tensor:
    """Products of all features over the rows, ``(n_features, n_features)``, in float64."""
    total = torch.zeros(len(features.phases), len(features.phases), dtype=torch.float64)
    step = rows_within(x, _CHUNK_ROWS, _CHUNK_BYTES)
    for start in range(0, len(x), step):
        part = slice(start, start + step)
        of_part = features(x[part].to(torch.float64))
        total.addmm_(of_part.T if weight is None else of_part.T * weight[part], of_part)
    return total
