"""Is an item atypical? Statistics of items under a flow, and p-values calibrated on held-out items."""

from flows.anomaly.calibration import Calibration, GroupVerdict, Verdict, benjamini_hochberg
from flows.anomaly.contributions import contributions
from flows.anomaly.cross_conformal import KEPT_ROWS, LEAST_ROWS, UNSEEN, CrossCalibration, has_mixtures
from flows.anomaly.maps import RECIPES, AnomalyMap, MapCalibration, Recipe
from flows.anomaly.martingales import BINS, BLOCK, LEVELS, Martingales, bins_of, bonferroni, cells
from flows.anomaly.members import ROW_STATISTICS, row_tests
from flows.anomaly.mixture import Mixture
from flows.anomaly.neighbours import Neighbours
from flows.anomaly.nonconformity import MINIMUM_ITEMS, NonconformityScores
from flows.anomaly.pictures import PICTURE_STATISTICS, PICTURE_TESTS, PictureCalibration
from flows.anomaly.renewal import combined_scores, p_values_before, renewed
from flows.anomaly.statistics import (
    STATISTICS,
    Test,
    names_of,
    pixel_nats,
    pixel_nats_of,
    statistics,
    statistics_and_pixels,
    tests_named,
    tests_of,
)

__all__ = [
    "BINS",
    "BLOCK",
    "KEPT_ROWS",
    "LEAST_ROWS",
    "LEVELS",
    "MINIMUM_ITEMS",
    "PICTURE_STATISTICS",
    "PICTURE_TESTS",
    "RECIPES",
    "ROW_STATISTICS",
    "STATISTICS",
    "UNSEEN",
    "AnomalyMap",
    "Calibration",
    "CrossCalibration",
    "GroupVerdict",
    "MapCalibration",
    "Martingales",
    "Mixture",
    "Neighbours",
    "NonconformityScores",
    "PictureCalibration",
    "Recipe",
    "Test",
    "Verdict",
    "benjamini_hochberg",
    "bins_of",
    "bonferroni",
    "cells",
    "combined_scores",
    "contributions",
    "has_mixtures",
    "names_of",
    "p_values_before",
    "pixel_nats",
    "pixel_nats_of",
    "renewed",
    "row_tests",
    "statistics",
    "statistics_and_pixels",
    "tests_named",
    "tests_of",
]
