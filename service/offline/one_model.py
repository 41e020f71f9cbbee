"""One model of a store, served by a device in a thread of this process: for commands that need no service."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from model_store import LoadedModel
from service.device import hardware
from service.device.company import with_least_rows
from service.device.descriptions import info_of
from service.device.loop import DeviceLoop
from service.device.main import in_process
from service.device.threads import most_threads
from service.opened_store import store_of
from service.protocol.client import DeviceClient
from service.protocol.model_info import ModelInfo
from service.settings import Settings

_YEAR = 365 * 86_400.0
"""Seconds: nobody gives up the work of a command but its user."""


def load_model(reference: str | None, store: Path | str | None, settings: Settings) -> LoadedModel:
    """A model with every check, on the device of the settings. Raises StoreError."""
    shelf, device = store_of(settings, store), hardware.device_of(settings)
    model = shelf.load(*shelf.resolve(reference), device, bfloat16=hardware.bfloat16_allowed(settings, device))
    return with_least_rows(model, most_threads(settings.threads))


class OneModel(NamedTuple):
    """The device and the model that it serves."""

    info: ModelInfo
    device: DeviceClient
    loop: DeviceLoop

    @property
    def waiting(self) -> int:
        """Item-ticks that wait in the device."""
        return self.loop.account.waiting


@asynccontextmanager
async def serving_one(model: LoadedModel, settings: Settings) -> AsyncIterator[OneModel]:
    """A device that serves this one model, as long as the context lasts."""
    # Where the model is: chosen once more, the device would be told once more.
    loop, device = in_process(settings.model_copy(update={"device": str(model.flow.device)}), [model])
    await device.start()
    try:
        await device.until(lambda client: client.alive or client.failed)
        yield OneModel(info_of(model, ()), device, loop)
    finally:
        await device.stop()


def far_deadline() -> float:
    """A reading of time.monotonic() that no command reaches."""
    return time.monotonic() + _YEAR
