"""Flows with sharp modes are published with draws for their inpaintings."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import flows
from flows import inpainting
from model_store import LARGEST_SHEET, Publication, Store, draws_to_png, publish
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


def test_draws_that_are_small_files_but_many_pixels_are_still_read_at_load(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    flow = lattice(48, 48)
    sparse = torch.zeros(8192, 48, 48, dtype=torch.uint8)  # 8192 of them are above the reader's bound of pixels
    sparse[:, 0, 0] = 255
    monkeypatch.setattr(inpainting, "draws", lambda _, count: sparse[:count])
    found = initial_draws.initial_draws(flow)
    assert found is not None
    assert len(found) == 4096
    publication = Publication(
        flow=flow,
        architecture="lattice",
        arguments={"width": 6, "blocks": 1},
        golden_items=sparse[:4],
        draws=found,
    )
    publish(tmp_path, "sparse", publication)
    assert torch.equal(Store(tmp_path).load("sparse", 1).survey.draws, found)


def test_of_large_pictures_a_whole_row_is_kept_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = lattice(16, 16, 3)
    noise = torch.randint(0, 256, (256, 16, 16, 3), dtype=torch.uint8)
    monkeypatch.setattr(inpainting, "draws", lambda _, count: noise[:count])
    row = len(draws_to_png(noise[:64]))
    monkeypatch.setattr(initial_draws, "LARGEST", row)
    found = initial_draws.initial_draws(flow)
    assert found is not None
    assert len(found) == 64
    monkeypatch.setattr(initial_draws, "LARGEST", row - 1)
    assert initial_draws.initial_draws(flow) is None


def test_nothing_is_drawn_where_not_even_a_row_could_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def draws(*_: object) -> torch.Tensor:
        raise AssertionError

    monkeypatch.setattr(inpainting, "draws", draws)
    assert LARGEST_SHEET < 64 * 520 * 520
    assert initial_draws.initial_draws(lattice(520, 520)) is None


def test_other_flows_are_published_without_draws() -> None:
    assert initial_draws.initial_draws(flows.nice((8, 8), hidden=[8])) is None
    assert initial_draws.initial_draws(lattice(8, 8, 2)) is None, "two channels do not make a picture"
