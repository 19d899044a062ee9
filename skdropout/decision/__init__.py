"""Decisions: keep what the model is sure of and refer the rest, with a guarantee."""

from ._fixed import FixedReferralClassifier
from ._regressors import FixedReferralRegressor, TunedReferralRegressorCV
from ._tuned import TunedReferralClassifierCV

__all__ = [
    "FixedReferralClassifier",
    "FixedReferralRegressor",
    "TunedReferralClassifierCV",
    "TunedReferralRegressorCV",
]
