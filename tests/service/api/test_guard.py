"""The guard of a request: a full queue, deadlines, clients that leave, and errors that nobody foresaw."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest
import torch

from service.device.columns import Columns
from service.device.programs import Score
from tests.service.helpers import (
    JSON,
    NPY,
    Message,
    Running,
    Start,
    assert_problem,
    at_the_door,
    images,
    multipart,
    npy,
    until,
)

pytestmark = pytest.mark.anyio


async def test_a_full_queue_answers_429_and_recovers(start: Start) -> None:
    async with start(queue_item_ticks=400) as service:
        long = asyncio.create_task(service.http.post("/inpaint?steps=400", **multipart(images(1)[0])))
        await until(lambda: service.waiting > 300)
        answer = await service.http.post("/score", content=npy(images(350)), headers=NPY)
        assert_problem(answer, 429)
        assert int(answer.headers["retry-after"]) >= 1
        assert (await long).status_code == 200
        assert (await service.http.post("/score", content=npy(images(350)), headers=NPY)).status_code == 200
        assert_problem(await service.http.post("/inpaint?steps=400&n=2", **multipart(images(1)[0])), 413)


async def test_a_passed_deadline_answers_504_and_frees_the_queue(start: Start) -> None:
    async with start(max_steps=10**6) as service:
        slow = {"X-Deadline-Ms": "50"}
        answer = await service.http.post("/inpaint?steps=1000000&n=2", headers=slow, **multipart(images(1)[0]))
        assert_problem(answer, 504)
        await until(lambda: service.waiting == 0)
        assert await service.still_good()
        for wrong in ("0", "-5", "soon"):
            refused = await service.http.post("/sample", headers={"X-Deadline-Ms": wrong})
            assert_problem(refused, 422, "x-deadline-ms")
    async with start(max_steps=10**6, deadline=0.05) as service:
        later = {"X-Deadline-Ms": "60000"}
        answer = await service.http.post("/inpaint?steps=1000000&n=2", headers=later, **multipart(images(1)[0]))
        assert_problem(answer, 504)


async def test_a_score_is_answered_while_an_inpainting_climbs(start: Start) -> None:
    async with start(max_steps=10**6) as service:
        climb = asyncio.create_task(service.http.post("/inpaint?steps=1000000", **multipart(images(1)[0])))
        await until(lambda: service.waiting > 1)
        for _ in range(5):
            assert await service.still_good()
        assert not climb.done()
        climb.cancel()


async def test_a_model_that_fails_on_one_request_fails_it_alone(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Score.compute

    def compute(self: Score, rows: Columns) -> Columns:
        if (rows["items"].flatten(1).sum(dim=1) == 64 * 255).any():
            raise ArithmeticError("at /tmp/secret")
        return original(self, rows)

    monkeypatch.setattr(Score, "compute", compute)
    bodies = [torch.full((1, 8, 8), 255 if i == 7 else i, dtype=torch.uint8).numpy() for i in range(16)]
    answers = await asyncio.gather(*(service.http.post("/score", content=npy(body), headers=NPY) for body in bodies))
    for index, answer in enumerate(answers):
        if index == 7:
            assert_problem(answer, 500)
        else:
            assert answer.status_code == 200


async def test_unforeseen_errors_and_wrong_addresses_are_problems_too(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_problem(await service.http.get("/no/such/address"), 404)
    assert_problem(await service.http.get("/sample"), 405)

    async def broken(*_: object) -> None:
        raise RuntimeError("in /tmp/secret")

    monkeypatch.setattr(service.device, "ask", broken)
    answer: httpx.Response = await service.http.post("/sample")
    assert_problem(answer, 500)
    assert "secret" not in answer.text


async def test_a_body_of_too_many_items_is_refused_while_probes_are_answered(service: Running) -> None:
    body = b'{"items":[' + b"[0,1]," * (10 * 2**20) + b"[0,1]]}"
    assert len(body) > 60 * 10**6
    ended = asyncio.Event()
    longest = 0.0

    async def probe() -> None:
        nonlocal longest
        while not ended.is_set():
            began = time.monotonic()
            assert (await service.http.get("/health/live")).status_code == 200
            await asyncio.sleep(0.005)
            longest = max(longest, time.monotonic() - began)

    probing = asyncio.create_task(probe())
    answer = await service.http.post("/score?model=points", content=body, headers=JSON)
    ended.set()
    await probing
    assert_problem(answer, 413, "items")
    assert longest < 2
    assert service.waiting == 0


async def test_what_a_client_that_left_had_asked_for_makes_room_for_others(start: Start) -> None:
    async with start(queue_item_ticks=1000, max_steps=10**6) as service:
        slow = asyncio.create_task(service.http.post("/inpaint?steps=1000&method=nice", **multipart(images(1)[0])))
        await until(lambda: service.loop.account.jobs == 1)
        slow.cancel()
        await until(lambda: service.waiting == 0)
        await until(lambda: service.device.queue.waiting == 0)
        answer = await service.http.post("/score", content=npy(images(900)), headers=NPY)
        assert answer.status_code == 200, answer.text


async def test_a_passed_deadline_makes_room_for_others(start: Start) -> None:
    async with start(queue_item_ticks=1000, max_steps=10**6) as service:
        body = multipart(images(1)[0])
        for _ in range(3):
            late = {"X-Deadline-Ms": "20"}
            assert_problem(await service.http.post("/inpaint?steps=999&method=nice", headers=late, **body), 504)
            await until(lambda: service.device.queue.waiting == 0)


async def test_a_client_that_leaves_while_it_sends_frees_its_room(service: Running) -> None:
    messages: list[Message] = [
        {"type": "http.request", "body": b"\x93NUMPY", "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        assert service.waiting == 1
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    await at_the_door(service, service.http.build_request("POST", "/score", headers=NPY), receive, send)
    assert sent[0]["status"] == 499
    assert service.waiting == 0
    assert await service.metric("sluice_cancelled_total", reason="client_left") == 1
    assert await service.still_good()


async def test_a_client_that_leaves_frees_its_rows_before_the_next_tick(start: Start) -> None:
    async with start(max_steps=10**6) as service:
        left = asyncio.Event()
        request = service.http.build_request(
            "POST", "/inpaint?steps=1000000&n=3&method=nice", **multipart(images(1)[0])
        )
        messages: list[Message] = [{"type": "http.request", "body": request.read(), "more_body": False}]

        async def receive() -> Message:
            if not messages:
                await left.wait()
                return {"type": "http.disconnect"}
            return messages.pop()

        async def send(message: Message) -> None:
            assert message.get("status", 499) == 499

        leaver = asyncio.create_task(at_the_door(service, request, receive, send))
        await until(lambda: service.jobs == 1 and service.waiting < 3 * 10**6)
        left.set()
        await leaver
        await until(lambda: service.waiting == 0 and not service.loop.scheduler)
        assert await service.metric("sluice_cancelled_total", reason="client_left") == 1
        assert await service.still_good()
