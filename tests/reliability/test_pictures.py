"""Pictures that unfold: few bytes, many pixels. The budget holds, and nothing is decoded for nobody."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.media import pictures
from tests.reliability.markers import LONG
from tests.service.helpers import Message, Running, Start, assert_problem, at_the_door, images, npy, picture, until

pytestmark = pytest.mark.anyio


def vast(side: int = 4096) -> bytes:
    """A PNG of one bit a pixel: 4096 x 4096 in two kilobytes."""
    stream = io.BytesIO()
    Image.new("1", (side, side)).save(stream, "PNG")
    return stream.getvalue()


def files(count: int, data: bytes) -> dict[str, Any]:
    return {"files": [("files", (f"{place}.png", data, "image/png")) for place in range(count)]}


@pytest.mark.parametrize("path", ["/score?fit=true", pytest.param("/encode?fit=true", marks=LONG)])
async def test_the_pictures_of_a_request_share_a_budget_of_pixels(service: Running, path: str) -> None:
    answer = await service.http.post(path, **files(1400, vast()))
    problem = assert_problem(answer, 413, "items[16]")
    assert "268435456 pixels" in problem["detail"]
    assert (await service.http.post(path, **files(3, vast()))).status_code == 200
    assert await service.still_good()


async def test_a_smaller_budget_can_be_set(start: Start) -> None:
    async with start(max_pixels=640) as service:
        assert (await service.http.post("/score", **files(10, picture(images(1)[0])))).status_code == 200
        assert_problem(await service.http.post("/score", **files(11, picture(images(1)[0]))), 413, "items[10]")


@pytest.mark.parametrize("ends", ["client", "deadline"])
async def test_decoding_stops_before_the_next_picture_when_the_request_is_over(
    service: Running, ends: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = 0
    original = pictures.to_pixels

    def to_pixels(*arguments: Any) -> np.ndarray:
        nonlocal decoded
        decoded += 1
        return original(*arguments)

    monkeypatch.setattr("service.media.items.to_pixels", to_pixels)
    headers = {"x-deadline-ms": "300"} if ends == "deadline" else {}
    request = service.http.build_request("POST", "/score?fit=true", headers=headers, **files(16, vast()))
    messages: list[Message] = [{"type": "http.request", "body": request.read(), "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        if ends == "deadline":
            await asyncio.sleep(60)
        await until(lambda: decoded > 0)
        return {"type": "http.disconnect"}

    statuses: list[int] = []

    async def send(message: Message) -> None:
        if "status" in message:
            statuses.append(message["status"])

    await at_the_door(service, request, receive, send)
    assert statuses == [499 if ends == "client" else 504]
    at_the_end = decoded
    await asyncio.sleep(0.5)
    assert decoded <= at_the_end + 1 < 16
    assert service.waiting == 0


async def test_small_pictures_do_not_wait_behind_vast_ones(service: Running) -> None:
    floods = [asyncio.create_task(service.http.post("/score?fit=true", **files(16, vast()))) for _ in range(6)]
    await asyncio.sleep(0.2)
    body = npy(np.repeat(images(1), 2000, axis=0))
    assert len(body) > 16 * 1024, "decoded in a thread"
    for _ in range(5):
        answer = await service.http.post("/encode", content=body, headers={"content-type": "application/x-npy"})
        assert answer.status_code == 200
    assert not all(flood.done() for flood in floods)
    for flood in floods:
        flood.cancel()
    await asyncio.gather(*floods, return_exceptions=True)
    assert service.waiting == 0
