"""The device's one loop: take all messages that wait, do one tick, answer. Everything of the device belongs to it."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec
import torch

from flows.nets.precision import exact_float32
from model_store import LoadedModel
from service.device import gauges, hardware
from service.device.account import Account
from service.device.claims import Claims
from service.device.device_metrics import DeviceMetrics
from service.device.drift import DriftWatch
from service.device.drift_files import DriftFile
from service.device.drift_metrics import DriftMetrics
from service.device.graphs import Graphs
from service.device.live_statistics import LiveStatistics
from service.device.loading import Entry
from service.device.replies import Outbox
from service.device.requests import Requests
from service.device.runner import Runner
from service.device.scheduler import Scheduler
from service.device.served_models import ServedModels
from service.device.threads import Threads
from service.device.ticks import Wave
from service.heap import Trimmer
from service.protocol import messages as m
from service.protocol.errors import OutOfMemory, Problem, Unavailable, Unexpected, Unknown, WrongValue, is_shortage
from service.protocol.model_info import RefusedInfo
from service.protocol.port import Port
from service.settings import Settings

logger = logging.getLogger("sluice")

_IDLE = 5.0
"""Seconds between two looks around for what is to be forgotten: old tasks, and models that serve no longer."""


class DeviceLoop:
    """ServedModels, scheduler, requests and metrics behind one port. ``run`` returns after ``stop``.

    ``models``, where given, are served instead of those of the store, by a command on files: what it scores is not
    watched for drift. ``name`` tells devices apart.
    """

    def __init__(self, settings: Settings, models: Sequence[LoadedModel] | None = None, name: str = "") -> None:
        device = hardware.device_of(settings)
        self._given = models
        self.account, self.metrics = Account(), DeviceMetrics()
        self._threads = Threads(settings.threads)
        max_rows = settings.max_batch_rows or hardware.batch_rows(device)
        graphs = Graphs() if device.type == "cuda" and settings.cuda_graphs else None
        # On a GPU a step is a queue of kernels: they run on whatever the processor does in between.
        self._pauses = device.type == "cpu"
        self.runner = Runner(device, max_rows, graphs)
        self.scheduler = Scheduler(self.account, max_rows, self.metrics, self._threads, self.runner)
        self.models = ServedModels(
            settings, device, self.scheduler, self.runner, self.account, self.metrics, self.call, self._announce
        )
        self.outbox = Outbox(self.account)
        watching = models is None
        file = DriftFile(settings.drift_dir, name) if watching and settings.drift_dir is not None else None
        self.drift = DriftWatch(file, watching=watching)
        self.live: LiveStatistics | None = None
        if watching and settings.drift_dir is not None and settings.live_models:
            self.live = LiveStatistics(settings.drift_dir, name, settings.live_models)
        self.requests = Requests(
            settings, self.models.registry, self.scheduler, self.account, self.outbox, self.drift, self.live
        )
        self._claims = Claims()
        self._trimmer, self._heard, self._looked = Trimmer(), 0, time.monotonic()
        self._thunks: deque[Callable[[], None]] = deque()
        self._port: Port | None = None
        self._stopping = False
        bound, threads = settings.queue_item_ticks, self._threads.limit
        gauges.watch(self.metrics, self.account, bound, threads, self.models.registry, device)
        self.metrics.registry.register(DriftMetrics(self.drift, lambda: self.models.registry.models))

    def run(self, port: Port) -> None:
        """Serve until ``stop``. What still waits then fails."""
        self._port = port
        self._threads.adopt()
        with exact_float32():
            self._serve(port)

    def _serve(self, port: Port) -> None:
        self.models.start(self._given)
        try:
            while not self._stopping:
                self._turn(port)
        finally:
            self.models.stop()
            self.scheduler.fail_all(Unavailable("the service no longer computes"))
            self.outbox.flush(port)
            port.close()
            self.drift.save()
            if self.live is not None:
                self.live.save()

    def stop(self) -> None:
        """End the loop after the tick that it is in. Any thread may call it; wake the port afterwards."""
        self._stopping = True

    def call(self, thunk: Callable[[], None]) -> None:
        """Have the loop do something between two ticks. Any thread may call it."""
        self._thunks.append(thunk)
        if self._port is not None:
            self._port.wake()

    def _turn(self, port: Port) -> None:
        self._hear(port, 0.0 if self.scheduler or self._thunks or self.drift.waits else _IDLE)
        self._look_around()
        self._trimmer.look(self._heard)
        while self._thunks:
            self._thunks.popleft()()
        for wave in self.scheduler.tick(partial(self._pause, port) if self._pauses else None):
            self._conclude(wave)
        self.requests.tell_progress()
        self.outbox.flush(port)
        self.drift.work(idle=not self.scheduler)
        if self.live is not None:
            self.live.work()

    def _look_around(self) -> None:
        """By the clock, for the keeper's pings come more often than an idle loop would wait."""
        now = time.monotonic()
        if now >= self._looked + _IDLE:
            self._looked = now
            self.requests.forget_old_tasks()
            self.models.registry.forget_retired()

    def _pause(self, port: Port) -> None:
        """In a pause of a step: take what has come, do one tick of work that needs one, and answer."""
        if self._stopping:
            return
        self._hear(port, 0.0)
        for wave in self.scheduler.tick_in_pause():
            self._conclude(wave)
        self.outbox.flush(port)

    def _hear(self, port: Port, wait: float) -> None:
        """Take the messages that are there, or that come within ``wait`` seconds."""
        messages = port.receive(wait)
        self._heard += len(messages)
        for peer, message in messages:
            try:
                self._handle(peer, message)
            except Problem as problem:
                self.outbox.fail(peer, _number(message), problem)
            except Exception as error:
                short = is_shortage(error)
                if not short:
                    logger.exception("a message failed")
                self.outbox.fail(peer, _number(message), OutOfMemory() if short else Unexpected())

    def _conclude(self, wave: Wave) -> None:
        """Answer the requests of a wave. What cannot be answered fails alone, and the loop goes on."""
        try:
            self.requests.conclude(wave)
        except torch.AcceleratorError:
            raise  # the device is lost for the whole process
        except Exception as error:
            problem: Problem = OutOfMemory()
            if not is_shortage(error):
                logger.exception("answers could not be made")
                problem = Unexpected()
            for job in wave.jobs:
                job.close()
                job.owner.failed(problem)

    def _handle(self, peer: str, message: m.Up) -> None:
        match message:
            case m.Submit():
                self.requests.submit(peer, message)
            case m.Cancel():
                self.requests.cancel(peer, message.id)
            case m.Follow():
                self.requests.follow(peer, message)
            case m.Claim():
                device = self._claims.settle(message.task, message.device)
                self.outbox.put(peer, m.Told(message.id, device.encode()))
            case m.StopTask():
                self.requests.stop_task(peer, message)
            case m.Load():
                self.models.load(message.name, partial(self._answer_load, peer, message.id))
            case m.Unload():
                self.models.unload(message.name)
                self.outbox.put(peer, m.Told(message.id, message.name.encode()))
            case m.Read():
                self.outbox.put(peer, m.Told(message.id, self.models.read(message.model, message.file)))
            case m.Drift():
                told = self.drift.told(self.models.registry.get(message.model).model)
                self.outbox.put(peer, m.Told(message.id, msgspec.json.encode([told])))
            case m.Stats():
                self.outbox.put(peer, m.Told(message.id, self.metrics.exposition()))
            case m.Ping():
                self.outbox.put(peer, m.Told(message.id, b""))
            case m.Hello():
                self.requests.greet(peer)
                self.outbox.put(peer, self.models.registry.told())
            case m.Gone():
                self.requests.forget(message.peer)

    def _answer_load(self, peer: str, number: int, entry: Entry) -> None:
        if entry is None:
            self.outbox.fail(peer, number, Unknown("the store holds no such model", "name"))
        elif isinstance(entry, RefusedInfo):
            self.outbox.fail(peer, number, WrongValue(str(entry), "name"))
        else:
            self.outbox.put(peer, m.Told(number, entry[0].reference.encode()))

    def _announce(self) -> None:
        """Tell every api process which models there are."""
        told = self.models.registry.told()
        for peer in self.requests.peers:
            self.outbox.put(peer, told)


def _number(message: Any) -> int:
    return int(getattr(message, "id", 0))
