"""Neural networks with dropout as scikit-learn estimators that say how sure they are."""

from importlib.metadata import version

from . import decision, displays, families, metrics, model_selection, nn, preprocessing
from ._estimators.classifier import DropoutMLPClassifier
from ._estimators.module_classifier import DropoutModuleClassifier
from ._estimators.module_regressor import DropoutModuleRegressor
from ._estimators.regressor import DropoutMLPRegressor
from ._predictive.uncertainty import Uncertainty
from ._wrappers.wrapped import predict_interval, predict_quantiles, predict_uncertainty

__version__ = version("skdropout")

__all__ = [
    "DropoutMLPClassifier",
    "DropoutMLPRegressor",
    "DropoutModuleClassifier",
    "DropoutModuleRegressor",
    "Uncertainty",
    "decision",
    "displays",
    "families",
    "metrics",
    "model_selection",
    "nn",
    "predict_interval",
    "predict_quantiles",
    "predict_uncertainty",
    "preprocessing",
]
