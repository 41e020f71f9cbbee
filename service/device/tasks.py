"""Inpaintings that outlive the request that asked for them: kept by id, bounded in number and in age."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from service.device.inpaintings import Inpainting
from service.protocol.errors import Conflict, QueueFull, Unknown
from service.protocol.messages import TaskKey


@dataclass
class Task:
    """A kept inpainting. ``ended_at`` is a reading of time.monotonic()."""

    key: TaskKey
    inpainting: Inpainting
    ended_at: float = math.inf


class Tasks:
    """At most ``most`` tasks. One that has ended is forgotten after ``kept`` seconds, or sooner to make room."""

    def __init__(self, most: int, kept: float, retry_after: Callable[[], int]) -> None:
        self._most, self._kept, self._retry_after = most, kept, retry_after
        self._tasks: dict[str, Task] = {}

    def get(self, name: str) -> Inpainting:
        """Raises Unknown."""
        self.forget_old()
        if name not in self._tasks:
            raise Unknown("there is no such inpainting, or it has been forgotten", "id")
        return self._tasks[name].inpainting

    def same(self, key: TaskKey) -> Inpainting | None:
        """The task of that id, if there is one. Raises Conflict when something else was asked of it."""
        self.forget_old()
        task = self._tasks.get(key.id)
        if task is None:
            return None
        if task.key.fingerprint != key.fingerprint:
            raise Conflict("another inpainting has this id", "id")
        return task.inpainting

    def add(self, key: TaskKey, make: Callable[[], Inpainting]) -> Inpainting:
        """A new task, made once there is room for it. Raises QueueFull when every task still runs.

        It takes the place of the one that ended first, which stays where ``make`` refuses the new one.
        """
        full, over = len(self._tasks) >= self._most, []
        if full:
            over = [task for task in self._tasks.values() if task.inpainting.ended]
            if not over:
                raise QueueFull(self._retry_after())
        task = Task(key, make())
        if full:
            del self._tasks[min(over, key=lambda task: task.ended_at).key.id]
        self._tasks[key.id] = task

        def age() -> None:
            task.ended_at = time.monotonic()

        task.inpainting.on_end = age
        if task.inpainting.ended:
            age()
        return task.inpainting

    def forget_old(self) -> None:
        """Let go of tasks that ended long ago."""
        oldest = time.monotonic() - self._kept
        for name in [name for name, task in self._tasks.items() if task.ended_at < oldest]:
            del self._tasks[name]
