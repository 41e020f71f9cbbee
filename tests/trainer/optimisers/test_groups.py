"""Every parameter of a flow is optimised, each by the rule of its group."""

from pathlib import Path

import torch

from flows import DiagonalScaling
from trainer import data
from trainer.optimisers.groups import SCALING_BOOST, parameter_groups
from trainer.presets import Preset
from trainer.run.initial_state import fresh_state


def test_only_matrices_decay_and_only_scalings_learn_faster(tiny: Preset, tmp_path: Path) -> None:
    flow = fresh_state(tiny, data.load(tiny.data, tmp_path / "data", seed=0), 0, torch.device("cpu")).flow
    matrices, vectors, scales = parameter_groups(flow, tiny)
    grouped = [id(p) for group in (matrices, vectors, scales) for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in flow.parameters())
    assert [id(p) for p in scales["params"]] == [
        id(m.log_scale) for m in flow.modules() if isinstance(m, DiagonalScaling)
    ]
    assert scales["boost"] / matrices["boost"] == SCALING_BOOST
    assert (matrices["weight_decay"], vectors["weight_decay"], scales["weight_decay"]) == (tiny.weight_decay, 0, 0)
    assert all(p.ndim == 2 for p in matrices["params"])
