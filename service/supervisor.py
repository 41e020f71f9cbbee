"""The supervisor: starts the device processes and the api processes, passes signals on, and starts again what died.

    client ── HTTP ──> api process 1..N ── messages ──> device process 1..K
                              └───────── supervisor ─────────┘

It binds the port before anything else, so that a taken port is told at once and connections wait while an api process
is started again.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
import socket
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from service.cpus import usable_cpus
from service.device_names import NoSuchDevice
from service.device_processes import DeviceProcesses
from service.keeper import Deaths, KeepsDying, environment_of
from service.protocol.messages import Gone
from service.settings import Settings

logger = logging.getLogger("sluice")

_CPUS_A_PROCESS = 4
"""CPUs for each api process, where the settings do not say."""
_BACKLOG = 2048
_TWICE = 0.3
"""Seconds within which the same signal again counts as sent once: some process managers send it twice."""


class PortTaken(OSError):
    """The address cannot be listened on."""


def listen(settings: Settings) -> socket.socket:
    """The socket that all api processes accept connections on. Raises PortTaken."""
    return _listening(settings.host, settings.port)


def listen_for_metrics(settings: Settings) -> socket.socket | None:
    """The socket that answers metrics and probes alone, where the settings name a port for it. Raises PortTaken."""
    if settings.metrics_port is None:
        return None
    if settings.metrics_port == settings.port:
        raise PortTaken(f"metrics_port is {settings.port}, as port is: it must be another one")
    return _listening(settings.metrics_host or settings.host, settings.metrics_port)


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise PortTaken(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    listener.set_inheritable(True)
    return listener


def supervise(settings: Settings, listener: socket.socket, metrics: socket.socket | None = None) -> int:
    """Run the service until a signal ends it; its exit code. ``metrics`` answers metrics and probes alone."""
    try:
        supervisor = Supervisor(settings, listener, metrics)
    except NoSuchDevice as error:
        logger.critical("%s", error)
        return 1
    except OSError as error:
        logger.critical("there is no folder for the sockets between the processes: %s", error.strerror or error)
        return 1
    return asyncio.run(supervisor.run())


class Supervisor:
    """Starts and watches the children of one service."""

    def __init__(self, settings: Settings, listener: socket.socket, metrics: socket.socket | None = None) -> None:
        self._settings, self._listener = settings, listener
        self._listeners = [listener] if metrics is None else [listener, metrics]
        self._folder = Path(tempfile.mkdtemp(prefix="sluice-"))
        try:
            self._devices = DeviceProcesses(settings, self._folder, "supervisor")
        except NoSuchDevice:
            self._folder.rmdir()
            raise
        self._apis: set[asyncio.subprocess.Process] = set()
        self._signal: signal.Signals | None = None
        self._signalled = 0.0

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._pass_on, number)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # the terminal closes, and there is no nohup
            loop.add_signal_handler(signal.SIGHUP, self._pass_on, signal.SIGTERM)
        count = self._settings.api_processes or max(usable_cpus() // _CPUS_A_PROCESS, 1)
        host, port = self._listener.getsockname()[:2]
        logger.info("listening on http://%s:%d with %d api processes", host, port, count)
        try:
            (self._folder / "metrics").mkdir()
            for client in self._devices.clients:
                await client.start()
            devices = asyncio.create_task(self._devices.run())
            apis = [asyncio.create_task(self._keep_api()) for _ in range(count)]
            await self._until_over(devices, apis)
            return 0
        except KeepsDying as error:
            logger.critical("%s", error)
            return 1
        finally:
            await self._end()

    async def _until_over(self, devices: asyncio.Task[None], apis: list[asyncio.Task[None]]) -> None:
        """Returns when every api process has ended as it was asked to. Raises KeepsDying."""
        waiting: set[asyncio.Task[None]] = {devices, *apis}
        while any(api in waiting for api in apis):
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()

    async def _keep_api(self) -> None:
        deaths = Deaths()
        metrics = str(self._folder / "metrics")
        environment = environment_of(self._settings) | {"PROMETHEUS_MULTIPROC_DIR": metrics}
        numbers = [listener.fileno() for listener in self._listeners]
        while self._signal is None:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "service.api",
                ",".join(map(str, numbers)),
                *(f"{name}={endpoint}" for name, endpoint in self._devices.endpoints.items()),
                env=environment,
                pass_fds=numbers,
                start_new_session=True,
            )
            self._apis.add(process)
            if self._signal is not None:  # it came before the process was known here
                self._send(process, self._signal)
            code = await process.wait()
            self._apis.discard(process)
            self._forget(process.pid)
            if self._signal is None:
                logger.error("an api process has died (exit code %d); it is started again", code)
                deaths.note("an api process")

    def _forget(self, pid: int) -> None:
        """Nobody waits for the answers of this process any more, and it has no requests in flight."""
        for client in self._devices.clients:
            with suppress(Exception):  # the device may be dead as well
                client.tell(Gone(f"api-{pid}"))
        for file in (self._folder / "metrics").glob(f"gauge_live*_{pid}.db"):
            file.unlink(missing_ok=True)

    def _pass_on(self, number: signal.Signals) -> None:
        """SIGTERM drains with the settings' delay, SIGINT without; the same again gives up what is in flight."""
        for listener in self._listeners:  # the api processes listen on; once they stop, connections are refused
            listener.close()
        force = self._signal is number and time.monotonic() - self._signalled > _TWICE
        if self._signal is None:
            self._signalled = time.monotonic()
        if self._signal is None or force or number is signal.SIGINT:
            for process in self._apis:
                self._send(process, signal.SIGKILL if force else number)
        self._signal = number if self._signal is None or number is signal.SIGINT else self._signal

    def _send(self, process: asyncio.subprocess.Process, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            process.send_signal(number)

    async def _end(self) -> None:
        self._signal = self._signal or signal.SIGTERM
        for process in list(self._apis):
            self._send(process, signal.SIGKILL)
        await self._devices.stop()
        for client in self._devices.clients:
            await client.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
