"""Pictures. matplotlib is imported when one is drawn."""

from ._dropout_rate import DropoutRateDisplay
from ._interval_coverage import IntervalCoverageDisplay
from ._risk_coverage import RiskCoverageDisplay
from ._uncertainty import UncertaintyDisplay

__all__ = [
    "DropoutRateDisplay",
    "IntervalCoverageDisplay",
    "RiskCoverageDisplay",
    "UncertaintyDisplay",
]
