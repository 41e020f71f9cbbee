"""POST /inpaint."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flows.inpainting import METHODS
from tests.service.conftest import Running, Start, assert_problem
from tests.service.test_score import images, npy, picture

pytestmark = pytest.mark.anyio
HALF = np.zeros((8, 8), np.uint8)
HALF[:, 4:] = 255


def multipart(image: np.ndarray, mask: np.ndarray | None = HALF) -> dict[str, Any]:
    files = {"image": ("image.png", picture(image), "image/png")}
    if mask is not None:
        files["mask"] = ("mask.png", picture(mask), "image/png")
    return {"files": files}


async def completions(service: Running, query: str, **options: Any) -> np.ndarray:
    answer = await service.http.post(f"/inpaint?{query}", headers={"accept": "application/x-npy"}, **options)
    assert answer.status_code == 200, answer.text
    return np.load(io.BytesIO(answer.content), allow_pickle=False)


@pytest.mark.parametrize("method", sorted(METHODS))
async def test_the_known_part_comes_back_exactly_and_the_rest_is_likelier(service: Running, method: str) -> None:
    image = images(1)[0]
    found = await service.post_json(f"/inpaint?steps=30&seed=1&n=3&method={method}", **multipart(image))
    assert found["method"] == method
    assert len(found["items"]) == 3
    for item in found["items"]:
        pixels = np.array(item["pixels"])
        np.testing.assert_array_equal(pixels[:, :4], image[:, :4])
        assert item["steps"] <= 30
        if not METHODS[method].samples:
            # The raw form of the paper may find nothing better than where it set out.
            assert item["log_likelihood"] >= item["log_likelihood_before"]


async def test_what_stands_under_the_mask_changes_nothing(service: Running) -> None:
    one, other = images(1)[0], images(1)[0]
    other[:, 4:] = 77
    first, second = [await completions(service, "steps=5&seed=1", **multipart(image)) for image in (one, other)]
    np.testing.assert_array_equal(first, second)


async def test_every_way_to_say_what_is_hidden_gives_the_same_answer(service: Running) -> None:
    image = images(1)[0]
    expected = await completions(service, "steps=5&seed=1", **multipart(image))
    transparent = np.stack([image, 255 - HALF], axis=-1)
    assert Image.open(io.BytesIO(picture(transparent))).mode == "LA"
    fractions = np.where(HALF > 0, np.nan, image / 255)
    arrays = {"image": ("i", npy(image), "application/x-npy"), "mask": ("m", npy(HALF > 0), "application/x-npy")}
    for options in (
        multipart(transparent, None),
        {"json": {"image": image.tolist(), "mask": (HALF > 0).tolist()}},
        {"json": {"image": image.tolist(), "mask": HALF.tolist()}},
        {"files": arrays},
    ):
        np.testing.assert_array_equal(await completions(service, "steps=5&seed=1", **options), expected)
    headers = {"content-type": "application/x-npy", "accept": "application/x-npy"}
    answer = await service.http.post("/inpaint?steps=5&seed=1", content=npy(fractions), headers=headers)
    np.testing.assert_array_equal(np.load(io.BytesIO(answer.content)), expected)


async def test_pictures_come_alone_or_as_a_grid(service: Running) -> None:
    image = images(1)[0]
    for n, size in ((1, (8, 8)), (4, (18, 18))):
        answer = await service.http.post(f"/inpaint?steps=2&n={n}", **multipart(image))
        assert answer.headers["content-type"] == "image/png"
        assert "x-sluice-seed" in answer.headers
        assert Image.open(io.BytesIO(answer.content)).size == size


async def test_a_vector_can_be_completed(service: Running) -> None:
    found = await service.post_json("/inpaint?model=points&steps=20", json={"image": [0.25, 99], "mask": [False, True]})
    known, filled = found["items"][0]["pixels"]
    assert known == 0.25
    assert filled != 99


async def test_nothing_hidden_returns_the_item(service: Running) -> None:
    image = images(1)[0]
    np.testing.assert_array_equal((await completions(service, "", **multipart(image, HALF * 0)))[0], image)


async def test_inpaintings_that_join_and_leave_a_batch_equal_those_alone(start: Start) -> None:
    async with start(max_batch_rows=16) as service:
        requests = [(f"steps={3 + i}&seed={i}&n={1 + i % 4}", images(1, seed=i)[0]) for i in range(20)]
        alone = [await completions(service, query, **multipart(image)) for query, image in requests]
        together = await asyncio.gather(*(completions(service, query, **multipart(image)) for query, image in requests))
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("query", "options", "status", "field"),
    [
        ("", multipart(images(1)[0], np.zeros((9, 9), np.uint8)), 422, "mask"),
        ("", multipart(np.zeros((9, 9), np.uint8)), 422, "image"),
        ("", multipart(images(1)[0], None), 422, "mask"),
        ("", {"files": {"mask": ("m.png", picture(HALF), "image/png")}}, 422, "image"),
        ("", {"files": {"picture": ("m.png", picture(HALF), "image/png")}}, 422, "picture"),
        ("", {"files": {"image": ("m.png", b"no", "image/png")}}, 400, "image"),
        ("steps=0", multipart(images(1)[0]), 422, "steps"),
        ("steps=1000000", multipart(images(1)[0]), 422, "steps"),
        ("n=0", multipart(images(1)[0]), 422, "n"),
        ("method=guess", multipart(images(1)[0]), 422, "method"),
        ("", {"json": {"image": images(1)[0].tolist()}}, 422, "mask"),
        ("", {"json": {"image": images(1)[0].tolist(), "mask": [1, 0]}}, 422, "mask"),
        ("", {"json": {"image": images(2).tolist(), "mask": HALF.tolist()}}, 422, "image"),
        ("model=points", multipart(images(1)[0]), 422, "image"),
        ("", {"content": b"x", "headers": {"content-type": "image/png"}}, 415, "Content-Type"),
    ],
)
async def test_what_is_wrong_is_named(
    service: Running, query: str, options: dict[str, Any], status: int, field: str
) -> None:
    assert_problem(await service.http.post(f"/inpaint?{query}", **options), status, field)
    assert await service.still_good()
    assert service.engine.admission.waiting == 0
