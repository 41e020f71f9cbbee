"""The device process: settings from the environment, one loop, one socket. Or the same loop in a thread."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Sequence

from model_store import LoadedModel
from service.device.loop import DeviceLoop
from service.logs import log_as
from service.protocol.in_process import InProcess
from service.protocol.port import Port
from service.protocol.sockets import SocketPort
from service.settings import Settings


def in_process(settings: Settings, models: Sequence[LoadedModel] | None = None) -> tuple[DeviceLoop, InProcess]:
    """A device in a thread of this process, and its client; see ``DeviceLoop`` for ``models``."""
    loop = DeviceLoop(settings, models)
    return loop, InProcess(settings.queue_item_ticks, loop.run, loop.stop)


def main(endpoint: str, restarts: int, name: str = "") -> None:
    """Run until SIGTERM, or until the parent dies. ``restarts`` counts the device processes before this one.

    ``name`` tells it apart in the log, where there are several.
    """
    log_as(f"device {name}".rstrip())
    loop, port = DeviceLoop(Settings(), name=name), SocketPort(endpoint)
    loop.metrics.restarts.inc(restarts)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the supervisor decides
    signal.signal(signal.SIGTERM, _stopper(loop, port))
    try:
        loop.run(port)
    except BaseException:
        logging.getLogger("sluice").critical("the device has died", exc_info=True)
        _leave(1)
    _leave(0)


def _leave(code: int) -> None:
    """End the process at once: a thread that is loading a model would abort Python's own way out."""
    logging.shutdown()
    os._exit(code)


def _stopper(loop: DeviceLoop, port: Port) -> Callable[..., None]:
    def stop(*_: object) -> None:
        loop.stop()
        port.wake()

    return stop
