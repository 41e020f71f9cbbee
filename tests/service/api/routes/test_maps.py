"""POST /score?map=true: regions, npy and PNG of where pictures are strange."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.service.helpers import JSON, NPY, Running, assert_problem, images, npy, ordinary, picture, running

pytestmark = pytest.mark.anyio


@pytest.fixture
async def service(calibrated_store: Path) -> AsyncIterator[Running]:
    async with running(calibrated_store, threads=1) as started:
        yield started


def faulty(service: Running, count: int = 1) -> np.ndarray:
    """Ordinary items with a white square at rows and columns 1 to 5; to this flow, white pictures are atypical."""
    items = ordinary(service.model("digits").flow, count, seed=7)
    items[:, 1:6, 1:6] = 255
    return items


async def maps(service: Running, items: np.ndarray) -> np.ndarray:
    answer = await service.http.post(
        "/score?map=true", content=npy(items), headers={**NPY, "accept": "application/x-npy"}
    )
    assert answer.status_code == 200, answer.text
    found: np.ndarray = np.load(io.BytesIO(answer.content))
    return found


async def test_json_tells_regions_that_lie_where_the_picture_is_strange(service: Running) -> None:
    found = await service.post_json("/score?map=true&alpha=0.2", content=npy(faulty(service, 8)), headers=NPY)
    within = 0
    for item in found["items"]:
        region = item["regions"][0]
        assert 0 < region["p_value"] <= 0.2
        assert 1 <= region["area"] <= 64
        top, left, bottom, right = region["box"]
        assert top <= region["peak"]["row"] < bottom
        assert left <= region["peak"]["column"] < right
        within += 1 <= region["peak"]["row"] < 6 and 1 <= region["peak"]["column"] < 6
    assert within >= 5  # of a flow with random weights, which does not keep a fault to its place


async def test_few_ordinary_pictures_have_a_region(service: Running) -> None:
    items = ordinary(service.model("digits").flow, 400, seed=8)
    found = await service.post_json("/score?map=true&alpha=0.05", content=npy(items), headers=NPY)
    with_regions = sum(bool(item["regions"]) for item in found["items"])
    assert 0.015 < with_regions / 400 < 0.09


async def test_the_scores_are_those_without_a_map(service: Running) -> None:
    body = npy(faulty(service, 5))
    plain = await service.post_json("/score?fdr=0.1", content=body, headers=NPY)
    mapped = await service.post_json("/score?fdr=0.1&map=true", content=body, headers=NPY)
    assert all("regions" not in item for item in plain["items"])
    for item in mapped["items"]:
        del item["regions"]
    assert mapped == plain


async def test_npy_holds_a_map_for_each_picture_whoever_shares_the_tick(service: Running) -> None:
    items = np.concatenate([faulty(service, 3), images(30)])
    together = await maps(service, items)
    assert together.shape == (33, 8, 8)
    assert together.dtype == np.float32
    alone = await asyncio.gather(*(maps(service, items[place : place + 1]) for place in (0, 7, 32)))
    assert np.array_equal(np.concatenate(alone), together[[0, 7, 32]])


async def test_png_shows_the_pictures_under_their_maps(service: Running) -> None:
    answer = await service.http.post(
        "/score?map=true",
        content=picture(faulty(service)[0]),
        headers={"content-type": "image/png", "accept": "image/png"},
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    shown = Image.open(io.BytesIO(answer.content))
    assert shown.mode == "RGB"
    assert shown.width > 2 * 224  # the picture and its map, side by side


async def test_a_png_of_too_many_pictures_and_a_map_of_a_model_without_one_are_refused(service: Running) -> None:
    headers = {**NPY, "accept": "image/png"}
    many = await service.http.post("/score?map=true", content=npy(images(65)), headers=headers)
    assert_problem(many, 413, "items")
    for model, body in (("points", b'{"items": [[0, 1]]}'), ("uncalibrated", b'{"items": [[[0, 0]]]}')):
        refused = await service.http.post(f"/score?map=true&model={model}", content=body, headers=JSON)
        assert_problem(refused, 422, "map")
    unasked = await service.http.post("/score", content=npy(images(1)), headers=headers)
    assert_problem(unasked, 406, "Accept")
