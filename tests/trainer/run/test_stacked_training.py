"""Flows that are trained in a stack become what each becomes alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from flows import Flow
from trainer.data import OwnData, Splits
from trainer.errors import Diverged
from trainer.presets import Preset
from trainer.presets.table import TABLE
from trainer.run.hooks import Hooks
from trainer.run.initial_state import fresh_state
from trainer.run.loop import train
from trainer.run.ranks import Ranks
from trainer.run.settings import Computing
from trainer.run.stacked_training import can_stack, train_stacked

CPU = torch.device("cpu")
PRESET = replace(
    TABLE, data=OwnData(), arguments={**TABLE.arguments, "couplings": 2, "hidden": [8]}, epochs=2, batch_size=16
)


def splits(rows: Tensor) -> Splits:
    return Splits(rows, rows[:5], rows[:0])


def trained_alone(part: Splits, seed: int) -> Flow:
    state = fresh_state(PRESET, part, seed, CPU)
    train(state, part, PRESET, seed=seed, computing=Computing(graph=False), ranks=Ranks(CPU), hooks=Hooks())
    state.flow.load_state_dict(state.best)
    return state.flow


def trained_together(parts: list[Splits], preset: Preset = PRESET) -> list[Flow]:
    flows = [fresh_state(preset, part, seed, CPU).flow for seed, part in enumerate(parts)]
    assert can_stack(preset, flows[0])
    train_stacked(flows, parts, preset, range(len(parts)))
    return flows


def test_flows_of_a_stack_are_those_that_are_trained_alone() -> None:
    rows = torch.randn(160, 3, generator=torch.Generator().manual_seed(0))
    parts = [splits(rows[:80]), splits(5 + rows[80:] * 3)]
    for seed, flow in enumerate(trained_together(parts)):
        for one, other in zip(flow.parameters(), trained_alone(parts[seed], seed).parameters(), strict=True):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_missing_cells_are_drawn_from_the_flows_own_rows() -> None:
    rows = torch.randn(80, 3, generator=torch.Generator().manual_seed(0))
    rows[::3, 1] = torch.nan
    preset = replace(PRESET, arguments={**PRESET.arguments, "steps": [0.0] * 3})
    for flow in trained_together([splits(rows[:40]), splits(rows[40:])], preset):
        assert bool(flow.log_prob(torch.zeros(1, 3)).isfinite())


def test_a_flow_whose_gradients_are_not_finite_ends_the_training() -> None:
    rows = torch.randn(80, 3, generator=torch.Generator().manual_seed(0))
    broken = rows.clone()
    broken[:, 2] = torch.inf
    flows = [fresh_state(PRESET, splits(rows), seed, CPU).flow for seed in range(2)]
    with pytest.raises(Diverged, match="no finite gradient"):
        train_stacked(flows, [splits(rows), splits(broken)], replace(PRESET, jitter=0.0), range(2))


def test_a_preset_that_keeps_its_best_epoch_is_not_stacked() -> None:
    flow = fresh_state(PRESET, splits(torch.randn(40, 3)), 0, CPU).flow
    assert not can_stack(replace(PRESET, keep_best=True), flow)
