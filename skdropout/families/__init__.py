"""The noise families: kinds of dropout, each with its own parameters."""

from ._base import FAMILIES, Family, MultiplicativeLinear, NoisyLinear, PlainLinear
from ._bernoulli import Bernoulli
from ._gaussian import Gaussian
from ._noise import NoiseSource
from ._none import Noiseless

__all__ = [
    "FAMILIES",
    "Bernoulli",
    "Family",
    "Gaussian",
    "MultiplicativeLinear",
    "NoiseSource",
    "Noiseless",
    "NoisyLinear",
    "PlainLinear",
]
