"""The targets of a regressor: real numbers and counts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._inference.moments.outputs import GaussianOutputs, equally_likely_points
from .._likelihoods.base import Likelihood
from .._likelihoods.gaussian import GaussianLikelihood
from .._likelihoods.heteroscedastic import HeteroscedasticLikelihood
from .._likelihoods.normal import SMALLEST_VARIANCE
from .._likelihoods.poisson import PoissonLikelihood
from .._networks.plain import MomentStack
from .._networks.stack import Stack
from .._predictive.mixture import Mixture
from .._predictive.normal import CorrelatedNormalMixture, NormalComponents, NormalMixture
from .._predictive.poisson import PoissonMixture
from .._predictive.scaling import quality_of_mixtures, scale_of_std, scaled_beside
from .._predictive.target_columns import TargetColumns
from .held_out import HeldOut
from .targets import Target

# Share of the squared error that is taken to be left by the mean of all networks, at least: a few
# rows with small errors must not make intervals vanish.
_NEAREST = 0.25


class NumericTarget(Target):
    """Numbers, whose predictive distribution is a mixture in the units of y.

    Attributes
    ----------
    n_dimensions : int
        Of y: 1 or 2.
    columns : TargetColumns
        Which columns of y networks learn; the others are constant.
    """

    n_dimensions: int
    columns: TargetColumns

    def strata(self, encoded: np.ndarray) -> None:
        return None

    def kept_for_training(
        self, encoded: np.ndarray, share: float, quiet: bool = False
    ) -> np.ndarray:
        return np.zeros(len(encoded), dtype=bool)

    def moments(self, stack: Stack) -> MomentStack:
        return stack.moments()

    def responses(self, encoded: np.ndarray) -> np.ndarray:
        return encoded.reshape(len(encoded), -1).astype(np.float64)

    def shaped(self, values: np.ndarray) -> np.ndarray:
        """Without the axis of outputs if y had none: ``(rows, n_outputs, ...)``."""
        return values[:, 0] if self.n_dimensions == 1 else values

    def out_of_fold(
        self, mean: np.ndarray, total: np.ndarray, square: np.ndarray
    ) -> dict[str, np.ndarray]:
        # Folds that disagree about a row are as draws that do.
        std = np.sqrt(total + np.maximum(square - mean**2, 0.0))
        return {"oof_mean_": self.shaped(mean), "oof_std_": self.shaped(std)}

    def _learned(self, y: np.ndarray) -> np.ndarray:
        """Columns that networks learn: ``(rows, n_learned)``."""
        return self.columns.select(y.reshape(len(y), -1))

    def check_again(self, y: np.ndarray, caller: str) -> None:
        """Refuse targets of a later call in which a column varies that was constant before.

        Parameters
        ----------
        y : ndarray
            Of rows that count, in the units of y.
        caller : str
            The estimator.
        """
        y = y.reshape(len(y), -1)
        differs = (y != self.columns.values) & self.columns.constant & ~np.isnan(y)
        if not differs.any():
            return
        row, column = np.argwhere(differs)[0]
        where = "y" if self.n_dimensions == 1 else f"column {column} of y"
        raise ValueError(
            f"{caller}: {where} was constant in the first call "
            f"({self.columns.values[column]:.6g}), so the model cannot learn the value "
            f"{y[row, column]:.6g} now; start anew with rows in which it varies"
        )

    @abstractmethod
    def predictive(
        self,
        outputs: Sequence[Any],
        likelihood: Any,
        calibration: dict[str, Any] | None,
        centre: np.ndarray | None = None,
    ) -> Mixture:
        """Predictive distribution of rows, in the units of y.

        Parameters
        ----------
        outputs, likelihood, calibration
            As in `Target.predictive`.
        centre : ndarray of shape (rows, n_outputs), optional
            Mean that calibration leaves where it is; that of the distribution by default.
        """


class RealNumbers(NumericTarget):
    """Real columns with normal noise.

    Parameters
    ----------
    n_dimensions : int
        Of y: 1 or 2.
    columns : TargetColumns
    mean, scale : ndarray of shape (n_learned,)
        Networks are trained on ``(y - mean) / scale`` of the columns that vary.
    heteroscedastic : bool
        Whether the noise differs from row to row.
    constant_first : bool
        Whether it does so only once the likelihood is released.
    """

    def __init__(
        self,
        n_dimensions: int,
        columns: TargetColumns,
        mean: np.ndarray,
        scale: np.ndarray,
        heteroscedastic: bool,
        constant_first: bool,
    ) -> None:
        self.n_dimensions, self.columns = n_dimensions, columns
        self.mean, self.scale = mean, scale
        self.heteroscedastic, self.constant_first = heteroscedastic, constant_first

    def attributes(self) -> dict[str, Any]:
        return {"n_outputs_": len(self.columns.constant), "out_activation_": "identity"}

    @property
    def can_be_calibrated(self) -> bool:
        # The spread of a constant is given.
        return not self.columns.constant.all()

    def encode(self, y: np.ndarray) -> np.ndarray:
        return ((self._learned(y) - self.mean) / self.scale).astype(np.float32)

    def decode(self, encoded: np.ndarray) -> np.ndarray:
        learned = encoded * self.scale + self.mean
        return self.shaped(self.columns.fill(learned, self.columns.values))

    def likelihood(self, n_members: int) -> Likelihood:
        if self.heteroscedastic:
            return HeteroscedasticLikelihood(n_members, len(self.mean), self.constant_first)
        return GaussianLikelihood(n_members, len(self.mean))

    def predictive(
        self,
        outputs: Sequence[Any],
        likelihood: Any,
        calibration: dict[str, Any] | None,
        centre: np.ndarray | None = None,
    ) -> NormalComponents:
        learned = self.uncalibrated(outputs, likelihood)
        mixture = learned.widened(self.columns, SMALLEST_VARIANCE)
        if calibration is None:
            return mixture
        return mixture.scaled(np.atleast_1d(calibration["scale"]), centre)

    def noise_std(self, variance: np.ndarray, calibration: dict[str, Any] | None) -> np.ndarray:
        """Standard deviation of the noise in the units of y: ``(n_outputs,)``.

        Parameters
        ----------
        variance : ndarray of shape (n_learned,)
            Of the encoded target.
        calibration : dict or None
        """
        learned = np.sqrt(variance) * self.scale
        std = self.columns.fill(learned, np.sqrt(SMALLEST_VARIANCE))
        return std if calibration is None else std * np.atleast_1d(calibration["scale"])

    def uncalibrated(self, outputs: Sequence[Any], likelihood: Any) -> NormalComponents:
        """What the networks say themselves, of the columns of y that vary."""
        if isinstance(outputs[0], GaussianOutputs):
            if not self.heteroscedastic:
                return self._of_gaussians(outputs, likelihood)
            # A variance that follows from a Gaussian output has no such formula.
            outputs = equally_likely_points(outputs)
        parts = [likelihood.distribution(raw, member) for member, raw in enumerate(outputs)]
        means = np.concatenate([part.mean.cpu().double().numpy() for part in parts])
        noise = np.concatenate([part.variance.cpu().double().numpy() for part in parts])
        return NormalMixture(means * self.scale + self.mean, noise * self.scale**2)

    def _of_gaussians(
        self, outputs: Sequence[GaussianOutputs], likelihood: GaussianLikelihood
    ) -> NormalComponents:
        """One Gaussian a member: its functions' mean and covariance, and its noise."""
        means = np.stack([member.mean.cpu().double().numpy() for member in outputs])
        noise = likelihood.variance.cpu().double().numpy() * self.scale**2
        covariance = np.stack([member.covariance.cpu().double().numpy() for member in outputs])
        covariance *= self.scale * self.scale[:, None]
        means = means * self.scale + self.mean
        if len(self.mean) > 1:
            return CorrelatedNormalMixture(means, noise, covariance)
        return NormalMixture(means, noise, covariance[..., 0])

    def calibrate(self, held_out: Sequence[HeldOut]) -> dict[str, Any]:
        mixtures = [self.uncalibrated(part.raws, part.likelihood) for part in held_out]
        targets = self._as_near_as_to_all(held_out, mixtures)
        weights = [part.weight for part in held_out]
        beside = [self._in_units(part.beside) for part in held_out if part.beside]
        scale = scale_of_std(mixtures, targets, weights, beside)

        def quality(when: str, by: np.ndarray | float) -> dict[str, Any]:
            return quality_of_mixtures(when, scaled_beside(mixtures, by, beside), targets, weights)

        return {
            "scale": float(scale[0]) if self.n_dimensions == 1 else self.columns.fill(scale, 1.0),
            **quality("before", 1.0),
            **quality("after", scale),
        }

    def _as_near_as_to_all(
        self, held_out: Sequence[HeldOut], mixtures: Sequence[NormalComponents]
    ) -> list[np.ndarray]:
        """Targets in the units of y, as far from the mean of who has not seen them as they are
        likely to be from the mean of all networks: ``(rows, n_learned)`` for each part.

        The errors of all rows shrink by the same factor, as the variance of single rows is known
        badly.
        """
        targets = [part.rows.y.numpy() * self.scale + self.mean for part in held_out]
        far = [part.too_far for part in held_out if part.too_far is not None]
        if len(far) < len(held_out):
            return targets
        errors = [y - mixture.mean() for y, mixture in zip(targets, mixtures, strict=True)]
        too_much = [v[:, : len(self.mean)].cpu().double().numpy() * self.scale**2 for v in far]
        weight = np.concatenate([part.weight for part in held_out])
        present = ~np.isnan(np.concatenate(errors))
        squares = weight @ np.where(present, np.concatenate(errors) ** 2, 0.0)
        excess = weight @ np.where(present, np.concatenate(too_much), 0.0)
        smaller = np.divide(excess, squares, out=np.zeros_like(excess), where=squares > 0)
        factor = np.sqrt(np.clip(1 - smaller, _NEAREST, 1.0))
        return [y + (factor - 1) * error for y, error in zip(targets, errors, strict=True)]

    def _in_units(self, beside: Sequence[Tensor]) -> np.ndarray:
        """What is added to means of the encoded y, in the units of y."""
        return torch.cat(list(beside))[..., : len(self.scale)].cpu().double().numpy() * self.scale

    def linked(self, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        means = raw[:, : len(self.scale)]
        return means, means

    def uncalibrated_size(self, calibration: dict[str, Any] | None) -> np.ndarray | float:
        if calibration is None:
            return 1.0
        scale = self.columns.select(np.atleast_1d(calibration["scale"])[None])[0]
        return np.concatenate([1 / scale, np.ones(len(scale) * self.heteroscedastic)])


class Counts(NumericTarget):
    """Columns of counts.

    Parameters
    ----------
    n_dimensions : int
        Of y: 1 or 2.
    columns : TargetColumns
    means : ndarray of shape (n_learned,)
        Mean counts of the training rows, of the columns that vary.
    """

    def __init__(self, n_dimensions: int, columns: TargetColumns, means: np.ndarray) -> None:
        self.n_dimensions, self.columns, self.means = n_dimensions, columns, means

    def attributes(self) -> dict[str, Any]:
        return {"n_outputs_": len(self.columns.constant), "out_activation_": "exp"}

    def encode(self, y: np.ndarray) -> np.ndarray:
        return self._learned(y).astype(np.float32)

    def decode(self, encoded: np.ndarray) -> np.ndarray:
        return self.shaped(self.columns.fill(encoded, self.columns.values))

    def likelihood(self, n_members: int) -> Likelihood:
        return PoissonLikelihood(n_members, torch.from_numpy(self.means.astype(np.float32)))

    def predictive(
        self,
        outputs: Sequence[Any],
        likelihood: Any,
        calibration: dict[str, Any] | None,
        centre: np.ndarray | None = None,
    ) -> Mixture:
        if isinstance(outputs[0], GaussianOutputs):
            # A count that follows from a Gaussian output has no formula.
            outputs = equally_likely_points(outputs)
        parts = [likelihood.distribution(raw, member) for member, raw in enumerate(outputs)]
        rates = np.concatenate([part.mean.cpu().double().numpy() for part in parts])
        return PoissonMixture(rates).widened(self.columns, SMALLEST_VARIANCE)

    def linked(self, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return raw, self.means * np.exp(raw)

    def uncalibrated_size(self, calibration: dict[str, Any] | None) -> float:
        return 1.0

    # The spread of counts follows from their mean.
    can_be_calibrated = False

    def calibrate(self, held_out: Sequence[HeldOut]) -> dict[str, Any]:
        raise NotImplementedError("counts have no number that calibration chooses")
