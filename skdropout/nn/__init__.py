"""Modules of torch for networks of your own: dropouts that torch has not, and a small network."""

from ._convnet import ConvNet
from ._dropout import ConcreteDropout, GaussianDropout

__all__ = ["ConcreteDropout", "ConvNet", "GaussianDropout"]
