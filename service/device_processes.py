"""The device processes of a service, one for each device, and the clients that watch them."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from pathlib import Path

from service.agreement import agree
from service.cpus import share_of_cpus
from service.devices import devices_of
from service.keeper import WITHIN, DeviceKeeper, KeepsDying
from service.protocol.client import DeviceClient
from service.protocol.errors import Problem
from service.protocol.sockets import SocketClient
from service.settings import Settings

logger = logging.getLogger("sluice")


class DeviceProcesses:
    """``run`` returns after ``stop``. ``folder`` is where the sockets lie, ``peer`` the clients' name to the devices.

    Raises NoSuchDevice, where it is made, for a device that is not there.
    """

    def __init__(self, settings: Settings, folder: Path, peer: str | None = None) -> None:
        devices = devices_of(settings)
        share = share_of_cpus(len(devices))
        threads = {"SLUICE_THREADS": str(min(settings.threads or share, share))}
        self.endpoints = {device.name: f"ipc://{folder}/device-{number}" for number, device in enumerate(devices)}
        """By the devices' names."""
        self.clients: list[SocketClient] = []
        self._keepers: list[DeviceKeeper] = []
        for device in devices:
            endpoint = self.endpoints[device.name]
            client = SocketClient(settings.queue_item_ticks, endpoint, peer, device.name)
            title = device.name if len(devices) > 1 else ""
            self.clients.append(client)
            self._keepers.append(DeviceKeeper(settings, endpoint, client, device.environment() | threads, title))
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Keep all of them alive. Raises KeepsDying when one dies too often and no other serves."""
        watching = [asyncio.create_task(self._watch(client)) for client in self.clients]
        try:
            await asyncio.gather(*map(self._keep, self._keepers, self.clients))
        finally:
            for task in watching:
                task.cancel()

    async def stop(self) -> None:
        """Ask the processes to end, and make sure that they do."""
        self._stopped.set()
        await asyncio.gather(*(keeper.stop() for keeper in self._keepers))

    async def _keep(self, keeper: DeviceKeeper, client: DeviceClient) -> None:
        while not self._stopped.is_set():
            try:
                await keeper.run()
            except KeepsDying as error:
                if not any(other.alive for other in self.clients if other is not client):
                    raise
                logger.critical("%s; the others go on, and it is started again in %.0f seconds", error, WITHIN)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopped.wait(), WITHIN)

    async def _watch(self, client: DeviceClient) -> None:
        """Whenever the device has loaded its models, see to it that all devices serve the same."""
        while len(self.clients) > 1:
            await client.until(lambda client: client.alive and not client.catalogue.starting)
            others = [other for other in self.clients if other is not client]
            try:
                await agree(client, [other for other in others if other.alive and not other.catalogue.starting])
            except Problem as problem:
                logger.warning("the devices do not serve the same models: %s", problem.detail)
            await client.until(lambda client: not client.alive)
