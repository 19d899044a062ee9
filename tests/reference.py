"""The independent routes: the same networks in plain torch, and the data to fit them to."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from skdropout._estimators.answering import functions_of
from skdropout._estimators.described import describe
from skdropout._estimators.fitting import Fitting, prepare
from skdropout._inference.functions import reduce
from skdropout.families import FAMILIES

ESTIMATORS = [DropoutMLPClassifier, DropoutMLPRegressor]
DROPOUTS = [None, *FAMILIES]
NORMALIZATIONS = [None, "batch", "layer"]
# Every family, and each normalization with families of three kinds: with a fixed rate, with one
# that is learned, and with a posterior over the weights.
NETWORKS = [
    *((dropout, None) for dropout in DROPOUTS),
    ("bernoulli", "batch"),
    ("bernoulli", "layer"),
    ("concrete", "layer"),
    ("bayes_by_backprop", "batch"),
]

ONE_NETWORK: dict[str, Any] = {
    "cv": None,
    "early_stopping": False,
    "calibrate": False,
    "input_encoding": None,
}
"""One training on all rows, with columns as they come."""

CROSS_FITTED: dict[str, Any] = {"cv": 5, "early_stopping": True, "calibrate": True}
"""One network for each fold, as by default."""

# No epoch improves by 10 nats, so training converges after 2 + 5 epochs, without a warning.
QUICK: dict[str, Any] = {
    **ONE_NETWORK,
    "tol": 10.0,
    "n_iter_no_change": 5,
    "learning_rate": "constant",
    "random_state": 0,
}

ACTIVATION_MODULES = {
    "identity": nn.Identity,
    "logistic": nn.Sigmoid,
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
}


class GaussianDropout(nn.Module):
    """Gaussian dropout by hand: ``x (1 + sqrt(rate / (1 - rate)) eps)`` in train mode."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.std = (rate / (1 - rate)) ** 0.5

    def forward(self, x: Tensor) -> Tensor:
        return x * (1 + self.std * torch.randn_like(x)) if self.training else x


NOISE_MODULES: dict[str, type[nn.Module]] = {
    "bernoulli": nn.Dropout,
    "gaussian": GaussianDropout,
}
"""The families that plain torch can write in a line."""


def quick(estimator_class: type, **parameters: Any) -> Any:
    """An estimator that trains for seven epochs."""
    return estimator_class(**{"hidden_layer_sizes": (8,), **QUICK, **parameters})


def fitting_of(model: Any, X: Any, y: Any, sample_weight: Any = None) -> Fitting:
    """What the model's `fit` has to train."""
    return prepare(model, describe(model, X, y, sample_weight))


def function_means(model: Any, X: np.ndarray) -> np.ndarray:
    """What each function of a fitted regressor says: ``(rows, n_functions, n_outputs)``."""

    def means(outputs: list) -> tuple[np.ndarray]:
        return (np.moveaxis(model._predictive(outputs).means, 0, 1),)

    return reduce(functions_of(model), X, means)[0]


def target(estimator_class: type, y: np.ndarray) -> np.ndarray:
    """Labels 0 and 1 as they are for a classifier, spread out for a regressor."""
    if estimator_class is DropoutMLPClassifier:
        return y
    return y + 0.1 * np.random.default_rng(0).standard_normal(len(y))


def ten_columns_that_decide(n_rows: int, n_columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Two classes, which the first 10 columns decide but for some noise; the others say nothing."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, n_columns))
    effect = rng.choice([-1, 1], 10) * rng.uniform(0.7, 1.3, 10)
    return X, (X[:, :10] @ effect + 0.5 * rng.standard_normal(n_rows) > 0).astype(int)


def twin(estimator: Any, member: int = 0) -> nn.Sequential:
    """The fitted network of one member in plain torch, float64, in eval mode."""
    return stack_twin(estimator.net_.module_, member)


def stack_twin(stack: Any, member: int = 0) -> nn.Sequential:
    """One member of a stack in plain torch, float64, in eval mode."""
    architecture, rates = stack.architecture, stack.members[member].rates
    noise = NOISE_MODULES.get(getattr(stack.members[member].family, "name", "none"))
    modules: list[nn.Module] = []
    for depth, linear in enumerate(stack.linears):
        if noise is not None and rates[depth] > 0:
            modules.append(noise(rates[depth]))
        modules.append(_linear(linear, member))
        if depth < len(stack.linears) - 1:
            if stack.norms:
                modules.append(_norm(stack.norms[depth], member, architecture.normalization))
            modules.append(ACTIVATION_MODULES[architecture.activation]())
    return nn.Sequential(*modules).double().eval()


@torch.no_grad()
def _linear(linear: Any, member: int) -> nn.Linear:
    module = nn.Linear(*linear.weight.shape[1:])
    module.weight.copy_(linear.weight[member].T)
    module.bias.copy_(linear.bias[member, 0])
    return module


@torch.no_grad()
def _norm(norm: Any, member: int, name: str) -> nn.Module:
    width = norm.scale.shape[1]
    module = nn.BatchNorm1d(width) if name == "batch" else nn.LayerNorm(width)
    module.weight.copy_(norm.scale[member])
    module.bias.copy_(norm.shift[member])
    if name == "batch":
        module.running_mean.copy_(norm.mean[member])
        module.running_var.copy_(norm.variance[member])
    return module


def noisy_passes(network: nn.Sequential, X: np.ndarray, n_passes: int, seed: int) -> np.ndarray:
    """Raw outputs of a plain loop with the noise in train mode: ``(n_passes, rows, n_raw)``.

    In train mode each row has noise of its own, so a batch that holds every row 50 times is 50
    passes; the loop goes over batches.
    """
    for module in network:
        if isinstance(module, tuple(NOISE_MODULES.values())):
            module.train()
    x = torch.as_tensor(X, dtype=torch.float64).repeat(50, 1)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        passes = [network(x).numpy().reshape(50, *X.shape[:1], -1) for _ in range(n_passes // 50)]
    network.eval()
    return np.concatenate(passes)


def raw_outputs(network: nn.Sequential, X: np.ndarray) -> np.ndarray:
    """Raw outputs of the network without noise."""
    with torch.no_grad():
        return network(torch.as_tensor(X, dtype=torch.float64)).numpy()


def sigmoid(raw: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-raw))


def softmax(raw: np.ndarray) -> np.ndarray:
    exponent = np.exp(raw - raw.max(-1, keepdims=True))
    return exponent / exponent.sum(-1, keepdims=True)
