"""A running device loop for tests, and what they say to it in the place of api processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import numpy as np

from model_store import LoadedModel
from service.device.loop import DeviceLoop
from service.protocol import messages as m
from service.protocol.port import Port
from service.settings import Settings
from tests.service.helpers import images

WAIT = 20.0
D = TypeVar("D")


class Wire(Port):
    """Api processes in the test's hands."""

    def __init__(self) -> None:
        self.inbox: SimpleQueue[tuple[str, m.Up] | None] = SimpleQueue()
        self.sent: list[tuple[str, m.Down]] = []
        self.changed = threading.Condition()

    def receive(self, wait: float) -> Sequence[tuple[str, m.Up]]:
        found = []
        try:
            found.append(self.inbox.get(wait > 0, wait))
            while True:
                found.append(self.inbox.get_nowait())
        except Empty:
            return [each for each in found if each is not None]

    def send(self, peer: str, messages: Sequence[m.Down]) -> None:
        with self.changed:
            self.sent += ((peer, message) for message in messages)
            self.changed.notify_all()

    def wake(self) -> None:
        self.inbox.put(None)

    def close(self) -> None: ...

    # For the test.

    def say(self, peer: str, message: m.Up) -> None:
        self.inbox.put((peer, message))

    def heard(self, peer: str, kind: type[D], holds: Callable[[D], bool] = lambda _: True) -> D:
        """The latest message of a kind to a peer of which something holds; waits for it."""

        def find() -> D | None:
            messages = (each for to, each in reversed(self.sent) if to == peer)
            return next((each for each in messages if isinstance(each, kind) and holds(each)), None)

        with self.changed:
            assert self.changed.wait_for(find, WAIT)
            found = find()
            assert found is not None
            return found


@contextmanager
def looping(model: LoadedModel, **settings: Any) -> Iterator[tuple[DeviceLoop, Wire]]:
    loop, wire = DeviceLoop(Settings(device="cpu", **settings), [model]), Wire()
    thread = threading.Thread(target=loop.run, args=(wire,))
    thread.start()
    try:
        yield loop, wire
    finally:
        loop.stop()
        wire.wake()
        thread.join(WAIT)
        assert not thread.is_alive()


def score(number: int, count: int = 1, seconds: float = 60, **options: Any) -> m.Submit:
    arrays = {"items": images(count, seed=number)}
    return m.Submit(number, "digits@1", "score", time.monotonic() + seconds, arrays=arrays, **options)


def climb(
    number: int, steps: int = 10**6, n: int = 2, task: str | None = None, watch: bool = False, **options: Any
) -> m.Submit:
    arrays = {"items": images(1), "hidden": np.ones((1, 8, 8), dtype=bool)}
    return m.Submit(
        number,
        "digits@1",
        "inpaint",
        time.monotonic() + 60,
        arrays=arrays,
        n=n,
        options=m.Options(method="nice", steps=steps),
        task=m.TaskKey(task, "") if task else None,
        watch=watch,
        **options,
    )


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)
