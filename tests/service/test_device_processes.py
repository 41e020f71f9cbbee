"""The device processes of a service: their share of the CPUs, and what is given up when one keeps dying."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from service import cpus, device_processes
from service.device_processes import DeviceProcesses
from service.keeper import KeepsDying
from service.protocol.sockets import SocketClient
from service.settings import Settings


class Keeper:
    """A keeper of nothing, whose device keeps dying for ``dying`` runs."""

    made: list[Keeper]

    def __init__(
        self, settings: Settings, endpoint: str, client: SocketClient, environment: Mapping[str, str], title: str
    ) -> None:
        self.environment, self.title, self.client = environment, title, client
        self.dying = self.runs = 0
        self._stopped = asyncio.Event()
        self.made.append(self)

    async def run(self) -> None:
        self.runs += 1
        if self.runs <= self.dying:
            raise KeepsDying(f"{self.title} has died 3 times")
        self.client.alive = True
        await self._stopped.wait()

    async def stop(self) -> None:
        self._stopped.set()


@pytest.fixture
def keepers(monkeypatch: pytest.MonkeyPatch) -> list[Keeper]:
    made: list[Keeper] = []
    monkeypatch.setattr(Keeper, "made", made, raising=False)
    monkeypatch.setattr(device_processes, "DeviceKeeper", Keeper)
    monkeypatch.setattr(device_processes, "WITHIN", 0.05)
    return made


@pytest.mark.parametrize(
    ("usable", "devices", "asked", "expected"),
    [(8, "cpu", None, "8"), (8, "cpu,cpu", None, "4"), (8, "cpu,cpu,cpu", 2, "2"), (2, "cpu,cpu,cpu", 8, "1")],
)
def test_device_processes_share_the_cpus(
    usable: int, devices: str, asked: int | None, expected: str, keepers: list[Keeper], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpus, "usable_cpus", lambda: usable)
    DeviceProcesses(Settings(devices=devices, threads=asked), Path("/nowhere"))
    assert {keeper.environment["SLUICE_THREADS"] for keeper in keepers} == {expected}


def test_each_process_has_an_endpoint_and_only_several_have_a_title(keepers: list[Keeper]) -> None:
    one = DeviceProcesses(Settings(devices="cpu"), Path("/nowhere"))
    two = DeviceProcesses(Settings(devices="cpu,cpu"), Path("/nowhere"))
    assert [keeper.title for keeper in keepers] == ["", "cpu:0", "cpu:1"]
    assert one.endpoints == {"cpu": "ipc:///nowhere/device-0"}
    assert two.endpoints == {"cpu:0": "ipc:///nowhere/device-0", "cpu:1": "ipc:///nowhere/device-1"}
    assert [client.name for client in two.clients] == ["cpu:0", "cpu:1"]


@pytest.mark.anyio
async def test_a_device_that_keeps_dying_is_tried_again_while_another_serves(
    keepers: list[Keeper], caplog: pytest.LogCaptureFixture
) -> None:
    processes = DeviceProcesses(Settings(devices="cpu,cpu"), Path("/nowhere"))
    lives, dies = keepers
    dies.dying, lives.client.alive = 2, True
    running = asyncio.create_task(processes.run())
    async with asyncio.timeout(10):
        while not dies.client.alive:
            await asyncio.sleep(0.01)
    assert (lives.runs, dies.runs) == (1, 3)
    assert [record.levelname for record in caplog.records] == ["CRITICAL"] * 2
    assert "cpu:1 has died 3 times; the others go on" in caplog.text
    await processes.stop()
    await asyncio.wait_for(running, 10)


@pytest.mark.anyio
async def test_when_no_other_device_serves_the_service_ends(keepers: list[Keeper]) -> None:
    processes = DeviceProcesses(Settings(devices="cpu,cpu"), Path("/nowhere"))
    for keeper in keepers:
        keeper.dying = 1
    with pytest.raises(KeepsDying):
        await asyncio.wait_for(processes.run(), 10)
    await processes.stop()
