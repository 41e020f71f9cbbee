"""Is an item atypical? Statistics of items under a flow, and p-values calibrated on held-out items."""

from flows.anomaly.calibration import Calibration, GroupVerdict, Verdict, benjamini_hochberg
from flows.anomaly.maps import RECIPES, AnomalyMap, MapCalibration, Recipe
from flows.anomaly.nonconformity import MINIMUM_ITEMS, NonconformityScores
from flows.anomaly.statistics import (
    STATISTICS,
    Test,
    names_of,
    pixel_nats,
    pixel_nats_of,
    statistics,
    statistics_and_pixels,
    tests_of,
)

__all__ = [
    "MINIMUM_ITEMS",
    "RECIPES",
    "STATISTICS",
    "AnomalyMap",
    "Calibration",
    "GroupVerdict",
    "MapCalibration",
    "NonconformityScores",
    "Recipe",
    "Test",
    "Verdict",
    "benjamini_hochberg",
    "names_of",
    "pixel_nats",
    "pixel_nats_of",
    "statistics",
    "statistics_and_pixels",
    "tests_of",
]
