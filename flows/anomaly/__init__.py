"""Is this input atypical? Statistics of an item under a flow, and calibrated p-values from a held-out set."""

from flows.anomaly.calibration import Calibration, GroupVerdict, Verdict, benjamini_hochberg
from flows.anomaly.statistics import STATISTICS, Test, names_of, statistics, tests_of
from flows.anomaly.strangeness import LEAST

__all__ = [
    "LEAST",
    "STATISTICS",
    "Calibration",
    "GroupVerdict",
    "Test",
    "Verdict",
    "benjamini_hochberg",
    "names_of",
    "statistics",
    "tests_of",
]
