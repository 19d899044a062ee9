"""Neural networks with dropout as scikit-learn estimators that say how sure they are."""

from importlib.metadata import version

from . import decision, displays, families, metrics, model_selection, preprocessing
from ._estimators.classifier import DropoutMLPClassifier
from ._estimators.regressor import DropoutMLPRegressor
from ._predictive.uncertainty import Uncertainty
from ._wrappers.wrapped import predict_interval, predict_quantiles, predict_uncertainty

__version__ = version("skdropout")

__all__ = [
    "DropoutMLPClassifier",
    "DropoutMLPRegressor",
    "Uncertainty",
    "decision",
    "displays",
    "families",
    "metrics",
    "model_selection",
    "predict_interval",
    "predict_quantiles",
    "predict_uncertainty",
    "preprocessing",
]
