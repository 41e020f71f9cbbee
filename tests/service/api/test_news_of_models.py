"""A request whose model an api process has not heard of yet: the devices are asked before it is refused."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from service.api.app import create_app
from service.device.loop import DeviceLoop
from service.protocol.fleet import Fleet
from service.protocol.sockets import SocketClient, SocketPort
from service.settings import Settings
from tests.service.helpers import assert_problem

pytestmark = pytest.mark.anyio


@pytest.fixture
def endpoint() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="sluice-") as folder:  # short: a socket's path has a bound
        yield f"ipc://{folder}/device"


@contextmanager
def device(settings: Settings, endpoint: str) -> Iterator[None]:
    """The loop of a device process in a thread, behind a real socket."""
    loop, port = DeviceLoop(settings), SocketPort(endpoint)
    thread = threading.Thread(target=loop.run, args=(port,))
    thread.start()
    try:
        yield
    finally:
        loop.stop()
        port.wake()
        thread.join()


@pytest.fixture
async def api(store: Path, endpoint: str) -> AsyncIterator[httpx.AsyncClient]:
    """An api process that has just been started; nothing listens at the endpoint yet."""
    bound = 10**6
    app = create_app(Settings(store=store, device="cpu"), Fleet(bound, [SocketClient(bound, endpoint)]))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://api") as http:
        yield http


async def test_a_request_that_comes_before_the_first_news_waits_for_it(
    api: httpx.AsyncClient, store: Path, endpoint: str
) -> None:
    early = asyncio.create_task(api.post("/sample"))
    unknown = asyncio.create_task(api.get("/models/nobody"))
    await asyncio.sleep(0.1)
    assert not early.done()
    assert (await api.get("/health/live")).status_code == 200, "liveness waits for nothing"
    assert_problem(await api.get("/health/ready"), 503)
    with device(Settings(store=store, device="cpu"), endpoint):
        # The news may be that the model is being loaded.
        assert (await early).status_code in {200, 503}
        assert (await unknown).status_code in {404, 503}
        while (await api.get("/health/ready")).status_code != 200:
            await asyncio.sleep(0.02)
        assert (await api.post("/sample")).status_code == 200
        assert_problem(await api.get("/models/nobody"), 404, "model")


async def test_a_request_is_refused_in_the_end_where_no_news_comes(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.api.service._BEHIND", 0.1)
    assert_problem(await api.post("/sample"), 503)
