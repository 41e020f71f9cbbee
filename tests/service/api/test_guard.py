"""The guard of a request: a full queue, deadlines, clients that leave, and errors that nobody foresaw."""

from __future__ import annotations

import asyncio

import httpx
import pytest
import torch

from service.device.columns import Columns
from service.device.programs import Score
from tests.service.helpers import NPY, Running, Start, assert_problem, images, multipart, npy, until

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
