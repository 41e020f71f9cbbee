"""Flows with sharp modes are published with draws of theirs."""

from __future__ import annotations

import pytest
import torch

import flows
from flows import inpainting
from model_store import draws_to_png
from trainer import outset


def lattice(*shape: int) -> flows.Flow:
    torch.manual_seed(0)
    return flows.lattice(shape, width=6, blocks=1).requires_grad_(False)


def test_draws_are_the_flows_own() -> None:
    flow = lattice(8, 8)
    found = outset.draws_of(flow, 64)
    assert found is not None
    assert (found.shape, found.dtype) == ((64, 8, 8), torch.uint8)
    assert torch.equal(found, inpainting.draws(flow, 64))


def test_their_picture_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = lattice(8, 8)
    whole = len(draws_to_png(inpainting.draws(flow, 256)))
    monkeypatch.setattr(outset, "LARGEST", whole // 2)
    found = outset.draws_of(flow, 256)
    assert found is not None
    assert len(found) in (64, 128)


def test_other_flows_draw_for_themselves() -> None:
    assert outset.draws_of(flows.nice((8, 8), hidden=[8])) is None
    assert outset.draws_of(lattice(8, 8, 2)) is None, "two channels make no picture"
