"""Keeps one device process alive: starts it, notices when it dies or hangs, starts it again, and gives up at last."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress

from service.processes import PARENT, importing
from service.protocol.messages import Ping
from service.protocol.sockets import SocketClient
from service.settings import Settings

logger = logging.getLogger("sluice")

MOST_DEATHS, WITHIN = 3, 60.0
"""A process that dies so often within this many seconds will not get better by being started again."""
_PING_EVERY = 1.0
_GRACE = 5.0
"""Seconds that the device has to end after it was asked to."""
_SLOWEST_START = 120.0
"""Seconds that a device may take to its first answer: it imports torch and finds the hardware before that."""


class KeepsDying(RuntimeError):
    """A child process has died three times within a minute."""


class Deaths:
    """The latest deaths of one process."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=MOST_DEATHS)

    def note(self, what: str) -> None:
        """One more. Raises KeepsDying."""
        self._times.append(time.monotonic())
        if len(self._times) == MOST_DEATHS and self._times[-1] - self._times[0] < WITHIN:
            raise KeepsDying(f"{what} has died {MOST_DEATHS} times within {WITHIN:.0f} seconds")


class DeviceKeeper:
    """``run`` returns after ``stop``; it raises KeepsDying when the device dies too often, and may then be run again.

    ``environment`` says where the process computes. ``title`` is its name in the log, where there are several.
    """

    def __init__(
        self, settings: Settings, endpoint: str, client: SocketClient, environment: Mapping[str, str], title: str = ""
    ) -> None:
        self._settings, self._endpoint, self._client = settings, endpoint, client
        self._environment, self._title = environment, title
        self._what = f"the device process {title}".rstrip()
        self._restarts = 0
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False

    async def run(self) -> None:
        deaths = Deaths()
        while not self._stopping:
            self._process = process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "service.device",
                self._endpoint,
                str(self._restarts),
                *filter(None, [self._title]),
                env={**environment_of(self._settings), **self._environment},
                start_new_session=True,
            )
            if self._stopping:  # asked to while the process was being started
                process.terminate()
            watching = asyncio.create_task(self._watch(process))
            code = await process.wait()
            watching.cancel()
            if self._stopping:
                return
            self._restarts += 1
            logger.error("%s has died (%s); it is started again", self._what, _how(code))
            deaths.note(self._what)

    async def stop(self) -> None:
        """Ask the device to end, and make sure that it does."""
        self._stopping = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
            try:
                async with asyncio.timeout(_GRACE):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        """Kill a device that does not answer between two ticks for longer than it may."""
        patience = self._settings.device_patience
        while True:
            try:
                async with asyncio.timeout(max(patience, _SLOWEST_START)):
                    await self._client.until(lambda client: client.alive)
                async with asyncio.timeout(patience):
                    await self._client.ask(Ping)
            except TimeoutError:
                logger.error("%s does not answer: it hangs", self._what)
                with suppress(ProcessLookupError):
                    process.kill()
                return
            except Exception as error:  # it died meanwhile, which whoever waits for the process sees
                logger.debug("no answer to a ping: %s", error)
            await asyncio.sleep(_PING_EVERY)


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment of a child process: this one's, the settings, and the place where Sluice's packages lie."""
    dumped = settings.model_dump().items()
    said = {f"SLUICE_{key.upper()}": "" if value is None else str(value) for key, value in dumped}
    return importing({**os.environ, **said, PARENT: str(os.getpid())})


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
