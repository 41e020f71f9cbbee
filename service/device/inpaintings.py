"""An inpainting: what was asked, the job that climbs, those who wait for it, and its completions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from service.device.columns import Columns
from service.device.jobs import Job
from service.device.progress import Progress, same
from service.protocol import messages as m
from service.protocol.errors import Problem, Unexpected, WrongValue
from service.protocol.model_info import ModelInfo

_GREY = 128
"""Level of a hidden pixel in the picture of what was known."""

Send = Callable[[str, m.Down], None]
Framed = Callable[[np.ndarray], np.ndarray]


class Listener:
    """A request of an api process that waits for an inpainting; one with ``events`` also gets snapshots.

    ``held`` maps the numbers of the client's requests to what they hold.
    """

    def __init__(self, held: dict[int, Any], peer: str, number: int, events: bool) -> None:
        self.held, self.peer, self.number, self.events = held, peer, number, events
        self.told = -1


class Inpainting:
    """One that runs or has ended. It owns its job, and outlives the request where a task was asked for.

    ``framed`` makes whole images of what the job's rows hold.
    """

    peer: str | None = None
    number = 0

    def __init__(
        self, asked: m.Submit, progress: Progress | None, info: ModelInfo, send: Send, framed: Framed = same
    ) -> None:
        self.asked, self.progress, self._send, self._framed = asked, progress, send, framed
        self.info = info
        self.listeners: list[Listener] = []
        self.job: Job | None = None
        self.on_end: Callable[[], None] = lambda: None
        self._arrays: m.Arrays | None = None
        self._problem: Problem | None = None

    @property
    def ended(self) -> bool:
        return self._arrays is not None or self._problem is not None

    @property
    def phase(self) -> m.TaskPhase:
        stopping = self.job is not None and self.job.stopping
        if self._problem is not None:
            return "failed"
        if self._arrays is not None:
            return "stopped" if stopping else "done"
        if stopping:
            return "stopping"
        return "running" if self.job is not None and self.job.begun else "queued"

    def state(self) -> m.TaskState:
        asked, latest = self.asked, self.progress.latest() if self.progress is not None else None
        return m.TaskState(
            id=asked.task.id if asked.task is not None else "",
            state=self.phase,
            model=asked.model,
            seed=asked.seed,
            method=asked.options.method,
            n=asked.n,
            steps=asked.options.steps,
            step=latest[0] if latest else 0,
            log_likelihood=latest[1] if latest else None,
        )

    def listen(self, listener: Listener) -> None:
        """Let a request wait for the end; it is told at once where there is something to tell."""
        self.listeners.append(listener)
        if self.ended:
            self._tell_end()
        elif listener.events:
            self._tell_snapshot(listener)

    def leave(self, peer: str, number: int) -> None:
        """A request that waits no longer."""
        self.listeners = [each for each in self.listeners if (each.peer, each.number) != (peer, number)]

    def tell_progress(self) -> None:
        """Send the latest snapshot to those who follow, if it is new to them."""
        if self.progress is not None and self.progress.changed:
            self.progress.changed = False
            for listener in self.listeners:
                if listener.events:
                    self._tell_snapshot(listener)

    @property
    def over(self) -> bool:
        """Whether no more of it will happen: it has ended, or nobody waits for it any more."""
        return self.ended or (self.job is not None and self.job.over)

    def completed(self) -> None:
        """The owner of a job is told that its rows have come; ``rank`` takes them."""

    def rank(self, columns: Columns) -> None:
        """The job's rows have ended: rank them by log-likelihood, the likeliest first."""
        after = columns["after"]
        if not bool(after.isfinite().all()):
            self.failed(WrongValue("the model gives the image no finite likelihood, however it is filled in", "image"))
            return
        order = after.argsort(descending=True, stable=True)
        arrays = {name: tensor.numpy() for name, tensor in columns.select(order).tensors.items()}
        self._arrays = {**arrays, "items": self._framed(arrays["items"]), "draw": order.numpy()}
        self._tell_end()
        self.on_end()

    def failed(self, problem: Problem) -> None:
        self._problem = problem
        self._tell_end()
        self.on_end()

    def _tell_snapshot(self, listener: Listener) -> None:
        latest = self.progress.latest() if self.progress is not None else None
        if latest is not None and latest[0] > listener.told:
            listener.told = latest[0]
            self._send(listener.peer, m.Snapshot(listener.number, *latest))

    def _tell_end(self) -> None:
        while self.listeners:  # one for which no answer can be made is still there, to hear why
            listener = self.listeners[0]
            if listener.events and self._problem is None:
                self._tell_snapshot(listener)
            self._send(listener.peer, self._end(listener.number))
            del self.listeners[0]
            listener.held.pop(listener.number, None)

    def _end(self, number: int) -> m.Down:
        if self._problem is not None:
            problem = self._problem
            return m.Failed(number, problem.kind, problem.detail, problem.field, problem.retry_after)
        if self._arrays is None:
            raise Unexpected
        history: m.Arrays = {}
        stride = 1
        if self.progress is not None:
            history, stride = self.progress.history(), self.progress.stride
            if self.info.is_image:
                history["known"] = self._known()
        return m.Completed(number, self.state(), self._arrays, history, stride)

    def _known(self) -> np.ndarray:
        item, hidden = self.asked.arrays["items"], self.asked.arrays["hidden"]
        return np.where(hidden, np.uint8(_GREY), item)
