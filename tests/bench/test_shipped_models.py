"""A copy of a shipped model without its calibration is the same version in everything else."""

from __future__ import annotations

from pathlib import Path

import torch

from bench.side_by_side.shipped_models import copy
from model_store import Store


def test_copies_load_and_differ_only_in_the_calibration(tmp_path: Path) -> None:
    copy("mnist-nice", tmp_path)
    copy("mnist-nice", tmp_path, "bare", calibrated=False)
    store = Store(tmp_path)
    assert store.names() == ["bare", "mnist-nice"]
    bare, judged = (store.load(*store.resolve(name)) for name in store.names())
    assert judged.calibration is not None
    assert bare.calibration is None
    for one, other in zip(judged.flow.state_dict().values(), bare.flow.state_dict().values(), strict=True):
        assert torch.equal(one, other)
