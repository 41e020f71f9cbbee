"""Two replicas of the service in one process: tasks are found from either, and both serve the same models."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.api.app import create_app
from service.device.main import in_process
from service.protocol import messages as m
from service.protocol.errors import Unavailable
from service.protocol.relay import Frames, Packing, Relay
from service.protocol.replicas import ReplicaDevices, SiblingGone
from service.protocol.tenants import TENANT, Tenant
from service.settings import Settings
from tests.service.helpers import (
    DIGITS,
    EVENTS,
    POINTS,
    assert_problem,
    events_in,
    images,
    multipart,
    publish_small,
)

pytestmark = [
    pytest.mark.anyio,
    # Arrays that crossed are views of the bytes that they came in; nothing writes to them.
    pytest.mark.filterwarnings("ignore:The given NumPy array is not writable"),
]

TOKEN = "0123456789abcdef" * 2
ADMIN = {"authorization": f"Bearer {TOKEN}"}
LONG = "steps=10000&seed=1&method=ascent&n=2"


class Beside:
    """Siblings in this process. Those in ``silent`` do not answer."""

    def __init__(self, own: str, relays: dict[str, Relay], silent: set[str]) -> None:
        self.own, self._relays, self._silent = own, relays, silent

    def _others(self) -> dict[str, Relay]:
        if self._silent & self._relays.keys():
            raise Unavailable("a replica of the service does not answer", retry_after=5)
        return {name: relay for name, relay in self._relays.items() if name != self.own}

    def _one(self, sibling: str) -> Relay:
        if sibling not in self._relays:
            raise SiblingGone(sibling)
        return self._relays[sibling]

    async def holding(self, task: str) -> Mapping[str, bool | None]:
        return {name: await relay.holds(task) for name, relay in self._others().items()}

    async def answers(self, frames: Frames) -> Mapping[str, Frames]:
        return {name: await relay.answer(frames) for name, relay in self._others().items()}

    async def answer(self, sibling: str, frames: Frames) -> Frames:
        return await self._one(sibling).answer(frames)

    async def follow(self, sibling: str, frames: Frames) -> AsyncIterator[Frames]:
        async for told in self._one(sibling).follow(frames):
            yield told


@dataclass
class Two:
    """Replicas `a` and `b`."""

    a: httpx.AsyncClient
    b: httpx.AsyncClient
    devices: dict[str, ReplicaDevices]
    relays: dict[str, Relay]
    silent: set[str]

    def end(self, name: str) -> None:
        """From now on nobody finds this replica."""
        del self.relays[name]

    async def holder(self, task: str) -> str:
        (name,) = [name for name, relay in self.relays.items() if await relay.holds(task)]
        return name


@asynccontextmanager
async def two(store: Path, **settings: Any) -> AsyncIterator[Two]:
    relays: dict[str, Relay] = {}
    devices: dict[str, ReplicaDevices] = {}
    silent = set[str]()
    clients = []
    async with AsyncExitStack() as stack:
        for name in ("a", "b"):
            chosen = Settings(store=store, device="cpu", max_steps=10**6, **settings)
            device = in_process(chosen)[1]
            relays[name] = Relay(device)
            devices[name] = ReplicaDevices(device, Beside(name, relays, silent))
            app = create_app(chosen, devices[name])
            await stack.enter_async_context(app.router.lifespan_context(app))
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            clients.append(await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://s")))
            await device.until(lambda client: not client.catalogue.starting)
        yield Two(clients[0], clients[1], devices, relays, silent)


async def ended(client: httpx.AsyncClient, location: str) -> Any:
    async with asyncio.timeout(20):
        while (answer := await client.get(location, headers={"accept": "application/json"})).status_code == 202:
            await asyncio.sleep(0.005)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_task_is_read_followed_and_stopped_through_the_other_replica(store: Path) -> None:
    async with two(store) as replicas:
        asked = {**multipart(images(1)[0]), "headers": {"prefer": "respond-async"}}
        begun = await replicas.a.post("/inpaint?steps=40&seed=4&n=2", **asked)
        location = begun.headers["location"]
        assert await replicas.holder(begun.json()["id"]) == "a"
        found = await ended(replicas.b, location)
        assert found == await ended(replicas.a, location)
        assert found["seed"] == 4
        told = events_in((await replicas.b.get(location, headers=EVENTS)).text)
        assert told[-1] == ("result", found)

        endless = (await replicas.a.post(f"/inpaint?{LONG}", **asked)).headers["location"]
        following = asyncio.create_task(replicas.b.get(endless, headers=EVENTS))
        async with asyncio.timeout(20):
            while (await replicas.b.get(endless)).json()["step"] == 0:
                await asyncio.sleep(0.005)
        assert (await replicas.b.delete(endless)).json()["state"] in ("stopping", "stopped")
        told = events_in((await following).text)
        assert told[-1][0] == "result"
        assert told[-1][1]["state"] == "stopped"
        assert {name for name, _ in told[:-1]} == {"progress"}


async def test_the_same_put_through_both_is_one_task(store: Path) -> None:
    async with two(store) as replicas:
        image, other = images(2)
        held = set()
        for number in range(4):
            path = f"/inpaint/mine{number}?steps=200"
            answers = await asyncio.gather(*(side.put(path, **multipart(image)) for side in (replicas.a, replicas.b)))
            assert [answer.status_code for answer in answers] in ([202, 202], [202, 200], [200, 202])
            assert answers[0].json()["seed"] == answers[1].json()["seed"]
            held.add(await replicas.holder(f"mine{number}"))
            for side in (replicas.a, replicas.b):
                assert_problem(await side.put(path, **multipart(other)), 409, "id")
        assert held == {"a", "b"}, "ids are divided among the replicas"


async def test_tasks_are_lost_with_their_replica_and_ids_are_free_again(store: Path) -> None:
    async with two(store) as replicas:
        asked = multipart(images(1)[0])
        begun = await replicas.b.post("/inpaint?steps=3", **asked, headers={"prefer": "respond-async"})
        location = begun.headers["location"]
        await ended(replicas.a, location)
        replicas.end("b")
        assert_problem(await replicas.a.get(location), 404, "id")
        assert_problem(await replicas.a.get(location, headers=EVENTS), 404, "id")
        assert (await replicas.a.put(f"{location}?steps=3", **asked)).status_code == 202
        assert await replicas.holder(begun.json()["id"]) == "a"


async def test_a_silent_replica_is_not_taken_for_one_without_the_task(store: Path) -> None:
    async with two(store) as replicas:
        replicas.silent.add("b")
        answer = await replicas.a.get("/inpaint/unknown")
        assert_problem(answer, 503)
        assert answer.headers["retry-after"] == "5"
        assert_problem(await replicas.a.put("/inpaint/new?steps=3", **multipart(images(1)[0])), 503)
        replicas.silent.clear()
        assert_problem(await replicas.a.get("/inpaint/unknown"), 404, "id")


async def test_the_replica_of_an_id_admits_what_another_one_hands_on(store: Path) -> None:
    async with two(store, queue_item_ticks=1000) as replicas:
        answers = [
            await replicas.a.put(f"/inpaint/much{number}?steps=900&method=nice", **multipart(images(1)[0]))
            for number in range(12)
        ]
        assert {answer.status_code for answer in answers} <= {202, 429}
        assert 429 in {answer.status_code for answer in answers}
        assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 429)


async def test_loading_and_unloading_reach_every_replica(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    store = tmp_path / "store"
    publish_small(store, "digits", DIGITS)
    publish_small(store, "points", POINTS)

    async def versions(side: httpx.AsyncClient) -> list[str]:
        return [model["reference"] for model in (await side.get("/models")).json()["models"]]

    async with two(store, admin_token_file=tmp_path / "token") as replicas:
        publish_small(store, "points", POINTS, seed=1)
        answer = await replicas.b.post("/v2/repository/models/points/load", headers=ADMIN)
        assert answer.status_code == 200, answer.text
        assert await versions(replicas.a) == await versions(replicas.b) == ["digits@1", "points@2"]
        assert (await replicas.a.post("/v2/repository/models/points/unload", headers=ADMIN)).status_code == 200
        assert await versions(replicas.a) == await versions(replicas.b) == ["digits@1"]
        assert (await replicas.a.post("/v2/repository/models/points/unload", headers=ADMIN)).status_code == 404

        # As a replica that begins now finds it: the store has both, and a newer version of one.
        publish_small(store, "digits", DIGITS, seed=1)
        own = in_process(Settings(store=store, device="cpu"))[1]
        newcomer = ReplicaDevices(own, Beside("c", {**replicas.relays, "c": Relay(own)}, set()))
        await newcomer.start()
        await own.until(lambda client: client.alive and not client.catalogue.starting)
        await newcomer.agree({name: relay.serves() for name, relay in replicas.relays.items()})
        assert [model.reference for model in newcomer.catalogue.models] == ["digits@2"]
        assert await versions(replicas.a) == await versions(replicas.b) == ["digits@2"]
        await newcomer.stop()


async def test_drift_is_that_of_all_replicas(calibrated_store: Path) -> None:
    async with two(calibrated_store) as replicas:
        for side, seed in ((replicas.a, 0), (replicas.b, 1)):
            points = np.random.default_rng(seed).standard_normal((128, 2)).tolist()
            assert (await side.post("/score?model=points", json={"items": points})).status_code == 200
        async with asyncio.timeout(20):
            while sum(key["items"] for key in (await _drift(replicas.a))["keys"] if key["key"] is None) < 256:
                await asyncio.sleep(0.02)
        assert await _drift(replicas.a) == await _drift(replicas.b)


async def _drift(side: httpx.AsyncClient) -> Any:
    answer = await side.get("/models/points/drift")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_request_crosses_with_the_seconds_it_has_left_and_whose_it_is() -> None:
    packing, tenant = Packing(), Tenant("somebody", 3)
    TENANT.set(tenant)
    sent = m.Submit(7, "digits@1", "sample", time.monotonic() + 50, n=3)
    frames = packing.request(sent)
    await asyncio.sleep(0.05)
    found = packing.request_of(frames)
    assert isinstance(found, m.Submit)
    assert found.deadline - time.monotonic() == pytest.approx(50, abs=0.04)
    assert (found.tenant, found.n, found.model) == (tenant, 3, "digits@1")
    assert sent.tenant is None, "what is sent is a copy"
