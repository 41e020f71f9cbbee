"""Is an item atypical? Statistics of items under a flow, and p-values calibrated on held-out items."""

from flows.anomaly.calibration import Calibration, GroupVerdict, Verdict, benjamini_hochberg
from flows.anomaly.nonconformity import MINIMUM_ITEMS, NonconformityScores
from flows.anomaly.statistics import STATISTICS, Test, names_of, statistics, tests_of

__all__ = [
    "MINIMUM_ITEMS",
    "STATISTICS",
    "Calibration",
    "GroupVerdict",
    "NonconformityScores",
    "Test",
    "Verdict",
    "benjamini_hochberg",
    "names_of",
    "statistics",
    "tests_of",
]
