"""POST /score: every form of body, in good order and in bad."""

from __future__ import annotations

import asyncio
import json
import math
import pickle
import zlib
from typing import Any

import numpy as np
import pytest
import torch

from tests.service.helpers import (
    JSON,
    NPY,
    Running,
    Start,
    assert_alike,
    assert_problem,
    images,
    npy,
    npy_claiming,
    picture,
)

pytestmark = pytest.mark.anyio


async def scores(service: Running, model: str = "digits", **options: Any) -> list[float]:
    found = await service.post_json(f"/score?model={model}", **options)
    return [item["log_likelihood"] for item in found["items"]]


async def test_every_form_of_the_same_images_gets_the_same_answer(service: Running) -> None:
    pixels = images(3)
    expected = await scores(service, content=npy(pixels), headers=NPY)
    files = [("files", (f"{i}.png", picture(image), "image/png")) for i, image in enumerate(pixels)]
    assert await scores(service, files=files) == expected
    assert await scores(service, json={"items": pixels.tolist()}) == expected
    assert await scores(service, json={"items": (pixels / 255).tolist()}) == expected
    assert await scores(service, content=npy(pixels.astype(np.float32) / 255), headers=NPY) == expected
    assert await scores(service, content=npy(np.asfortranarray(pixels)), headers=NPY) == expected
    assert await scores(service, content=npy(pixels.astype(">i4")), headers=NPY) == expected
    one = await scores(service, content=picture(pixels[0]), headers={"content-type": "image/png"})
    assert one == expected[:1]


async def test_the_answer_is_the_flows_own_likelihood_in_nats_and_bits(service: Running) -> None:
    pixels = images(2)
    flow = service.model("digits").flow
    expected = flow.log_prob(flow.to_continuous(torch.from_numpy(pixels), 3)).tolist()
    found = await service.post_json("/score?seed=3", content=npy(pixels), headers=NPY)
    assert [item["log_likelihood"] for item in found["items"]] == pytest.approx(expected, rel=1e-5)
    assert found["items"][0]["bits_per_dim"] == pytest.approx(8 - expected[0] / (64 * math.log(2)), rel=1e-5)
    assert found["group"]["count"] == 2
    assert found["group"]["log_likelihood"] == pytest.approx(sum(expected) / 2, rel=1e-5)
    assert found["group"]["bits_per_dim"] == pytest.approx(sum(item["bits_per_dim"] for item in found["items"]) / 2)


async def test_gathered_requests_equal_the_same_done_one_by_one(start: Start) -> None:
    async with start(max_batch_rows=32) as service:
        requests: list[dict[str, Any]] = [
            {"params": {"model": "digits", "seed": i % 3}, "content": npy(images(1 + i % 40, seed=i)), "headers": NPY}
            if i % 3
            else {"params": {"model": "points"}, "json": {"items": [[i / 10, -1.0], [0.0, i]]}}
            for i in range(60)
        ]
        alone = [(await service.http.post("/score", **request)).json() for request in requests]
        together = await asyncio.gather(*(service.http.post("/score", **request) for request in requests))
        assert_alike([answer.json() for answer in together], alone)


async def test_a_vector_has_no_bits_per_dim(service: Running) -> None:
    found = await service.post_json("/score?model=points", json={"items": [[0.5, 1], [2, 0]]})
    assert [item["bits_per_dim"] for item in found["items"]] == [None, None]
    assert found["group"]["bits_per_dim"] is None


async def test_a_picture_of_another_size_or_mode_is_converted_only_on_demand(service: Running) -> None:
    for other in (np.zeros((9, 8), np.uint8), np.zeros((8, 8, 3), np.uint8), np.zeros((16, 16), np.uint16)):
        body: dict[str, Any] = {"content": picture(other), "headers": {"content-type": "image/png"}}
        assert_problem(await service.http.post("/score", **body), 422, "items[0]")
        assert (await service.http.post("/score?fit=true", **body)).status_code == 200


GOOD_PNG = picture(images(1)[0])


