"""Which device gets a task that none holds yet, so that two api processes asked for the same one agree."""

from __future__ import annotations

import time
from collections import OrderedDict

_KEPT = 60.0
"""Seconds. A claim bridges the time between looking for a task on all devices and sending it to one."""


class Claims:
    """For each task id the device that was named first. One device, which follows from the id, keeps its claim."""

    def __init__(self) -> None:
        self._devices: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def settle(self, task: str, device: str) -> str:
        """The device that gets the task: the one that was named before, or ``device``."""
        now = time.monotonic()
        while self._devices and next(iter(self._devices.values()))[0] < now - _KEPT:
            self._devices.popitem(last=False)
        return self._devices.setdefault(task, (now, device))[1]
