"""A fleet that starts the device processes itself, for an application without a supervisor."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from pathlib import Path

from service.device_processes import DeviceProcesses
from service.keeper import KeepsDying
from service.protocol.fleet import Fleet
from service.settings import Settings

logger = logging.getLogger("sluice")


class OwnDevices(Fleet):
    """Raises NoSuchDevice, where it is made, for a device that is not there."""

    def __init__(self, settings: Settings) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="sluice-")
        self._processes = DeviceProcesses(settings, Path(self._folder.name))
        super().__init__(settings.queue_item_ticks, self._processes.clients)
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await super().start()
        self._keeping = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        await self._processes.stop()
        if self._keeping is not None:
            await self._keeping
        await super().stop()
        self._folder.cleanup()

    async def _keep(self) -> None:
        try:
            await self._processes.run()
        except KeepsDying as error:
            logger.critical("%s", error)
            await self._processes.stop()
            for client in self.clients:
                client.give_up()
