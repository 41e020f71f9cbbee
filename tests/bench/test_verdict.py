"""A copy without calibration is the same version in everything else."""

from __future__ import annotations

from pathlib import Path

import torch

from bench.side_by_side import verdict
from model_store import Store, default_root


def test_copies_load_and_differ_only_in_the_calibration(tmp_path: Path) -> None:
    shipped = Store(default_root())
    verdict.copy(shipped, verdict.MODEL, tmp_path, verdict.MODEL, calibrated=True)
    verdict.copy(shipped, verdict.MODEL, tmp_path, verdict.BARE, calibrated=False)
    store = Store(tmp_path)
    assert store.names() == [verdict.MODEL, verdict.BARE]
    judged, bare = (store.load(*store.resolve(name)) for name in store.names())
    assert judged.calibration is not None
    assert bare.calibration is None
    for one, other in zip(judged.flow.state_dict().values(), bare.flow.state_dict().values(), strict=True):
        assert torch.equal(one, other)
