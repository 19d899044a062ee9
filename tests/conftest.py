"""Data that many tests share, and one torch thread a process: the tests run in parallel."""

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification, make_regression

from skdropout._support import device

torch.set_num_threads(1)


def pytest_addoption(parser):
    parser.addoption(
        "--gpu", action="store_true", help='device="auto" takes the GPU for the smallest stack too'
    )


def pytest_configure(config):
    if config.getoption("--gpu"):
        assert torch.cuda.is_available(), "--gpu needs a GPU that torch finds"
        device._WORTH_A_GPU = 0


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
