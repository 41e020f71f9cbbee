"""Sluice's figures on one split of a table: AUROC, false alarms, contributions, seconds."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from bench.tables.splits import Rows, auroc, split, swapped
from trainer.detector import FlowDetector

ALPHAS = (0.10, 0.05, 0.01)
DETECTED_AT = 0.05
"""Rows with a swapped cell count as detected when their p-value is at most this."""
LARGEST_SWAPPED = 200
"""Rows with a swapped cell at most: contributions need many passes of each."""


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
        "alarms": {str(alpha): int((p_values <= alpha).sum()) for alpha in ALPHAS},
    }
    if contributions:
        damaged, columns = swapped(parts.ordinary[:LARGEST_SWAPPED], seed)
        detected = detector.p_values(damaged) <= DETECTED_AT
        if detected.any():
            gain, _ = detector.contributions(damaged[detected])
            found["detected"] = int(detected.sum())
            found["by_contribution"] = int((gain.argmax(axis=1) == columns[detected]).sum())
            found["by_z"] = int((np.abs(damaged[detected]).argmax(axis=1) == columns[detected]).sum())
    return found


def _by_test(detector: FlowDetector, ordinary: Rows, anomalous: Rows) -> dict[str, float]:
    """The AUROC of each test's own p-value."""
    verdicts = [
        detector.calibration_.judge(torch.from_numpy(rows.astype(np.float32))).tests for rows in (ordinary, anomalous)
    ]
    return {name: auroc(-verdicts[0][name].numpy(), -verdicts[1][name].numpy()) for name in verdicts[0]}
