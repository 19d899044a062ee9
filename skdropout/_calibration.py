"""Calibration as a part of `fit`: rows that are new to networks, and what these say there."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import is_classifier
from torch import Tensor

from ._random import local_random_state, new_seed
from ._rounds import fixed_draws
from ._trained import Trained
from .calibration import folds
from .caller_warnings import warn
from .draws import evaluate
from .likelihood import Likelihood
from .rows import Rows
from .stacking import Job, train_jobs
from .training import DropoutNet, NonFiniteLossError

# Draws of the networks that calibrate: a few per cent of error in the spread between them.
_CALIBRATION_DRAWS = 50


class HeldOut(NamedTuple):
    """What networks say about rows that they were not trained on.

    Attributes
    ----------
    likelihood : Likelihood
        Theirs.
    raws : list of Tensor of shape (n_draws, rows, n_raw), one per member
    rows : Rows
    """

    likelihood: Likelihood
    raws: list[Tensor]
    rows: Rows

    @property
    def weight(self) -> np.ndarray:
        """Of the rows; ones if they have none."""
        weight = self.rows.weight
        return np.ones(len(self.rows)) if weight is None else weight.cpu().double().numpy()


class CalibratedInFit(Trained):
    """An estimator whose `fit` chooses one number on rows that were new to a network.

    Subclasses say which number, and how a network is trained.
    """

    @abstractmethod
    def _make_job(self, rows: Rows, validation: Rows | None, seed: int, quiet: bool = False) -> Job:
        """A job over rows; a quiet one neither warns nor calls the user back."""

    @abstractmethod
    def _calibration(self, held_out: list[HeldOut]) -> dict[str, Any]:
        """Choose the number, and say how good predictions are without and with it.

        Parameters
        ----------
        held_out : list of HeldOut
            At least one part.

        Returns
        -------
        dict
            Entries of `calibration_`.
        """

    def _calibrate(self, job: Job) -> None:
        """Set `calibration_` from rows that are new to the networks, if the user wants it."""
        if self.net_.interrupted:
            # Who ends the training does not wait for more networks.
            return
        parts = self._fold_jobs(job)
        try:
            nets = train_jobs([fold for fold, _ in parts])
        except KeyboardInterrupt:
            warn(
                f"{type(self).__name__}: calibration interrupted by the user; the model is "
                "trained, but its predictions are not calibrated"
            )
            return
        self._set_calibration(job, parts, nets)

    def _set_calibration(self, job: Job, parts: list[tuple[Job, np.ndarray]], nets: list) -> None:
        """The same, given what `_fold_jobs` said and the nets that were trained so."""
        self.calibration_ = None
        if not self.calibrate or not self._can_calibrate():
            return
        held_out = self._held_out(job, parts, nets)
        if held_out:
            self.calibration_ = {
                "method": "held-out part" if self.early_stopping else "out-of-fold",
                "n_rows": sum(len(part.rows) for part in held_out),
                **self._calibration(held_out),
            }

    def _can_calibrate(self) -> bool:
        """Whether there is a number to choose."""
        return True

    def _fold_jobs(self, job: Job) -> list[tuple[Job, np.ndarray]]:
        """Networks to be trained without some rows of a job, and which rows these are."""
        if not self.calibrate or job.validation is not None or not self._can_calibrate():
            return []
        rows, rng = job.rows, local_random_state(job.members[0].seed)
        jobs = []
        for part in folds(len(rows), rng, rows.y.numpy() if is_classifier(self) else None):
            training = rows.part(torch.from_numpy(np.delete(np.arange(len(rows)), part)))
            jobs.append((self._make_job(training, None, new_seed(rng), quiet=True), part))
        return jobs

    def _held_out(self, job: Job, parts: list[tuple[Job, np.ndarray]], nets: list) -> list[HeldOut]:
        """Rows, and what networks say about them that were not trained on them."""
        held_out = []
        if job.validation is not None:
            held_out.append(self._outputs(self.net_, job.validation))
        for net, (_, part) in zip(nets, parts, strict=True):
            if isinstance(net, NonFiniteLossError):
                raise ValueError(self._divergence(net, job.rows)) from net
            # The weights of all parts together count, so those of one keep their mean.
            held_out.append(self._outputs(net, Rows(*job.rows[torch.from_numpy(part)])))
        return held_out

    def _outputs(self, net: DropoutNet, rows: Rows) -> HeldOut:
        """What a net says about rows, in a few draws."""
        stack = net.module_
        n_draws = min(fixed_draws(self.n_draws), _CALIBRATION_DRAWS)
        with torch.inference_mode():
            plain = stack.draw(n_draws) if n_draws and stack.noisy else stack.plain()
            chunks = [raws for _, raws in evaluate(plain, rows.x.to(net.device))]
            raws = [torch.cat(parts, 1) for parts in zip(*chunks, strict=True)]
        return HeldOut(net.criterion_, raws, rows)
