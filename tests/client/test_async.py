"""The client for event loops, against the service's ASGI door and in a real process."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import numpy as np
import pytest
from sluice_client import AsyncClient, Client, DeadlinePassed, ServiceError

from service import keys
from tests.client.conftest import MAX_ITEMS
from tests.service.helpers import HALF, images, running, until
from tests.service.servers import Server

pytestmark = pytest.mark.anyio


async def test_every_call_gives_what_the_other_client_gives(server: Server, client: Client) -> None:
    pixels = images(MAX_ITEMS + 100)
    async with AsyncClient(server.address) as beside:
        drawn, scores, latents, models = await asyncio.gather(
            beside.sample(150, seed=4), beside.score(pixels), beside.encode(pixels), beside.models()
        )
        assert np.array_equal(drawn, client.sample(150, seed=4))
        assert np.array_equal(scores.p_value, client.score(pixels).p_value)
        assert np.array_equal(await beside.decode(latents), pixels)
        assert sorted(models.names) == ["digits", "homes", "plain", "points"]
        assert (await beside.model("points")).version == 2
        assert await beside.card("points") == client.card("points")
        with pytest.raises(ServiceError) as refused:
            await beside.load("points")
        assert refused.value.status == 401


async def test_an_inpainting_is_followed_to_its_end(server: Server, client: Client) -> None:
    async with AsyncClient(server.address) as beside:
        begun = await beside.inpaint(images(1)[0], HALF, n=2, steps=30, seed=5)
        steps = [progress.step async for progress in begun]
        found = await begun.result()
    assert steps == sorted(steps)
    assert steps[-1] == 30
    assert begun.done
    other = client.inpaint(images(1)[0], HALF, n=2, steps=30, seed=5).result()
    assert np.array_equal(found, other)


async def test_the_asgi_door_of_a_service_is_enough(store: Path) -> None:
    async with running(store, max_n=10) as service:
        transport = httpx.ASGITransport(service.app)
        async with AsyncClient("http://sluice", transport=transport) as client:
            assert len(await client.sample(70)) == 70
            assert len(await client.score(images(3))) == 3


async def test_a_key_of_the_service_opens_it(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = keys.create(tmp_path / "keys.json", "laptop", ["infer", "read"])
    bare = keys.create(tmp_path / "keys.json", "script", ["infer"])
    async with running(store, keys_file=tmp_path / "keys.json") as service:
        transport = httpx.ASGITransport(service.app)
        async with AsyncClient("http://sluice", transport=transport) as stranger:
            with pytest.raises(ServiceError) as refused:
                await stranger.sample(1)
            assert refused.value.status == 401
        monkeypatch.setenv("SLUICE_API_KEY", key)
        async with AsyncClient("http://sluice", transport=transport) as known:
            assert len(await known.sample(1)) == 1
            assert len(await known.models()) == 4
            with pytest.raises(ServiceError) as forbidden:
                await known.load("points")
            assert forbidden.value.status == 403
        # A key that may compute and not look around knows no limits and no shapes; large batches go all the same.
        async with AsyncClient("http://sluice", transport=transport, key=bare) as blind:
            assert len(await blind.score(images(700))) == 700
            assert len(await blind.sample(70)) == 70
            with pytest.raises(ServiceError):
                await blind.models()


async def test_a_cancelled_inpainting_is_stopped_in_the_service(server: Server) -> None:
    async with AsyncClient(server.address) as client:
        begun = await client.inpaint(images(1)[0], HALF, n=100, steps=2000)
        waiting = asyncio.ensure_future(begun.result())
        await asyncio.sleep(0.3)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await until(lambda: server.get(f"/inpaint/{begun.id}") == 200)
        with pytest.raises(DeadlinePassed):
            await (await client.inpaint(images(1)[0], HALF, n=100, steps=2000, timeout=0.5)).result()
