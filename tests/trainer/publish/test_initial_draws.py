"""Flows with sharp modes are published with draws for their inpaintings."""

from __future__ import annotations

import pytest
import torch

import flows
from flows import inpainting
from model_store import draws_to_png
from trainer.publish import initial_draws


def lattice(*shape: int) -> flows.Flow:
    torch.manual_seed(0)
    return flows.lattice(shape, width=6, blocks=1).requires_grad_(False)


def test_the_draws_are_those_of_the_flow() -> None:
    flow = lattice(8, 8)
    found = initial_draws.initial_draws(flow, 64)
    assert found is not None
    assert (found.shape, found.dtype) == ((64, 8, 8), torch.uint8)
    assert torch.equal(found, inpainting.draws(flow, 64))


def test_fewer_draws_are_kept_where_their_picture_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = lattice(8, 8)
    whole = len(draws_to_png(inpainting.draws(flow, 256)))
    monkeypatch.setattr(initial_draws, "LARGEST", whole // 2)
    found = initial_draws.initial_draws(flow, 256)
    assert found is not None
    assert len(found) in (64, 128)


def test_what_would_not_fit_is_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = lattice(8, 8)
    monkeypatch.setattr(initial_draws, "LARGEST", len(draws_to_png(inpainting.draws(flow, 512))) + 200)
    drawn, real = [], inpainting.draws

    def draws(flow: flows.Flow, count: int) -> torch.Tensor:
        drawn.append(count)
        return real(flow, count)

    monkeypatch.setattr(inpainting, "draws", draws)
    found = initial_draws.initial_draws(flow, 8192)
    assert found is not None
    assert len(found) == 512
    assert sum(drawn) <= 256 + 512


def test_other_flows_are_published_without_draws() -> None:
    assert initial_draws.initial_draws(flows.nice((8, 8), hidden=[8])) is None
    assert initial_draws.initial_draws(lattice(8, 8, 2)) is None, "two channels do not make a picture"
