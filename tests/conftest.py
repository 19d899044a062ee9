"""Data that many tests share, and one torch thread a process: the tests run in parallel.

With `OMP_NUM_THREADS` in the environment, as many.
"""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification, make_regression

from skdropout._support import device

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))

# skrub makes a folder in the home directory when it is imported.
os.environ.setdefault("SKB_DATA_DIRECTORY", str(Path(tempfile.gettempdir(), "skrub_data")))


def pytest_addoption(parser):
    parser.addoption(
        "--gpu", action="store_true", help='device="auto" takes the GPU for the smallest stack too'
    )


def pytest_configure(config):
    if config.getoption("--gpu"):
        assert torch.cuda.is_available(), "--gpu needs a GPU that torch finds"
        device._WORTH_A_GPU = 0


@pytest.fixture
def in_float64(monkeypatch):
    """Networks train in float64, for laws that say that two trainings end in the same place.

    In float32 they part in the seventh digit, and training makes that grow: a unit of a rectifier
    that is just on in one and just off in the other, a gradient that is nothing but rounding and
    that Adam divides by its size. What happens depends on the processor. In float64 there is no
    room for that within a few hundred steps, and the same lines of the package run.
    """
    from_numpy, single, default = torch.from_numpy, torch.float32, torch.get_default_dtype()

    def widened(array):
        tensor = from_numpy(array)
        return tensor.double() if tensor.dtype == single else tensor

    monkeypatch.setattr(torch, "float32", torch.float64)
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    monkeypatch.setattr(torch, "from_numpy", widened)
    # A quotient of two integers has it.
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(default)


@pytest.fixture(scope="session")
def two_classes():
    return make_classification(120, 5, n_informative=3, n_redundant=0, random_state=0)


@pytest.fixture(scope="session")
def three_classes():
    return make_classification(150, 5, n_informative=4, n_redundant=0, n_classes=3, random_state=0)


@pytest.fixture(scope="session")
def real_target():
    X, y = make_regression(120, 5, noise=5.0, random_state=0)
    return X, y + 100.0


@pytest.fixture(scope="session")
def two_targets():
    X, y = make_regression(120, 5, n_targets=2, noise=5.0, random_state=0)
    return X, y * np.array([1.0, 0.01]) + np.array([0.0, 7.0])