def vast() -> bytes:
    """A small PNG whose header claims 60,000 x 60,000 pixels."""
    header = b"IHDR" + (60_000).to_bytes(4, "big") * 2 + GOOD_PNG[24:29]
    return GOOD_PNG[:12] + header + zlib.crc32(header).to_bytes(4, "big") + GOOD_PNG[33:]


@pytest.mark.parametrize(
    ("kind", "body", "status", "field"),
    [
        ("image/png", b"", 400, "items[0]"),
        ("image/png", b"not a picture", 400, "items[0]"),
        ("image/png", GOOD_PNG[:-20], 400, "items[0]"),
        ("image/png", GOOD_PNG[:40], 400, "items[0]"),
        ("image/png", b"GIF89a" + b"\0" * 40, 400, "items[0]"),
        ("image/png", vast(), 413, "items[0]"),
        ("text/plain", b"hello", 415, "Content-Type"),
        ("", b"hello", 415, "Content-Type"),
        ("multipart/form-data", b"no boundary", 400, None),
        ("multipart/form-data; boundary=x", b"--x\r\nbroken", 400, None),
        ("application/json", b"{", 400, None),
        ("application/json", b'{"items": [[NaN, 1]]}', 400, None),
        ("application/json", b'{"items": [[-Infinity, 1]]}', 400, None),
        ("application/json", b'{"items":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, None),
        ("application/json", b'{"items": [' + b" " * 2**20 + b"]}", 422, "items"),
        ("application/json", b"\xff\xfe", 400, None),
        ("application/json", b'{"items":' + b"[" * 100_000, 400, None),
        ("application/json", b"[]", 422, None),
        ("application/json", b"{}", 422, "items"),
        ("application/json", b'{"items": []}', 422, "items"),
        ("application/json", b'{"items": [[1, 2], [3]]}', 422, "items"),
        ("application/json", b'{"items": "many"}', 422, "items"),
        ("application/json", b'{"items": null}', 422, "items"),
        ("application/json", b'{"items": [1' + b"0" * 400 + b"]}", 422, "items"),
        ("application/json", json.dumps({"items": [[[256] * 8] * 8]}).encode(), 422, "items[0]"),
        ("application/json", json.dumps({"items": [[[True] * 8] * 8]}).encode(), 422, "items"),
        ("application/x-npy", b"", 400, None),
        ("application/x-npy", b"\x93NUMPY\x01\x00", 400, None),
        ("application/x-npy", npy(images(2))[:-1], 400, None),
        ("application/x-npy", npy(images(1)) + b"more", 400, None),
        ("application/x-npy", npy(images(1)).replace(b"(1, 8, 8), ", b"(10**9,8), "), 400, None),
        ("application/x-npy", npy(images(1)).replace(b"(1, 8, 8)", b"(9, 9, 9)"), 400, None),
        ("application/x-npy", npy(images(1)).replace(b"(1, 8, 8)", b"(-1,-8,8)"), 400, None),
        ("application/x-npy", npy_claiming("(4611686018427387904, 0)"), 400, None),
        ("application/x-npy", npy_claiming("(True, 64)", data=bytes(64)), 400, None),
        ("application/x-npy", npy_claiming("(64.0,)", data=bytes(64)), 400, None),
        ("application/x-npy", npy_claiming("(" + "1, " * 70 + ")", data=bytes(1)), 400, None),
        ("application/x-npy", npy_claiming("(-1, -8, 8)", data=bytes(64)), 400, None),
        ("application/x-npy", npy_claiming("(1000000000, 8, 8)"), 400, None),
        ("application/x-npy", npy(np.zeros((3, 0, 8), np.uint8)), 422, "items"),
        ("application/x-npy", npy(np.array([object()]), allow_pickle=True), 422, "items"),
        ("application/x-npy", pickle.dumps(images(1)), 400, None),
        ("application/x-npy", npy(np.zeros((1, 8, 8), complex)), 422, "items"),
        ("application/x-npy", npy(np.zeros((1, 8, 9), np.uint8)), 422, "items"),
        ("application/x-npy", npy(np.zeros((0, 8, 8), np.uint8)), 422, "items"),
        ("application/x-npy", npy(np.array(1.0)), 422, "items"),
        (
            "application/x-npy",
            npy(np.where(np.arange(3)[:, None, None] == 2, np.nan, np.zeros((3, 8, 8)))),
            422,
            "items[2]",
        ),
        ("application/x-npy", npy(np.full((2, 8, 8), 1.01)), 422, "items[0]"),
        ("application/x-npy", npy(np.full((2, 8, 8), -1)), 422, "items[0]"),
    ],
)
async def test_a_bad_body_is_refused_by_name_and_the_next_is_answered(
    service: Running, kind: str, body: bytes, status: int, field: str | None
) -> None:
    answer = await service.http.post("/score", content=body, headers={"content-type": kind})
    assert_problem(answer, status, field)
    assert await service.still_good()
    assert service.waiting == 0


async def test_a_json_body_above_a_megabyte_gets_the_answer_of_the_array(service: Running) -> None:
    pixels = images(6000)
    body = json.dumps({"items": pixels.tolist()})
    assert len(body) > 2**20
    assert await scores(service, content=body, headers=JSON) == await scores(service, content=npy(pixels), headers=NPY)


async def test_a_bad_file_among_good_ones_is_named(service: Running) -> None:
    files = [("files", ("a.png", body, "image/png")) for body in (GOOD_PNG, GOOD_PNG[:-20], GOOD_PNG)]
    assert_problem(await service.http.post("/score", files=files), 400, "items[1]")
    assert_problem(await service.http.post("/score", files=[("a", ("a.gif", b"GIF89a", "image/gif"))]), 415, "a")
    assert_problem(await service.http.post("/score", files=[("a", (None, b"text"))]), 422, "a")


async def test_pictures_of_mixed_sizes_are_refused_by_the_first_that_differs(service: Running) -> None:
    bodies = [GOOD_PNG, GOOD_PNG, picture(np.zeros((8, 9), np.uint8)), GOOD_PNG]
    files = [("files", (f"{index}.png", body, "image/png")) for index, body in enumerate(bodies)]
    assert_problem(await service.http.post("/score", files=files), 422, "items[2]")
    assert await service.still_good()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.01, 1.01])
