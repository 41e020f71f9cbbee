"""The calibration of a table's verdicts: cross-conformal where rows are few, split-conformal where they are many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from flows import Flow, anomaly
from model_store import CalibrationEvidence
from trainer.data import Splits
from trainer.data.groups import groups_of
from trainer.presets import Preset
from trainer.publish.folds import FOLDS, dealt, fold_flows
from trainer.report.detection import against_corruptions
from trainer.run.finished import FinishedRun

ENOUGH_HELD_OUT = 500
"""Held-out rows from which on a split calibration is used: its smallest p-value is then 0.002 or less, and further
flows for the folds would take minutes."""
_LEAST_FRESH = 100
_BATCH = 500


def row_calibration(
    run: FinishedRun, flow: Flow, *, neighbours: bool = True, say: Callable[[str], None] = lambda _: None
) -> CalibrationEvidence | None:
    """Calibrate verdicts on rows of a table, with the flow that answers.

    Where the test rows are ``ENOUGH_HELD_OUT``, they calibrate: no weight and no epoch was chosen by them. Otherwise
    all rows do, in ``FOLDS`` folds, each under a flow of its own. None when there are fewer than
    ``anomaly.LEAST_ROWS`` rows.
    """
    splits, title = run.splits, run.preset.data.title
    if len(splits.test) >= ENOUGH_HELD_OUT:
        source = f"{len(splits.test):,} rows of {title} by which neither weights nor the epoch were chosen"
        return _split(flow, splits.train[: anomaly.KEPT_ROWS], splits.test, splits.validation, source, neighbours)
    rows = torch.cat([splits.train, splits.validation, splits.test])
    if len(rows) < anomaly.LEAST_ROWS:
        return None
    preset = run.preset if run.preset.minutes is None else replace(run.preset, minutes=None, epochs=len(run.history))
    calibration = crossed(preset, splits, rows, flow, seed=run.settings.seed, neighbours=neighbours, say=say)
    source = f"all {len(rows):,} rows of {title} in {FOLDS} folds, each under a flow that was trained without it"
    return CalibrationEvidence(calibration=calibration, source=source)


def crossed(
    preset: Preset,
    splits: Splits,
    rows: Tensor,
    flow: Flow,
    *,
    seed: int,
    neighbours: bool = True,
    say: Callable[[str], None] = lambda _: None,
) -> anomaly.CrossCalibration:
    """A calibration on all rows (N, D), with a flow for each fold trained as the preset says. ``flow`` answers."""
    # In a random order, since only the first rows are kept as neighbours.
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))]
    groups = groups_of(rows, len(rows) // (2 * FOLDS))
    folds = dealt(groups, seed)
    whole = replace(splits, train=rows, more=None)
    flows = fold_flows(preset, whole, folds, groups, seed=seed, device=flow.device, say=say)
    return anomaly.CrossCalibration.of(flows, _continuous(flow, rows), folds, neighbours)


def row_evidence(flow: Flow, held_out: Tensor, fresh: Tensor, source: str) -> CalibrationEvidence | None:
    """A split calibration on rows (N, D) that a published flow was not trained on: a third of them are neighbours.

    None when the rows are too few.
    """
    kept = min(len(held_out) // 3, anomaly.KEPT_ROWS)
    if min(kept, len(held_out) - kept) < anomaly.LEAST_ROWS:
        return None
    return _split(flow, held_out[:kept], held_out[kept:], fresh, source)


def split_calibration(flow: Flow, kept: Tensor, held_out: Tensor, neighbours: bool = True) -> anomaly.CrossCalibration:
    """A calibration on held-out rows (n, D), with other rows (M, D) as neighbours."""
    folds = torch.full((len(kept) + len(held_out),), anomaly.UNSEEN)
    folds[len(kept) :] = 0
    return anomaly.CrossCalibration.of([flow], _continuous(flow, torch.cat([kept, held_out])), folds, neighbours)


def _split(
    flow: Flow, kept: Tensor, held_out: Tensor, fresh: Tensor, source: str, neighbours: bool = True
) -> CalibrationEvidence:
    calibration = split_calibration(flow, kept, held_out, neighbours)
    if bool(fresh.isnan().any()):  # a row is corrupted as a whole
        fresh = _continuous(flow, fresh)
    detection = against_corruptions(flow, calibration, fresh) if len(fresh) >= _LEAST_FRESH else {}
    return CalibrationEvidence(calibration=calibration, source=source, detection=detection)


@torch.no_grad()
def _continuous(flow: Flow, rows: Tensor) -> Tensor:
    return torch.cat([flow.to_continuous(part).cpu() for part in torch.split(rows, _BATCH)])
