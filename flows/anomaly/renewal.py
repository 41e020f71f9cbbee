"""A calibration with other items in place of its calibrating ones, from what verdicts tell of them.

The nonconformity scores stay as they were fitted: only the items change that p-values are ranked among. A verdict tells
what is needed of its item (``Verdict.measures``), so the item itself need not be kept. For items drawn as the new ones
are, the p-values then keep the promise of a split calibration (Vovk, Gammerman & Shafer 2005, section 2.2). With
several members a p-value is in effect the mean of theirs, which depend on each other: at most twice alpha of new items
have one up to alpha (Vovk & Wang 2020, "Combining p-values via averaging"), and about alpha where the members agree.
"""

from __future__ import annotations

import torch
from torch import Tensor

from flows.anomaly.calibration import Calibration
from flows.anomaly.cross_conformal import CrossCalibration
from flows.anomaly.nonconformity import p_values


def renewed(
    calibration: Calibration | CrossCalibration, measures: Tensor, members: Tensor
) -> Calibration | CrossCalibration:
    """The calibration with n other calibrating items, of ``measures`` (n, F), each under one of its ``members`` (n,).

    The member of an item must be drawn without looking at the item. Raises ValueError when the items are too few or not
    finite.

    >>> generator = torch.Generator().manual_seed(0)
    >>> table = torch.randn(300, 1, generator=generator).double()
    >>> calibration = flows.anomaly.Calibration.of([flows.anomaly.Test("size", ("size",))], table[:100], table[100:])
    >>> live = torch.randn(1000, 1, generator=generator).double() + 4
    >>> float((calibration.judge(live[500:]).p_value <= 0.05).double().mean()) > 0.9
    True
    >>> measures = calibration.judge(live[:500]).measures[:, 0]
    >>> anew = flows.anomaly.renewed(calibration, measures, torch.zeros(500).long())
    >>> float((anew.judge(live[500:]).p_value <= 0.05).double().mean()) < 0.08
    True
    """
    if not bool(measures.isfinite().all()):
        raise ValueError("the measures of calibrating items must be finite")
    if isinstance(calibration, Calibration):
        return Calibration(calibration.nonconformity, measures.to(calibration.features.device))
    return CrossCalibration(
        calibration.members,
        measures[:, :-1].float(),
        members.long(),
        calibration.kept,
        calibration.kept_folds,
        calibration.grid,
        measures[:, -1].float(),
    )


def combined_scores(calibration: Calibration | CrossCalibration, measures: Tensor) -> Tensor:
    """The nonconformity scores (n,) of all tests together, of items with ``measures`` (n, F)."""
    if isinstance(calibration, Calibration):
        return calibration.nonconformity.combined(measures.double().T.to(calibration.features.device)).cpu()
    return measures[:, :-1].double().sum(dim=1)


def p_values_before(calibration: Calibration | CrossCalibration, measures: Tensor, members: Tensor) -> Tensor:
    """The p-values (n,) of items with ``measures`` (n, F), each among the calibrating items of its own member (n,)."""
    scores = combined_scores(calibration, measures)
    if isinstance(calibration, Calibration):
        return p_values(calibration.ordinary_scores.cpu(), scores)
    own, found = calibration.scores.sum(dim=1).cpu(), torch.ones_like(scores)
    for k in range(len(calibration.members)):
        mine = members == k
        found[mine] = p_values(own[calibration.folds == k].sort().values, scores[mine].contiguous())
    return found
