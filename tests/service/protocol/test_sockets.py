"""Both ends of a real ZeroMQ connection: arrays, cancels, and a device that dies."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from service.protocol import messages as m
from service.protocol.errors import OutOfMemory, Unavailable
from service.protocol.sockets import SocketClient, SocketPort
from tests.service.helpers import until
from tests.service.protocol.samples import model_info

pytestmark = pytest.mark.anyio
MODELS = m.Models((model_info(),), (), (), "digits", False)


@pytest.fixture
def endpoint() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="sluice-") as folder:  # short: a socket's path has a bound
        yield f"ipc://{folder}/device"


class Device:
    """A device in a thread that answers pings, doubles what it gets and notes cancels."""

    def __init__(self, endpoint: str) -> None:
        self.heard: list[tuple[str, m.Up]] = []
        self._over = False
        self._port = SocketPort(endpoint)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._over = True
        self._port.wake()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def of(self, kind: type[Any]) -> list[Any]:
        return [message for _, message in self.heard if isinstance(message, kind)]

    def _run(self) -> None:
        while not self._over:
            for peer, message in self._port.receive(5.0):
                self.heard.append((peer, message))
                if isinstance(message, m.Hello):
                    self._port.send(peer, [MODELS])
                elif isinstance(message, m.Ping):
                    self._port.send(peer, [m.Told(message.id, peer.encode())])
                elif isinstance(message, m.Submit) and message.kind == "score":
                    doubled = {name: array * 2 for name, array in message.arrays.items()}
                    rows = len(doubled["items"])
                    self._port.send(peer, [m.Report(0, None, message.id), m.Results([message.id], [rows], doubled, {})])
        self._port.close()


@asynccontextmanager
async def connected(endpoint: str, peer: str | None = None) -> AsyncIterator[SocketClient]:
    client = SocketClient(10**6, endpoint, peer)
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


def score(items: np.ndarray, kind: m.Kind = "score") -> Callable[[int], m.Submit]:
    return lambda number: m.Submit(number, "digits@1", kind, 0.0, {"items": items})


async def test_arrays_of_any_size_come_and_go(endpoint: str) -> None:
    device = Device(endpoint)
    try:
        async with connected(endpoint) as client, asyncio.timeout(30):
            await client.until(lambda client: client.alive)
            sizes = [0, 1, 5, 2047, 2048, 2049, 100_000, 4_000_000]
            arrays = [np.arange(size, dtype=np.float64).reshape(size, 1) for size in sizes]
            answers = await asyncio.gather(*(client.ask(score(array)) for array in arrays))
            for answer, array in zip(answers, arrays, strict=True):
                np.testing.assert_array_equal(answer.arrays["items"], 2 * array)
            assert client.queue.waiting == 0
    finally:
        device.stop()


async def test_what_cannot_be_sent_for_want_of_memory_fails_alone_and_what_follows_is_whole(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Frame(zmq.Frame):
        def __init__(self, data: Any = None, **options: Any) -> None:
            super().__init__(data, **options)
            if data is not None and memoryview(data).nbytes > 10**6:
                raise MemoryError

    device = Device(endpoint)
    try:
        async with connected(endpoint) as client, asyncio.timeout(30):
            await client.until(lambda client: client.alive)
            with monkeypatch.context() as patch:
                patch.setattr(zmq, "Frame", Frame)
                with pytest.raises(OutOfMemory):
                    await client.ask(score(np.zeros((10**6, 1))))
                for size in (1, 50_000):
                    assert (await client.ask(score(np.ones((size, 1))))).arrays["items"].sum() == 2 * size
            assert (await client.ask(score(np.ones((10**6, 1))))).arrays["items"].sum() == 2 * 10**6
    finally:
        device.stop()


async def test_an_answer_that_cannot_be_read_for_want_of_memory_is_told_and_the_next_is_whole(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, received = Device(endpoint), zmq.Socket.recv

    def recv(self: Any, *arguments: Any, **options: Any) -> Any:
        found = received(self, *arguments, **options)
        if self.type == zmq.DEALER and self.getsockopt(zmq.RCVMORE):
            raise MemoryError  # the first frame of an answer with arrays is lost
        return found

    try:
        async with connected(endpoint) as client, asyncio.timeout(30):
            await client.until(lambda client: client.alive)
            with monkeypatch.context() as patch:
                patch.setattr(zmq.Socket, "recv", recv)
                with pytest.raises(OutOfMemory):
                    await client.ask(score(np.ones((50_000, 1))))
            await until(lambda: device.of(m.Cancel) and len(device.of(m.Hello)) > 1)
            assert (await client.ask(score(np.ones((50_000, 1))))).arrays["items"].sum() == 100_000
    finally:
        device.stop()


async def test_a_question_that_cannot_be_read_for_want_of_memory_fails_and_the_device_goes_on(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, received = Device(endpoint), zmq.Socket.recv
    short = [True]

    def recv(self: Any, *arguments: Any, **options: Any) -> Any:
        if self.type == zmq.ROUTER and options.get("copy") is False and short:
            short.clear()
            raise MemoryError
        return received(self, *arguments, **options)

    try:
        async with connected(endpoint) as client, connected(endpoint, "other") as other, asyncio.timeout(30):
            await client.until(lambda client: client.alive)
            with monkeypatch.context() as patch:
                patch.setattr(zmq.Socket, "recv", recv)
                with pytest.raises(OutOfMemory):
                    await client.ask(score(np.ones((50_000, 1))))
            assert not short
            for each in (client, other):
                assert (await each.ask(score(np.ones((50_000, 1))))).arrays["items"].sum() == 100_000
    finally:
        device.stop()


async def test_several_clients_get_their_own_answers(endpoint: str) -> None:
    device = Device(endpoint)
    try:
        async with connected(endpoint, "one") as one, connected(endpoint, "two") as two, asyncio.timeout(30):
            for client in (one, two):
                await client.until(lambda client: client.alive)
            answers = await asyncio.gather(*(client.ask(m.Ping) for client in (one, two) * 20))
            assert [answer.data for answer in answers] == [b"one", b"two"] * 20
    finally:
        device.stop()


async def test_a_cancel_arrives_after_what_it_cancels(endpoint: str) -> None:
    device = Device(endpoint)
    try:
        async with connected(endpoint) as client, asyncio.timeout(30):
            await client.until(lambda client: client.alive)
            waiting = asyncio.create_task(client.ask(score(np.zeros((9, 1)), kind="encode")))
            await until(lambda: device.of(m.Submit))
            waiting.cancel()
            await until(lambda: device.of(m.Cancel))
            assert device.of(m.Cancel) == [m.Cancel(device.of(m.Submit)[0].id)]
            await client.ask(m.Ping)
    finally:
        device.stop()


async def test_a_client_may_come_before_its_device(endpoint: str) -> None:
    async with connected(endpoint) as client, asyncio.timeout(30):
        await asyncio.sleep(0.2)
        assert (client.alive, client.lost) == (False, False)
        with pytest.raises(Unavailable):
            await client.ask(m.Ping)
        device = Device(endpoint)
        try:
            await client.until(lambda client: client.alive)
            await client.ask(m.Ping)
        finally:
            device.stop()


async def test_a_device_that_ends_fails_what_waits_and_the_client_finds_its_successor(endpoint: str) -> None:
    async with connected(endpoint) as client, asyncio.timeout(60):
        for _ in range(3):
            device = Device(endpoint)
            try:
                await client.until(lambda client: client.alive)
                assert client.catalogue.get("digits").name == "digits"
                assert (await client.ask(score(np.ones((2, 1))))).arrays["items"].tolist() == [[2], [2]]
                waiting = [asyncio.create_task(client.ask(score(np.zeros((3, 1)), kind="encode"))) for _ in range(5)]
                await until(lambda device=device: len(device.of(m.Submit)) == 6)  # type: ignore[misc]
            finally:
                device.stop()
            for found in await asyncio.gather(*waiting, return_exceptions=True):
                assert isinstance(found, Unavailable)
                assert found.retry_after
            assert (client.alive, client.lost, client.queue.waiting) == (False, True, 0)


_SILENT = """
import sys
from service.protocol import messages as m
from service.protocol.sockets import SocketPort
port = SocketPort(sys.argv[1])
while True:
    for peer, message in port.receive(60.0):
        if isinstance(message, m.Hello):
            port.send(peer, [m.Models((), (), (), None, False)])
        else:
            print("heard", flush=True)
"""


async def test_a_device_process_that_is_killed_fails_what_waits(endpoint: str) -> None:
    root = str(Path(__file__).parents[3])
    process = subprocess.Popen([sys.executable, "-c", _SILENT, endpoint], stdout=subprocess.PIPE, cwd=root)
    assert process.stdout is not None
    try:
        async with connected(endpoint) as client, asyncio.timeout(60):
            await client.until(lambda client: client.alive)
            large = asyncio.create_task(client.ask(score(np.zeros((1_000_000, 1)))))
            await asyncio.to_thread(process.stdout.readline)
            process.kill()
            with pytest.raises(Unavailable):
                await large
            assert client.lost
    finally:
        process.kill()
        process.wait()


async def test_waking_ends_a_wait_at_once(endpoint: str) -> None:
    port = SocketPort(endpoint)
    waiting = asyncio.create_task(asyncio.to_thread(port.receive, 60.0))
    await asyncio.sleep(0.05)
    port.wake()
    assert list(await asyncio.wait_for(waiting, 20)) == []
    port.send("nobody", [MODELS])
    port.close()