async def test_a_bad_item_far_down_a_large_batch_is_named(service: Running, bad: float) -> None:
    pixels = images(1300) / 255
    pixels[1100, 3, 4] = bad
    problem = assert_problem(await service.http.post("/score", content=npy(pixels), headers=NPY), 422, "items[1100]")
    assert "item 1100 holds a number outside [0, 1]" in problem["detail"]


async def test_a_picture_for_vectors_and_vectors_out_of_reach_are_refused(service: Running) -> None:
    answer = await service.http.post("/score?model=points", content=GOOD_PNG, headers={"content-type": "image/png"})
    assert_problem(answer, 422, "items[0]")
    for far in (1e39, np.inf):
        body = npy(np.array([[0.0, 1.0], [far, 0.0]]))
        assert_problem(await service.http.post("/score?model=points", content=body, headers=NPY), 422, "items[1]")


async def test_a_vector_whose_likelihood_overflows_says_so_and_leaves_its_neighbours_alone(service: Running) -> None:
    body = npy(np.array([[0.0, 1.0], [3e38, 3e38]]))
    near, far = (await service.post_json("/score?model=points", content=body, headers=NPY))["items"]
    assert math.isfinite(near["log_likelihood"])
    assert near["reason"] is None
    assert far["log_likelihood"] is None
    assert "not finite" in far["reason"]


async def test_too_much_is_refused_before_it_is_decoded(start: Start) -> None:
    async with start(max_items=3, max_body_bytes=2000) as service:
        too_many = npy(images(4))
        assert_problem(await service.http.post("/score", content=too_many, headers=NPY), 413, "items")
        files = [("files", ("a.png", GOOD_PNG, "image/png"))] * 4
        assert_problem(await service.http.post("/score", files=files), 413, "items")
        assert_problem(await service.http.post("/score", content=b"x" * 2001, headers=NPY), 413, "body")

        async def unannounced() -> Any:
            for _ in range(30):
                yield b"x" * 100

        assert_problem(await service.http.post("/score", content=unannounced(), headers=NPY), 413, "body")
        assert await service.still_good()
