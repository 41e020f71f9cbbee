"""The calibration that is published with a model: statistics of items that no weight was trained on."""

from __future__ import annotations

from torch import Tensor

from flows import Flow, anomaly
from model_store import CalibrationEvidence
from trainer.data import DataSet
from trainer.report.anomaly_statistics import statistics
from trainer.report.detection import against_corruptions

_FIT_SHARE = 1 / 3
_FIT_EACH = 128
"""Items per statistic of a density that fit the nonconformity score at most.

More would make every verdict slower and no better.
"""


def calibrate(flow: Flow, held_out: Tensor) -> anomaly.Calibration | None:
    """Calibrate verdicts on held-out items (N, *item_shape), as a user sends them.

    A third of the items, or fewer where statistics are few, fits the nonconformity score; p-values are ranked among the
    others. None when there are too few items, as in a quick try with a limit.
    """
    tests = anomaly.tests_of(flow)
    of_densities = sum(len(test.statistics) for test in tests if not test.by_likeness)
    fit = min(int(len(held_out) * _FIT_SHARE), _FIT_EACH * of_densities)
    if fit < anomaly.MINIMUM_ITEMS:
        return None
    found = statistics(flow, held_out)
    return anomaly.Calibration.of(tests, found[:fit], found[fit:])


def calibration_evidence(flow: Flow, held_out: Tensor, fresh: Tensor, source: str) -> CalibrationEvidence | None:
    """A calibration on held-out items, with how well its verdict finds corrupted copies of fresh items.

    None when the held-out items are too few.
    """
    calibration = calibrate(flow, held_out)
    if calibration is None:
        return None
    return CalibrationEvidence(
        calibration=calibration, source=source, detection=against_corruptions(flow, calibration, fresh)
    )


def source_of(held_out: Tensor, data: DataSet) -> str:
    """What a manifest says of where a calibration's items come from."""
    return f"{len(held_out):,} items of {data.title} that no weight was trained on"
