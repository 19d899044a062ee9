"""Rows that are new to networks, and what these say there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._inference.draws import evaluate
from .._likelihoods.base import Likelihood
from .._training.net import DropoutNet
from .._training.rows import Rows

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


def held_out(net: DropoutNet, rows: Rows, n_draws: int) -> HeldOut:
    """What a net says about rows, in a few draws.

    Parameters
    ----------
    net : DropoutNet
    rows : Rows
        That it was not trained on.
    n_draws : int
        Of the predictions; no more than a few are made.
    """
    stack, n_draws = net.module_, min(n_draws, _CALIBRATION_DRAWS)
    with torch.inference_mode():
        plain = stack.draw(n_draws) if n_draws and stack.noisy else stack.plain()
        chunks = [raws for _, raws in evaluate(plain, rows.x.to(net.device))]
        raws = [torch.cat(parts, 1) for parts in zip(*chunks, strict=True)]
    return HeldOut(net.criterion_, raws, rows)
