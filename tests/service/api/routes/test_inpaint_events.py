"""POST /inpaint as server-sent events: progress, result, readers that are slow and readers that leave."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.device.programs import Inpaint
from tests.service.helpers import (
    EVENTS,
    Message,
    Running,
    Start,
    assert_problem,
    at_the_door,
    events_in,
    images,
    multipart,
    until,
)

pytestmark = pytest.mark.anyio


async def stream(
    service: Running, url: str, send: Callable[[Message], Awaitable[None]], left: asyncio.Event, **options: Any
) -> None:
    """One request at the ASGI door, with the client in the test's hands: ``send`` reads, ``left`` hangs up."""
    request = service.http.build_request("POST", url, headers=EVENTS, **options)
    body = [{"type": "http.request", "body": request.read(), "more_body": False}]

    async def receive() -> Message:
        if body:
            return body.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    await at_the_door(service, request, receive, send)


async def test_progress_comes_before_the_result_which_is_that_of_json(service: Running) -> None:
    image = images(1)[0]
    answer = await service.http.post("/inpaint?steps=200&seed=1&n=2", headers=EVENTS, **multipart(image))
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    *progress, (last, result) = events_in(answer.text)
    assert {name for name, _ in progress} == {"progress"}
    assert last == "result"
    assert result == await service.post_json("/inpaint?steps=200&seed=1&n=2", **multipart(image))
    steps = [event["step"] for _, event in progress]
    assert 1 <= len(steps) <= 48
    assert steps == sorted(set(steps))
    for _, event in progress:
        head, data = event["preview"].split(",")
        assert head == "data:image/png;base64"
        preview = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
        assert preview.shape == (8, 18)
        np.testing.assert_array_equal(preview[:, :4], image[:, :4])


async def test_a_vectors_progress_has_no_preview(service: Running) -> None:
    answer = await service.http.post("/inpaint?model=points&steps=20", headers=EVENTS, json={"image": [0.5, None]})
    *progress, (last, _) = events_in(answer.text)
    assert last == "result"
    assert progress
    assert all(event["preview"] is None for _, event in progress)


async def test_a_slow_reader_gets_the_latest_and_nothing_piles_up(service: Running) -> None:
    received: list[bytes] = []
    reading = asyncio.Event()

    async def send(message: Message) -> None:
        received.append(message.get("body", b""))
        if b"event: progress" in received[-1]:
            await reading.wait()

    left = asyncio.Event()
    request = asyncio.create_task(
        stream(service, "/inpaint?steps=300&method=nice", send, left, **multipart(images(1)[0]))
    )
    await until(lambda: any(received))
    await until(lambda: service.waiting == 0)
    reading.set()
    await request
    names = [name for name, _ in events_in(b"".join(received).decode())]
    assert names == ["progress", "progress", "result"], "the one that it read, the latest, and the end"


@pytest.mark.parametrize("where", ["waiting", "reading"])
async def test_a_reader_that_leaves_frees_its_rows_and_harms_no_neighbour(start: Start, where: str) -> None:
    async with start(max_steps=10**6) as service:
        body = multipart(images(1)[0])
        alone = (await service.http.post("/inpaint?steps=60&seed=5&n=3", **body)).content
        left, begun = asyncio.Event(), asyncio.Event()

        async def send(message: Message) -> None:
            if b"event: progress" in message.get("body", b"") and where == "reading":
                begun.set()
                await asyncio.Event().wait()  # a connection that takes no more

        leaver = asyncio.create_task(stream(service, "/inpaint?steps=20000&n=5&method=nice", send, left, **body))
        if where == "waiting":
            await until(lambda: service.waiting > 60)
        else:
            await begun.wait()
        neighbour = asyncio.create_task(service.http.post("/inpaint?steps=60&seed=5&n=3", **body))
        await asyncio.sleep(0)
        left.set()
        await leaver
        assert (await neighbour).content == alone
        await until(lambda: service.waiting == 0)
        await until(lambda: not service.loop.scheduler)
        assert await service.metric("sluice_cancelled_total", reason="client_left") == 1
        assert await service.still_good()


async def test_what_ends_a_climb_is_told_within_the_stream(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def step(self: Inpaint, rows: object) -> object:
        raise ArithmeticError("at /tmp/secret")

    monkeypatch.setattr(Inpaint, "step", step)
    answer = await service.http.post("/inpaint", headers=EVENTS, **multipart(images(1)[0]))
    ((name, problem),) = events_in(answer.text)
    assert (name, problem["status"]) == ("problem", 500)
    assert "secret" not in answer.text


async def test_a_deadline_ends_the_stream(start: Start) -> None:
    async with start(max_steps=10**6, deadline=0.3) as service:
        answer = await service.http.post("/inpaint?steps=1000000", headers=EVENTS, **multipart(images(1)[0]))
        name, problem = events_in(answer.text)[-1]
        assert (name, problem["status"]) == ("problem", 504)
        assert service.waiting == 0


async def test_what_is_wrong_is_told_before_the_stream_begins(service: Running) -> None:
    assert_problem(await service.http.post("/inpaint?steps=0", headers=EVENTS, **multipart(images(1)[0])), 422, "steps")
