"""Scores of uncertainty, and ready scorers."""

from .calibration import expected_calibration_error
from .predictive import (
    crps_loss,
    interval_coverage_score,
    interval_score_loss,
    log_predictive_density_score,
    sample_crps_loss,
)
from .predictive_scorers import (
    log_predictive_density_scorer,
    make_calibration_error_scorer,
    make_interval_score_scorer,
    neg_brier_scorer,
    neg_crps_scorer,
    neg_expected_calibration_error_scorer,
    neg_interval_score_scorer,
)
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
    "crps_loss",
    "excess_aurc_score",
    "expected_calibration_error",
    "interval_coverage_score",
    "interval_score_loss",
    "log_predictive_density_score",
    "log_predictive_density_scorer",
    "make_calibration_error_scorer",
    "make_interval_score_scorer",
    "make_referral_scorer",
    "neg_aurc_scorer",
    "neg_brier_scorer",
    "neg_crps_scorer",
    "neg_excess_aurc_scorer",
    "neg_expected_calibration_error_scorer",
    "neg_interval_score_scorer",
    "referral_accuracy_score",
    "risk_at_coverage",
    "risk_coverage_curve",
    "sample_crps_loss",
]
