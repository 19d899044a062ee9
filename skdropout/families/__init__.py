"""The noise families: kinds of dropout, each with its own parameters."""

from ._base import (
    FAMILIES,
    Family,
    GainMoments,
    LinearMoments,
    MultiplicativeLinear,
    NoisyLinear,
    PlainLinear,
)
from ._bayes_by_backprop import BayesByBackprop
from ._bernoulli import Bernoulli, BernoulliLinear
from ._concrete import Concrete
from ._gaussian import Gaussian
from ._noise import BlockNoise, NoiseSource, kinds_of
from ._none import Noiseless
from ._posterior import Posterior, WeightPosteriorLinear
from ._variational import Variational
from ._variational_gaussian import VariationalGaussian, VariationalGaussianLinear

__all__ = [
    "FAMILIES",
    "BayesByBackprop",
    "Bernoulli",
    "BernoulliLinear",
    "BlockNoise",
    "Concrete",
    "Family",
    "GainMoments",
    "Gaussian",
    "LinearMoments",
    "MultiplicativeLinear",
    "NoiseSource",
    "Noiseless",
    "NoisyLinear",
    "PlainLinear",
    "Posterior",
    "Variational",
    "VariationalGaussian",
    "VariationalGaussianLinear",
    "WeightPosteriorLinear",
    "kinds_of",
]
