"""Items drawn from a flow are stored as one picture, and every other picture is refused."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import flows
from flows import inpainting
from model_store import (
    LARGEST_SHEET,
    ModelRefused,
    Publication,
    Store,
    StoreError,
    draws_to_png,
    fits_a_sheet,
    publish,
)
from model_store.draws import draws_from_png
from model_store.weights import DamagedTensors


@given(st.sampled_from([(4, 8), (8, 4, 1), (4, 4, 3)]), st.integers(1, 3), st.integers(0, 100))
def test_a_sheet_holds_the_items_bit_for_bit(shape: tuple[int, ...], rows: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    items = torch.randint(0, 256, (64 * rows, *shape), dtype=torch.uint8, generator=generator)
    assert torch.equal(draws_from_png(draws_to_png(items), shape), items)


def test_items_fit_a_sheet_when_they_are_grey_or_rgb_images() -> None:
    assert [fits_a_sheet(shape) for shape in [(8, 8), (8, 8, 3), (8, 8, 2), (8,)]] == [True, True, False, False]


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


SHEET = png(np.zeros((8, 64 * 8), np.uint8))
BAD = {
    "nothing": b"",
    "not a picture": b"GIF89a" + bytes(100),
    "cut short": SHEET[:60],
    "another size": png(np.zeros((8, 63 * 8), np.uint8)),
    "half a row": png(np.zeros((12, 64 * 8), np.uint8)),
    "colours": png(np.zeros((8, 64 * 8, 3), np.uint8)),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
def test_any_other_picture_is_refused(data: bytes) -> None:
    with pytest.raises(DamagedTensors, match="the draws are not"):
        draws_from_png(data, (8, 8))


def test_a_picture_with_too_many_pixels_is_not_unpacked() -> None:
    with pytest.raises(DamagedTensors, match="the draws are not a sheet"):
        draws_from_png(png(np.zeros((40_000, 512), np.uint8)), (8, 8))


def test_the_survey_of_a_loaded_model_is_of_the_published_draws(tmp_path: Path) -> None:
    torch.manual_seed(0)
    flow = flows.lattice((8, 8), width=6, blocks=1).requires_grad_(False)
    items = torch.randint(0, 256, (128, 8, 8), dtype=torch.uint8)
    publication = Publication(
        flow=flow,
        architecture="lattice",
        arguments={"width": 6, "blocks": 1},
        golden_items=items[:4],
        draws=items,
    )
    publish(tmp_path, "squares", publication)
    model = Store(tmp_path).load("squares", 1)
    assert torch.equal(model.survey.draws, items)
    (tmp_path / "squares" / "1" / "draws.png").write_bytes(SHEET)
    with pytest.raises(ModelRefused, match=r"draws\.png"):
        Store(tmp_path).load("squares", 1)


def test_draws_that_no_load_would_read_are_refused_before_the_version_appears(tmp_path: Path) -> None:
    torch.manual_seed(0)
    flow = flows.lattice((8, 8), width=6, blocks=1).requires_grad_(False)
    items = torch.zeros(LARGEST_SHEET // 64 + 64, 8, 8, dtype=torch.uint8)
    publication = Publication(
        flow=flow,
        architecture="lattice",
        arguments={"width": 6, "blocks": 1},
        golden_items=items[:4],
        draws=items,
    )
    with pytest.raises(StoreError, match=r"squares is not published: draws\.png: the draws are not a sheet"):
        publish(tmp_path, "squares", publication)
    assert Store(tmp_path).names() == []


def test_a_lattice_flow_without_published_draws_makes_its_survey_itself(tmp_path: Path) -> None:
    torch.manual_seed(0)
    flow = flows.lattice((8, 8), width=6, blocks=1).requires_grad_(False)
    items = torch.zeros(4, 8, 8, dtype=torch.uint8)
    arguments = {"width": 6, "blocks": 1}
    publication = Publication(flow=flow, architecture="lattice", arguments=arguments, golden_items=items)
    publish(tmp_path, "squares", publication)
    model = Store(tmp_path).load("squares", 1)
    assert torch.equal(model.survey.draws, inpainting.draws(model.serving, 64))


def test_draws_of_a_model_of_vectors_are_refused(tmp_path: Path) -> None:
    flow = flows.nice((3,), hidden=[8], image=False).requires_grad_(False)
    arguments = {"hidden": [8], "image": False}
    publication = Publication(flow=flow, architecture="nice", arguments=arguments, golden_items=torch.randn(4, 3))
    publish(tmp_path, "points", publication)
    version = tmp_path / "points" / "1"
    (version / "draws.png").write_bytes(SHEET)
    manifest = json.loads((version / "manifest.json").read_text())
    manifest["files"]["draws.png"] = {"sha256": hashlib.sha256(SHEET).hexdigest(), "size": len(SHEET)}
    (version / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelRefused, match=r"draws\.png: items of shape \(3,\) are not pictures"):
        Store(tmp_path).load("points", 1)


def test_a_model_without_published_draws_makes_its_survey_once(tmp_path: Path) -> None:
    flow = flows.nice((3,), hidden=[8], image=False).requires_grad_(False)
    publication = Publication(
        flow=flow,
        architecture="nice",
        arguments={"hidden": [8], "image": False},
        golden_items=torch.randn(4, 3),
    )
    publish(tmp_path, "points", publication)
    model = Store(tmp_path).load("points", 1)
    assert model.survey is model.survey
    assert torch.equal(model.survey.draws, inpainting.draws(model.serving, 64))
