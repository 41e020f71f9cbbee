"""One replica: an application in a process of Ray's, with device processes of its own.

Methods whose first argument is ``asker`` are called by siblings, by way of `siblings.py`. They return None to a replica
that asks itself, and where another replica is meant.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import ray
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.app import create_app
from service.api.routes.health import exposition_of
from service.api.service import Service
from service.own_devices import OwnDevices
from service.protocol.errors import Problem
from service.protocol.exposition import merged
from service.protocol.relay import Frames, Relay
from service.protocol.replicas import ReplicaDevices, SiblingGone
from service.ray_serve.scaling import WAITING
from service.ray_serve.siblings import RaySiblings
from service.settings import Settings

logger = logging.getLogger("sluice")

_METRICS_PATIENCE = 8.0
"""Seconds that the siblings may take to tell their metrics; Prometheus gives up after 10."""


class Replica:
    """Built where it runs: live objects such as sockets and processes do not cross between machines."""

    _own: OwnDevices
    _relay: Relay
    _siblings: RaySiblings
    _service: Service

    def __init__(self, settings: Settings) -> None:
        self._settings = _on_this_share(settings)
        # What is configured alike serves the same models; see ``ReplicaDevices.agree``.
        self._configured = hashlib.sha256(settings.model_dump_json().encode()).hexdigest()

    async def __serve_build_asgi_app__(self) -> ASGIApp:
        """Called by Ray in the event loop that will run the application."""
        self._own, self._siblings = OwnDevices(self._settings), RaySiblings()
        self._relay = Relay(self._own)
        devices = ReplicaDevices(self._own, self._siblings)
        application = create_app(self._settings, devices)
        self._service = application.state.service
        self._service.gathered = self._gathered

        async def join() -> None:
            for client in self._own.clients:
                await client.until(lambda client: client.failed or (client.alive and not client.catalogue.starting))
            if self._own.failed:
                raise RuntimeError("the device processes have died; the log of the replica says why")
            try:
                await devices.agree(await self._siblings.serving(self._configured))
            except (Problem, SiblingGone) as problem:  # no reason not to serve
                logger.warning("the replicas do not serve the same models: %s", problem)

        return UnderRay(application, join)

    def check_health(self) -> None:
        """Called by Ray. A replica whose devices have died for good is replaced; others are started again."""
        if self._own.failed:
            raise RuntimeError("the device processes have died; the log of the replica says why")

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Called by Ray: the seconds in which the devices work off what waits. See scaling.py."""
        return {WAITING: self._own.queue.seconds}

    # Called by siblings.

    async def holds(self, asker: str, task: str) -> tuple[str, bool | None] | None:
        return None if asker == self._siblings.own else (self._siblings.own, await self._relay.holds(task))

    async def serves(self, asker: str, configured: str) -> tuple[str, Frames] | None:
        if asker == self._siblings.own:
            return None
        return self._siblings.own, self._relay.serves() if configured == self._configured else []

    async def answer(self, asker: str, frames: Frames, replica: str | None = None) -> tuple[str, Frames] | None:
        own = self._siblings.own
        return None if asker == own or replica not in (None, own) else (own, await self._relay.answer(frames))

    async def follow(self, asker: str, frames: Frames, replica: str) -> AsyncIterator[Frames | None]:
        if replica != self._siblings.own or asker == replica:
            yield None
            return
        async for told in self._relay.follow(frames):
            yield told

    async def exposition(self, asker: str) -> tuple[str, bytes] | None:
        own = self._siblings.own
        return None if asker == own else (own, await exposition_of(self._service))

    async def _gathered(self, own: bytes) -> bytes:
        """The metrics of this replica and of its siblings, told apart by the label ``replica``."""
        others = await self._siblings.expositions(_METRICS_PATIENCE)
        return merged({self._siblings.own: own, **others}, "replica")


class UnderRay:
    """An application as Ray's server runs it: it has started once it can take requests, which ``join`` waits for."""

    def __init__(self, application: ASGIApp, join: Callable[[], Awaitable[None]]) -> None:
        self._application, self._join = application, join

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        tell = self._started if scope["type"] == "lifespan" else _without_request_id
        await self._application(scope, receive, partial(tell, send))

    async def _started(self, send: Send, message: Message) -> None:
        if message["type"] == "lifespan.startup.complete":
            try:
                await self._join()
            except Exception as error:  # Ray tries the replica again, and shows this
                message = {"type": "lifespan.startup.failed", "message": str(error)}
        await send(message)


async def _without_request_id(send: Send, message: Message) -> None:
    """Ray's proxy gives each request an id and names it in the answer, as the application does."""
    if message["type"] == "http.response.start":
        message["headers"] = [each for each in message["headers"] if each[0] != b"x-request-id"]
    await send(message)


def _on_this_share(settings: Settings) -> Settings:
    """The settings, with as many threads as Ray gives this replica CPUs: several may share a machine."""
    if settings.threads is not None:
        return settings
    cpus = ray.get_runtime_context().get_assigned_resources().get("CPU", 1.0)
    return settings.model_copy(update={"threads": max(int(cpus), 1)})
