"""/inpaint/{id}: inpaintings that go on without the client."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.service.helpers import (
    EVENTS,
    HALF,
    Running,
    Start,
    assert_problem,
    events_in,
    images,
    multipart,
    until,
)

pytestmark = pytest.mark.anyio
ASYNC = {"prefer": "wait=5, respond-async"}
JSON = {"accept": "application/json"}
FOREVER = "steps=1000000&seed=1&method=nice"  # the method that never stops early


async def begin(service: Running, query: str, **options: Any) -> str:
    answer = await service.http.post(f"/inpaint?{query}", headers=ASYNC, **(options or multipart(images(1)[0])))
    assert answer.status_code == 202, answer.text
    assert answer.headers["preference-applied"] == "respond-async"
    location: str = answer.headers["location"]
    assert location == f"/inpaint/{answer.json()['id']}"
    return location


async def ended(service: Running, location: str, accept: str = "application/json") -> httpx.Response:
    async with asyncio.timeout(20):
        while (answer := await service.http.get(location, headers={"accept": accept})).status_code == 202:
            assert answer.headers["content-type"] == "application/json"
            await asyncio.sleep(0.005)
    return answer


async def climbing(service: Running, location: str) -> None:
    async with asyncio.timeout(20):
        while (await service.http.get(location)).json()["state"] != "running":
            await asyncio.sleep(0.005)


async def test_a_task_ends_with_what_the_request_would_have_got(service: Running) -> None:
    image = images(1)[0]
    location = await begin(service, "steps=30&seed=4&n=3", **multipart(image))
    assert (await ended(service, location)).json() == await service.post_json(
        "/inpaint?steps=30&seed=4&n=3", **multipart(image)
    )
    for form in ("image/png", "image/webp", "image/gif"):
        picture = await ended(service, location, form)
        assert picture.headers["content-type"] == form
        assert Image.open(io.BytesIO(picture.content)).format == form.removeprefix("image/").upper()
    array = np.load(io.BytesIO((await ended(service, location, "application/x-npy")).content))
    assert array.shape == (3, 8, 8)
    assert_problem(await service.http.get(location, headers={"accept": "text/html"}), 406, "Accept")
    assert service.jobs == service.waiting == 0


async def test_a_running_task_tells_its_state(start: Start) -> None:
    async with start(max_steps=10**6) as service:
        location = await begin(service, f"{FOREVER}&n=2")
        await climbing(service, location)
        state = (await service.http.get(location, headers={"accept": "image/png"})).json()
        assert {key: state[key] for key in ("model", "seed", "method", "n", "steps")} == {
            "model": "digits@1",
            "seed": 1,
            "method": "nice",
            "n": 2,
            "steps": 10**6,
        }
        assert service.waiting > 0
        assert await service.still_good()


async def test_stopping_keeps_the_best_so_far(start: Start) -> None:
    async with start(max_steps=10**6) as service:
        image = images(1)[0]
        location = await begin(service, "steps=10000&method=ascent&seed=1&n=2", **multipart(image))
        async with asyncio.timeout(60):
            while (await service.http.get(location)).json()["step"] == 0:
                await asyncio.sleep(0.005)
        assert (await service.http.delete(location)).json()["state"] in ("stopping", "stopped")
        found = (await ended(service, location)).json()
        assert found["state"] == "stopped"
        for item in found["items"]:
            assert 1 < len(item["trace"]) < 48
            assert item["trace"][-1] == [item["steps"], item["log_likelihood"]]
            assert item["log_likelihood"] == max(value for _, value in item["trace"])
            np.testing.assert_array_equal(np.array(item["pixels"])[:, :4], image[:, :4])
        again = await service.http.delete(location)
        assert (again.status_code, again.json()["state"]) == (200, "stopped")
        assert (await ended(service, location)).json() == found
        assert service.waiting == 0


async def test_a_task_that_has_ended_cannot_be_stopped(service: Running) -> None:
    location = await begin(service, "steps=3")
    found = (await ended(service, location)).json()
    assert (await service.http.delete(location)).json()["state"] == "done"
    assert (await ended(service, location)).json() == found


async def test_the_same_put_twice_is_one_task_and_another_is_a_conflict(service: Running) -> None:
    async def put(query: str, name: str = "mine", **options: Any) -> httpx.Response:
        return await service.http.put(f"/inpaint/{name}?{query}", **options)

    image, other = images(2)
    first = await put("steps=200", **multipart(image))
    assert first.status_code == 202
    assert first.headers["location"] == "/inpaint/mine"
    await ended(service, "/inpaint/mine")
    again = await put("steps=200", **multipart(image))
    assert (again.status_code, again.json()["state"]) == (200, "done")
    assert again.json()["seed"] == first.json()["seed"], "the seed that was drawn the first time"
    for wrong in (
        put("steps=201", **multipart(image)),
        put("steps=200&n=2", **multipart(image)),
        put("steps=200&seed=1", **multipart(image)),
        put("steps=200", **multipart(other)),
        put("steps=200", **multipart(image, 255 - HALF)),
    ):
        assert_problem(await wrong, 409, "id")
    assert len({(await put("steps=200", name, **multipart(image))).json()["id"] for name in ("a", "b", "b")}) == 2
    assert service.jobs == 0 or service.waiting > 0


@pytest.mark.parametrize("name", ["a" * 65, "a.b", "ü"])
async def test_an_id_is_short_and_plain(service: Running, name: str) -> None:
    assert_problem(await service.http.put(f"/inpaint/{name}", **multipart(images(1)[0])), 422, "id")


async def test_a_task_can_be_followed_to_its_end_by_several(service: Running) -> None:
    location = await begin(service, "steps=200&seed=1")
    answers = await asyncio.gather(*(service.http.get(location, headers=EVENTS) for _ in range(3)))
    found = (await ended(service, location)).json()
    for answer in answers:
        assert events_in(answer.text)[-1] == ("result", found)


async def test_unknown_tasks_are_not_found(service: Running) -> None:
    for call in (service.http.get, service.http.delete):
        assert_problem(await call("/inpaint/nobody"), 404, "id")


async def test_the_oldest_that_has_ended_makes_room_and_none_that_runs_does(start: Start) -> None:
    async with start(max_steps=10**6, max_tasks=2) as service:
        first = await begin(service, "steps=2")
        await ended(service, first)
        second = await begin(service, "steps=2")
        await ended(service, second)
        third = await begin(service, FOREVER)
        assert_problem(await service.http.get(first), 404, "id")
        assert (await service.http.get(second)).status_code == 200
        fourth = await begin(service, FOREVER)
        refused = await service.http.post(f"/inpaint?{FOREVER}", headers=ASYNC, **multipart(images(1)[0]))
        assert_problem(refused, 429)
        assert int(refused.headers["retry-after"]) >= 1
        for location in (third, fourth):
            assert (await service.http.delete(location)).status_code == 202
            await ended(service, location)
        assert service.waiting == 0


async def test_a_result_is_forgotten_after_a_while(start: Start) -> None:
    async with start(task_kept=0) as service:
        location = await begin(service, "steps=2")

        async with asyncio.timeout(20):
            while (await service.http.get(location)).status_code != 404:
                await asyncio.sleep(0.005)


async def test_a_task_outlives_the_deadline_of_requests_and_not_its_own(start: Start) -> None:
    async with start(max_steps=10**6, deadline=0.2, task_deadline=0.6) as service:
        location = await begin(service, FOREVER)
        await asyncio.sleep(0.3)
        assert (await service.http.get(location)).status_code == 202
        assert_problem(await ended(service, location), 504)
        assert service.waiting == 0


async def test_what_is_wrong_is_told_at_once(service: Running) -> None:
    wrong = await service.http.post("/inpaint?steps=0", headers=ASYNC, **multipart(images(1)[0]))
    assert_problem(wrong, 422, "steps")
    assert_problem(await service.http.put("/inpaint/x?method=guess", **multipart(images(1)[0])), 422, "method")
    assert_problem(await service.http.get("/inpaint/x"), 404, "id")
    await until(lambda: service.jobs == 0)


async def test_an_idle_service_forgets_old_tasks_unasked(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.device.loop._IDLE", 0.05)
    async with start(task_kept=0.2) as service:
        answer = await service.http.post("/inpaint?steps=2", headers=ASYNC, **multipart(images(1)[0]))
        assert answer.status_code == 202
        assert service.loop.requests._tasks._tasks
        await until(lambda: not service.loop.requests._tasks._tasks)


async def test_a_task_that_runs_may_be_put_again_when_the_queue_is_full(start: Start) -> None:
    async with start(max_steps=10**6, queue_item_ticks=1_000_500) as service:
        url = f"/inpaint/mine?{FOREVER}"
        assert (await service.http.put(url, **multipart(images(1)[0]))).status_code == 202
        await climbing(service, "/inpaint/mine")
        assert_problem(await service.http.put(url.replace("mine", "other"), **multipart(images(1)[0])), 429)
        assert_problem(await service.http.post(f"/inpaint?{FOREVER}", **multipart(images(1)[0])), 429)
        again = await service.http.put(url, **multipart(images(1)[0]))
        assert (again.status_code, again.headers["location"]) == (202, "/inpaint/mine")
        assert_problem(await service.http.put(url, **multipart(images(1, seed=1)[0])), 409, "id")
        await service.http.delete("/inpaint/mine")
        assert (await ended(service, "/inpaint/mine")).status_code == 200
        assert service.waiting == 0
