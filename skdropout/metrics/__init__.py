"""Scores of uncertainty, and ready scorers."""

from .referral import (
    RiskCoverageCurve,
    aurc_score,
    coverage_at_risk,
    excess_aurc_score,
    referral_accuracy_score,
    risk_at_coverage,
    risk_coverage_curve,
)
from .scorers import make_referral_scorer, neg_aurc_scorer, neg_excess_aurc_scorer

__all__ = [
    "RiskCoverageCurve",
    "aurc_score",
    "coverage_at_risk",
    "excess_aurc_score",
    "make_referral_scorer",
    "neg_aurc_scorer",
    "neg_excess_aurc_scorer",
    "referral_accuracy_score",
    "risk_at_coverage",
    "risk_coverage_curve",
]
