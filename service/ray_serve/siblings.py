"""The other replicas of a deployment, reached through Ray: a broadcast to all of them, or a call to one by its name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

from ray import serve
from ray.exceptions import RayActorError
from ray.serve.exceptions import DeploymentUnavailableError

from service.protocol.client import RESTART_RETRY_AFTER
from service.protocol.errors import Unavailable
from service.protocol.relay import Frames
from service.protocol.replicas import SiblingGone
from service.ray_serve.routing import REPLICA

_ANSWERS = 600.0
"""Seconds that a sibling may take to answer a request: it may have to load a model."""
_SAYS = 10.0
"""Seconds that it may take to say what it holds or serves: it may be within a long tick."""


class RaySiblings:
    """Belongs to the event loop of a replica's own code."""

    def __init__(self) -> None:
        context = serve.get_replica_context()
        self.own = context.replica_id.unique_id
        self._handle = serve.get_deployment_handle(context.deployment, context.app_name)

    async def holding(self, task: str) -> Mapping[str, bool | None]:
        return await self._all("holds", task, patience=_SAYS)

    async def answers(self, frames: Frames) -> Mapping[str, Frames]:
        return await self._all("answer", frames, patience=_ANSWERS)

    async def serving(self, configured: str) -> Mapping[str, Frames]:
        """What each sibling of the same settings serves."""
        found = await self._all("serves", configured, patience=_SAYS)
        return {name: frames for name, frames in found.items() if frames}

    async def expositions(self, patience: float) -> Mapping[str, bytes]:
        """The metrics of each sibling; none where one is silent."""
        with suppress(Unavailable):
            return await self._all("exposition", patience=patience)
        return {}

    async def answer(self, sibling: str, frames: Frames) -> Frames:
        call = self._handle.options(method_name="answer").remote(self.own, frames, **{REPLICA: sibling})
        try:
            async with asyncio.timeout(_ANSWERS):
                told: tuple[str, Frames] | None = await call
        except RayActorError as error:
            raise SiblingGone(sibling) from error
        except TimeoutError:
            raise _silent() from None
        if told is None:
            raise SiblingGone(sibling)
        return told[1]

    async def follow(self, sibling: str, frames: Frames) -> AsyncIterator[Frames]:
        call = self._handle.options(method_name="follow", stream=True).remote(self.own, frames, **{REPLICA: sibling})
        try:
            async for told in call:
                if told is None:
                    raise SiblingGone(sibling)
                yield told
        except RayActorError as error:
            raise SiblingGone(sibling) from error
        finally:
            call.cancel()

    async def _all(self, method: str, *arguments: Any, patience: float) -> dict[str, Any]:
        """What every sibling that runs returns, by its name. One that dies meanwhile is left out.

        Raises Unavailable when one is silent for ``patience`` seconds.
        """
        try:
            told = await self._handle.broadcast(method, self.own, *arguments).results_async(
                timeout_s=patience, return_exceptions=True
            )
        except DeploymentUnavailableError:  # no replica runs yet, or none any more
            return {}
        except TimeoutError:
            raise _silent() from None
        found = {}
        for each in told:
            if isinstance(each, RayActorError) or each is None:  # None is what this replica says to itself
                continue
            if isinstance(each, BaseException):
                raise each
            found[each[0]] = each[1]
        return found


def _silent() -> Unavailable:
    return Unavailable("a replica of the service does not answer", retry_after=RESTART_RETRY_AFTER)
