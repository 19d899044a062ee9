"""The noise families: kinds of dropout, each with its own parameters."""

from .._support.members import join_members, select_members
from ._base import FAMILIES, Family, NoisyLinear, Posterior
from ._bayes_by_backprop import BayesByBackprop
from ._bernoulli import Bernoulli, BernoulliLinear
from ._concrete import Concrete
from ._gaussian import Gaussian
from ._maps import GainMoments, LinearMoments, PlainLinear
from ._multiplicative import MultiplicativeLinear
from ._noise import BlockNoise, NoiseSource, NoiseStreams, kinds_of
from ._none import Noiseless
from ._reverse import PlainProduct, ReversePass
from ._variational import Variational
from ._variational_gaussian import VariationalGaussian, VariationalGaussianLinear
from ._weights import WeightPosteriorLinear

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
    "NoiseStreams",
    "Noiseless",
    "NoisyLinear",
    "PlainLinear",
    "PlainProduct",
    "Posterior",
    "ReversePass",
    "Variational",
    "VariationalGaussian",
    "VariationalGaussianLinear",
    "WeightPosteriorLinear",
    "join_members",
    "kinds_of",
    "select_members",
]
