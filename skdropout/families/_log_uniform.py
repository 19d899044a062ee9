"""The divergence of Gaussian noise from a log-uniform prior, which two families share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Molchanov, Ashukha and Vetrov (2017), equation 14.
K1, K2, K3 = 0.63576, 1.87320, 1.48695


def log_uniform_kl(log_alpha: Tensor) -> Tensor:
    """Divergence of ``N(m, alpha m^2)`` from the log-uniform prior, whatever m, elementwise.

    Up to a constant: zero for infinite alpha.
    """
    gate = torch.sigmoid(K2 + K3 * log_alpha)
    # log(1 + 1 / alpha) is the softplus of -log_alpha.
    return 0.5 * nn.functional.softplus(-log_alpha) + K1 * (1 - gate)


def log_uniform_kl_slope(log_alpha: Tensor) -> Tensor:
    """Derivative of `log_uniform_kl`."""
    gate = torch.sigmoid(K2 + K3 * log_alpha)
    return -0.5 * torch.sigmoid(-log_alpha) - K1 * K3 * gate * (1 - gate)
