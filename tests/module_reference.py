"""Modules as people have them, and plain loops over them in train mode: the independent route."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skdropout import DropoutModuleClassifier, DropoutModuleRegressor
from skdropout.nn import ConvNet, GaussianDropout

MODULE_ESTIMATORS = [DropoutModuleClassifier, DropoutModuleRegressor]

ONE_MODULE: dict[str, Any] = {"cv": None, "early_stopping": False, "calibrate": False}
"""One training on all rows."""


class Dense(nn.Module):
    """One hidden layer, as `DropoutMLPClassifier` has it."""

    def __init__(
        self,
        input_shape: tuple[int, ...],
        n_outputs: int,
        width: int = 16,
        dropout_rate: float = 0.2,
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(input_shape[0], width),
            nn.ReLU(),
            nn.Dropout(dropout_rate),
            nn.Linear(width, n_outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Functional(nn.Module):
    """Drops with functions, and adds what was before: a residual block."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = x + F.dropout(self.first(x).relu(), 0.3, training=self.training)
        return self.last(F.dropout(x, 0.2, self.training))


class Convolutions(nn.Module):
    """Batch normalization, and dropout behind it; spatial or element by element."""

    def __init__(self, spatial: bool) -> None:
        super().__init__()
        drop = nn.Dropout2d(0.3) if spatial else nn.Dropout(0.3)
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), drop, nn.Flatten(), nn.Linear(64, 2)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.unsqueeze(1))


def _hidden(*noise: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), *noise, nn.Linear(8, 2))


NETWORKS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "dense": (lambda: _hidden(nn.Dropout(0.4)), (6,)),
    "after batch norm": (
        lambda: nn.Sequential(
            nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.4), nn.Linear(8, 2)
        ),
        (6,),
    ),
    "functional, residual": (Functional, (6,)),
    "alpha": (lambda: _hidden(nn.AlphaDropout(0.2)), (6,)),
    "feature alpha": (lambda: _hidden(nn.FeatureAlphaDropout(0.2)), (6,)),
    "gaussian": (lambda: _hidden(GaussianDropout(0.3)), (6,)),
    "one channel or none": (
        lambda: nn.Sequential(
            nn.Conv1d(2, 4, 3), nn.Dropout1d(0.3), nn.Flatten(), nn.Linear(16, 2)
        ),
        (2, 6),
    ),
    "three axes": (
        lambda: nn.Sequential(
            nn.Conv3d(1, 3, 2), nn.Dropout3d(0.3), nn.Flatten(), nn.Linear(24, 2)
        ),
        (1, 3, 3, 3),
    ),
    "convolution": (lambda: Convolutions(spatial=False), (6, 6)),
    "spatial": (lambda: Convolutions(spatial=True), (6, 6)),
    "convnet": (lambda: ConvNet((3, 4), (8,), input_shape=(6, 6), n_outputs=2), (6, 6)),
}
"""A module and the shape of its rows, by what is special about it."""


def network(name: str, seed: int = 0) -> tuple[nn.Module, Tensor]:
    """A module whose batch statistics are not those that it starts with, and some rows."""
    make, shape = NETWORKS[name]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module, rows = make(), torch.randn(12, *shape)
        module.train()
        module(torch.randn(50, *shape) + 1)
    return module.eval(), rows


def in_train_mode(module: nn.Module, rows: Tensor, n_passes: int, seed: int) -> np.ndarray:
    """Outputs of a plain loop with dropout on and all else in evaluation: passes first."""
    module = copy.deepcopy(module).eval()
    for part in module.modules():
        if "Dropout" in type(part).__name__ or isinstance(part, Functional):
            part.train()
    module.training = True
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        return torch.stack([module(rows) for _ in range(n_passes)]).numpy()
