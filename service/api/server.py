"""The uvicorn server of one api process, which says "not ready" before it closes its listeners."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from types import FrameType
from typing import Any

import uvicorn

from service.api.app import create_app
from service.api.connections import Crowd, connection_maker, limits_of
from service.api.service import Service, State
from service.heap import Trimmer
from service.protocol.fleet import Fleet
from service.protocol.sockets import SocketClient
from service.settings import Settings

_TICKS_A_SECOND = 10
"""Of uvicorn's main loop."""


class Server(uvicorn.Server):
    """On SIGTERM: readiness 503, the settings' delay while requests are still taken, then close, finish, exit 0.

    SIGINT skips the delay. Another signal changes nothing: what is in flight is finished.
    """

    def __init__(self, config: uvicorn.Config, service: Service, crowd: Crowd) -> None:
        super().__init__(config)
        self._service, self._crowd = service, crowd
        self._close_at: float | None = None
        self._settled = False
        self._trimmer = Trimmer()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 (uvicorn's signature)
        # uvicorn would raise the signal again once it is done, and the process would die of it instead of exiting 0.
        self._service.drain()
        delay = self._service.settings.drain_delay if sig == signal.SIGTERM else 0.0
        close_at = time.monotonic() + delay
        self._close_at = close_at if self._close_at is None else min(self._close_at, close_at)

    async def on_tick(self, counter: int) -> bool:
        if not self._settled and self._service.state is State.READY:
            gc.collect()
            gc.freeze()  # modules live as long as the process: looking through them holds up requests
            self._settled = True
        if counter % _TICKS_A_SECOND == 0:
            self._crowd.sweep()
            state = self.server_state
            self._trimmer.look((state.total_requests, len(state.connections), len(state.tasks)))
        self.should_exit = self._close_at is not None and time.monotonic() >= self._close_at
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take the connections that wait on the listening sockets, close these, and finish what has been asked."""
        late = [one for listener in sockets or [] for one in _waiting_on(listener)]
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        loop = asyncio.get_running_loop()
        for one in late:
            await loop.connect_accepted_socket(self._connection, one)
        # No request lasts longer. A stream that follows a task may: it is told, before uvicorn cuts what is left.
        loop.call_later(self._service.settings.deadline, self._service.device.dismiss)
        await super().shutdown(sockets)

    def _connection(self) -> asyncio.Protocol:
        maker: Any = self.config.http_protocol_class
        made: asyncio.Protocol = maker(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made


def _waiting_on(listener: socket.socket) -> list[socket.socket]:
    """The connections that are established and that nobody has accepted: closing the listener would reset them."""
    found = []
    with suppress(OSError):
        listener.setblocking(False)
        while True:
            found.append(listener.accept()[0])
            found[-1].setblocking(False)
    return found


def serve(listeners: Sequence[int], endpoints: Mapping[str, str]) -> None:
    """Run one api process on inherited listening sockets until a signal ends it. ``endpoints`` are those of devices.

    They are given by the devices' names.
    """
    settings = Settings()
    bound = settings.queue_item_ticks
    clients = [SocketClient(bound, endpoint, name=name) for name, endpoint in endpoints.items()]
    app = create_app(settings, Fleet(bound, clients))
    crowd = Crowd(limits_of(settings))
    config = uvicorn.Config(
        app,
        http=connection_maker(crowd),  # type: ignore[arg-type]
        log_level="error",  # a warning for each request that is not valid HTTP would let any client fill the log
        access_log=False,
        timeout_keep_alive=settings.keep_alive,
        timeout_graceful_shutdown=int(settings.deadline) + 1,
    )
    with ExitStack() as open_sockets:
        inherited = [open_sockets.enter_context(socket.socket(fileno=number)) for number in listeners]
        Server(config, app.state.service, crowd).run(inherited)
