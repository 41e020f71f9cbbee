"""Inpaintings that outlive the request that asked for them: kept by id, bounded in number and in age."""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from service.columns import Columns
from service.errors import Conflict, QueueFull, Unknown
from service.inpainting import Inpainting


@dataclass
class Task:
    id: str
    fingerprint: str
    """Of what was asked: the same twice is one task."""
    inpainting: Inpainting
    ended_at: float = math.inf
    """A reading of time.monotonic(), soon after the inpainting has ended."""


class Tasks:
    """At most ``most`` tasks; one that has ended is forgotten after ``kept`` seconds, or sooner to make room.

    Belongs to the event loop.
    """

    def __init__(self, most: int, kept: float, retry_after: Callable[[], int]) -> None:
        self._most, self._kept, self._retry_after = most, kept, retry_after
        self._tasks: dict[str, Task] = {}

    def get(self, name: str) -> Task:
        """Raises Unknown."""
        if name not in self._tasks:
            raise Unknown("there is no such inpainting, or it has been forgotten", "id")
        return self._tasks[name]

    def same(self, name: str, fingerprint: str) -> Task | None:
        """The task of that id, if there is one. Raises Conflict when something else was asked of it."""
        task = self._tasks.get(name)
        if task is not None and task.fingerprint != fingerprint:
            raise Conflict("another inpainting has this id", "id")
        return task

    def add(self, start: Callable[[], Inpainting], name: str | None = None, fingerprint: str = "") -> Task:
        """A new task, started once there is room for it. Raises QueueFull when every task still runs."""
        if len(self._tasks) >= self._most:
            over = [task for task in self._tasks.values() if task.inpainting.ended]
            if not over:
                raise QueueFull(self._retry_after())
            self._forget(min(over, key=lambda task: task.ended_at))
        task = Task(name or secrets.token_urlsafe(16), fingerprint, start())
        self._tasks[task.id] = task
        loop = asyncio.get_running_loop()

        def ended(_: Future[Columns]) -> None:
            loop.call_soon_threadsafe(self._age, task, loop)

        task.inpainting.job.future.add_done_callback(ended)
        return task

    def _age(self, task: Task, loop: asyncio.AbstractEventLoop) -> None:
        task.ended_at = time.monotonic()
        loop.call_later(self._kept, self._forget, task)

    def _forget(self, task: Task) -> None:
        if self._tasks.get(task.id) is task:
            del self._tasks[task.id]
