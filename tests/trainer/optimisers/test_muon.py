"""Muon: what a step is, which parameters it moves, and that a run with it is resumed bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.trainer.conftest import read_state, register, stop_after
from trainer import data
from trainer.optimisers import parameter_groups
from trainer.optimisers.muon import Muon, orthogonal
from trainer.presets import Preset
from trainer.run.initial_state import fresh_state

Train = Callable[..., Result]


@given(rows=st.integers(1, 40), columns=st.integers(1, 40), size=st.floats(1e-6, 1e6), seed=st.integers(0, 1000))
def test_the_step_keeps_singular_vectors_and_makes_singular_values_about_one(
    rows: int, columns: int, size: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    left, _ = torch.linalg.qr(torch.randn(rows, rows, generator=generator))
    right, _ = torch.linalg.qr(torch.randn(columns, columns, generator=generator))
    rank = min(rows, columns)
    values = torch.linspace(0.2, 1, rank)
    matrix = size * (left[:, :rank] * values) @ right[:rank]
    step = orthogonal(matrix[None])[0].float()
    found = torch.linalg.svdvals(step)
    assert bool(((found > 0.6) & (found < 1.35)).all())
    aligned = left[:, :rank].T @ step @ right[:rank].T
    # In exact arithmetic the vectors stay; five iterations in bfloat16 turn them a little.
    torch.testing.assert_close(aligned, aligned.diagonal().diag(), atol=0.15, rtol=0)


def test_a_zero_gradient_and_a_missing_one_move_nothing() -> None:
    still, without = nn.Parameter(torch.ones(3, 2)), nn.Parameter(torch.ones(3, 2))
    optimiser = Muon([{"params": [still, without], "lr": 0.1, "weight_decay": 0.0, "muon": True}])
    still.grad = torch.zeros_like(still)
    optimiser.step()
    assert torch.equal(still, torch.ones(3, 2))
    assert torch.equal(without, torch.ones(3, 2))


def test_a_kernel_moves_like_its_flattened_matrix_and_shrinks_by_the_decay() -> None:
    torch.manual_seed(0)
    kernel = nn.Parameter(torch.randn(4, 2, 3, 3))
    matrix = nn.Parameter(kernel.detach().flatten(1).clone())
    gradient = torch.randn_like(kernel)
    kernel.grad, matrix.grad = gradient, gradient.flatten(1)
    before = kernel.detach().clone()
    for parameter in (kernel, matrix):
        Muon([{"params": [parameter], "lr": 0.1, "weight_decay": 0.5, "muon": True}]).step()
    torch.testing.assert_close(kernel.flatten(1), matrix, atol=1e-6, rtol=0)
    step = (0.95 * before - kernel.detach()) / 0.1
    assert torch.linalg.svdvals(step.flatten(1)).max() < 1.35


def test_muon_trains_the_matrices_of_nets_except_the_last_layers(tiny: Preset, tmp_path: Path) -> None:
    flow = fresh_state(tiny, data.load(tiny.data, tmp_path / "data", seed=0), 0, torch.device("cpu")).flow
    *others, inner = parameter_groups(flow, replace(tiny, muon_rate=0.02, learning_rate=0.005))
    assert inner["muon"]
    assert inner["boost"] == pytest.approx(4)
    names = {id(parameter): name for name, parameter in flow.named_parameters()}
    assert {names[id(p)].rsplit(".", 3)[-3:][1] for p in inner["params"]} == {"0"}, "only the first layers"
    assert len(inner["params"]) == 2
    assert sum(len(group["params"]) for group in (*others, inner)) == len(names)


def test_a_run_with_muon_is_resumed_bit_for_bit(
    tiny: Preset, sluice_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(replace(tiny, muon_rate=0.01), monkeypatch)
    assert sluice_train("tiny", "--no-publish").exit_code == 0
    straight = read_state(tmp_path / "run")
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        assert sluice_train("tiny", "--no-publish", "--fresh").exit_code == 130
    assert sluice_train("tiny", "--no-publish").exit_code == 0
    final = read_state(tmp_path / "run")
    assert final.keys() == straight.keys()
    assert [name for name, tensor in straight.items() if not final[name].equal(tensor)] == []
