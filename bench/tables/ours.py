"""Sluice's figures on one split of a table: AUROC, false alarms, contributions, missing cells, seconds."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from bench.tables.splits import Rows, auroc, nearest_with_medians, split, swapped, with_gaps
from trainer.detector import FlowDetector

ALPHAS = (0.10, 0.05, 0.01)
DETECTED_AT = 0.05
"""Rows with a swapped cell count as detected when their p-value is at most this."""
LARGEST_SWAPPED = 200
"""Rows with a swapped cell at most: contributions need many passes of each."""
_ITEMS = 1000
"""Rows with missing cells at most: each is completed in many ways."""


def measured(name: str, ordinary: Rows, anomalous: Rows, seed: int, contributions: bool) -> dict[str, Any]:
    """The figures of one split. Runs in one thread."""
    torch.set_num_threads(1)
    parts = split(ordinary, anomalous, seed)
    began = time.process_time()
    detector = FlowDetector().fit(parts.train)
    seconds = time.process_time() - began
    p_values, foreign = detector.p_values(parts.ordinary), detector.p_values(parts.anomalous)
    scores = [detector.log_likelihood(rows) for rows in (parts.ordinary, parts.anomalous)]
    found = {
        "table": name,
        "seed": seed,
        "rows": len(parts.train),
        "columns": parts.train.shape[1],
        "calibration": detector.n_calibration_,
        "seconds": seconds,
        "auroc": auroc(-p_values, -foreign),
        "auroc_score": auroc(-detector.score_samples(parts.ordinary), -detector.score_samples(parts.anomalous)),
        "auroc_likelihood": auroc(-scores[0], -scores[1]),
        "auroc_tests": _by_test(detector, parts.ordinary, parts.anomalous),
        "tested": len(p_values),
        "alarms": _alarms(p_values),
    }
    if contributions:
        found |= _columns_found(detector, parts.ordinary[:LARGEST_SWAPPED], p_values[:LARGEST_SWAPPED], seed)
    return found


def measured_with_gaps(name: str, ordinary: Rows, anomalous: Rows, seed: int, share: float) -> dict[str, Any]:
    """AUROC and false alarms with a share of all cells missing, in training and test, beside kNN with medians."""
    torch.set_num_threads(1)
    parts = split(ordinary, anomalous, seed)
    whole = (parts.train, parts.ordinary[:_ITEMS], parts.anomalous[:_ITEMS])
    train, ordinary, anomalous = (with_gaps(rows, share, seed + 1000 * k) for k, rows in enumerate(whole))
    detector = FlowDetector().fit(train)
    p_values, foreign = detector.p_values(ordinary), detector.p_values(anomalous)
    return {
        "table": name,
        "seed": seed,
        "missing": share,
        "calibration": detector.n_calibration_,
        "auroc": auroc(-p_values, -foreign),
        "auroc_nearest": auroc(*nearest_with_medians(train, ordinary, anomalous)),
        "auroc_nearest_whole": auroc(*nearest_with_medians(*whole)),
        "tested": len(p_values),
        "alarms": _alarms(p_values),
    }


def _alarms(p_values: np.ndarray) -> dict[str, int]:
    return {str(alpha): int((p_values <= alpha).sum()) for alpha in ALPHAS}


def _columns_found(detector: FlowDetector, rows: Rows, before: np.ndarray, seed: int) -> dict[str, int]:
    """In how many rows the column of the swapped cell comes first, for rows that only the swap made anomalous."""
    damaged, columns = swapped(rows, seed)
    alarming = detector.p_values(damaged) <= DETECTED_AT
    if not alarming.any():
        return {"alarming": 0, "detected": 0}
    gain, _ = detector.contributions(damaged[alarming])
    right = gain.argmax(axis=1) == columns[alarming]
    by_swap = before[alarming] > DETECTED_AT
    by_z = np.abs(damaged[alarming]).argmax(axis=1) == columns[alarming]
    return {
        "alarming": int(alarming.sum()),
        "alarming_by_contribution": int(right.sum()),
        "detected": int(by_swap.sum()),
        "by_contribution": int(right[by_swap].sum()),
        "by_z": int(by_z[by_swap].sum()),
    }


def _by_test(detector: FlowDetector, ordinary: Rows, anomalous: Rows) -> dict[str, float]:
    """The AUROC of each test's own p-value."""
    verdicts = [
        detector.calibration_.judge(torch.from_numpy(rows.astype(np.float32))).tests for rows in (ordinary, anomalous)
    ]
    return {name: auroc(-verdicts[0][name].numpy(), -verdicts[1][name].numpy()) for name in verdicts[0]}
