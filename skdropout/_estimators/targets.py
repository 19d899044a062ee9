"""What y is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._likelihoods.base import Likelihood
from .._networks.plain import MomentStack
from .._networks.stack import Stack
from .held_out import HeldOut


class Target(ABC):
    """How y becomes what a network is trained on, and what its outputs say of y.

    It follows from the training rows and does not change afterwards.

    Attributes
    ----------
    can_be_calibrated : bool
        Whether there is a number that `calibrate` chooses.
    """

    can_be_calibrated: Any

    @abstractmethod
    def attributes(self) -> dict[str, Any]:
        """Fitted attributes of the estimator that say what y is."""

    @abstractmethod
    def encode(self, y: np.ndarray) -> np.ndarray:
        """Targets as the likelihood takes them, from checked ones in the units of y."""

    @abstractmethod
    def decode(self, encoded: np.ndarray) -> np.ndarray:
        """Targets in the units of y, from what `encode` made of them."""

    @abstractmethod
    def strata(self, encoded: np.ndarray) -> np.ndarray | None:
        """What a split should keep the shares of, from encoded targets; None for nothing."""

    @abstractmethod
    def kept_for_training(
        self, encoded: np.ndarray, share: float, quiet: bool = False
    ) -> np.ndarray:
        """Which rows no part is held out of: ``(rows,)``, bool.

        Parameters
        ----------
        encoded : ndarray
        share : float
            Of the rows that are to be held out.
        quiet : bool, default=False
            Do not warn of classes that no rows are held out of.
        """

    @abstractmethod
    def likelihood(self, n_members: int) -> Likelihood:
        """A new likelihood for a stack."""

    @abstractmethod
    def responses(self, encoded: np.ndarray) -> np.ndarray:
        """Encoded targets as numbers, a column for each raw output that says a mean."""

    @abstractmethod
    def linked(self, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What raw outputs ``(rows, n_raw)`` say of `responses`: linear predictors, and means."""

    @abstractmethod
    def moments(self, stack: Stack) -> MomentStack:
        """Moments of what the predictive distribution is made from."""

    @abstractmethod
    def predictive(
        self, outputs: Sequence[Any], likelihood: Any, calibration: dict[str, Any] | None
    ) -> Any:
        """Predictive distribution of rows, in the units of y.

        Parameters
        ----------
        outputs : sequence of Tensor of shape (n_draws, rows, n_raw) or GaussianOutputs
            Raw outputs, one entry per member.
        likelihood : Likelihood
            Of the members.
        calibration : dict or None
            What `calibrate` returned. None is none.
        """

    @abstractmethod
    def calibrate(self, held_out: Sequence[HeldOut]) -> dict[str, Any]:
        """Choose one number on rows that were new to networks.

        Parameters
        ----------
        held_out : sequence of HeldOut
            At least one part.

        Returns
        -------
        dict
            The number, and how good predictions are without and with it.
        """

    @abstractmethod
    def uncalibrated_size(self, calibration: dict[str, Any] | None) -> np.ndarray | float:
        """Of a raw output that calibration is to leave at size one: ``(n_raw,)``, or of all."""

    @abstractmethod
    def out_of_fold(
        self, mean: np.ndarray, total: np.ndarray, square: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Fitted attributes for what members say about rows that they have not seen.

        Parameters
        ----------
        mean, total, square : ndarray
            Averages over the folds that a row is in: of the prediction, of its total variance and
            of its square; NaN for rows in none.
        """
