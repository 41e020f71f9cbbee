"""The models of a device: which are to be loaded in which order, what a loaded one leads to, who is told."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

import torch

from model_store import LoadedModel, ModelRefused, StoreError
from service.device import hardware, memory
from service.device.account import Account
from service.device.columns import Columns
from service.device.device_metrics import DeviceMetrics
from service.device.jobs import Job
from service.device.loading import Entry, Loader
from service.device.program import Program
from service.device.proof import prove_sizes
from service.device.registry import Registry
from service.device.runner import Runner
from service.device.scheduler import Scheduler
from service.device.threads import most_threads
from service.device.warm_up import warm_up, warm_up_sizes
from service.opened_store import store_of
from service.protocol.errors import Problem, Unavailable, Unknown
from service.protocol.model_info import RefusedInfo
from service.settings import Settings

logger = logging.getLogger("sluice")

Later = Callable[[Callable[[], None]], None]
"""Has the device's loop do something between two ticks; any thread may call it."""


class ServedModels:
    """Registry and loader of one device. Belongs to its loop, but for what says otherwise.

    ``changed`` is called whenever the registry has changed, ``later`` brings work from the loading threads to the loop.
    """

    def __init__(
        self,
        settings: Settings,
        device: torch.device,
        scheduler: Scheduler,
        runner: Runner,
        account: Account,
        metrics: DeviceMetrics,
        later: Later,
        changed: Callable[[], None],
    ) -> None:
        self._settings, self._scheduler, self._runner = settings, scheduler, runner
        self._account, self._metrics = account, metrics
        self._later, self._changed = later, changed
        self._store = store_of(settings)
        self.registry = Registry(settings.default_model, settings.deadline)
        bfloat16 = hardware.bfloat16_allowed(settings, device)
        threads = most_threads(settings.threads)
        self._loader = Loader(self._store, device, self._warm_up, bfloat16=bfloat16, threads=threads)
        self._stopping = False

    def start(self, given: Sequence[LoadedModel] | None) -> None:
        """Serve the given models, or load every name of the store."""
        self._loader.start()
        if given is None:
            self._loader.call(self._look_at_store)
            return
        for model in given:
            self.registry.serve(model, ())
        self.registry.starting = False
        self.registry.store_default = given[0].name if given else None

    def stop(self) -> None:
        """Load nothing more."""
        self._stopping = True
        self._loader.stop()

    def load(self, name: str, done: Callable[[Entry], None]) -> None:
        """Load the store's default version of a name; ``done`` is called in the loop."""
        self._loader.load(name, partial(self._bring, name, done))

    def unload(self, name: str) -> None:
        """Serve a name no longer. Raises Unknown."""
        self.registry.unload(name)
        logger.info("unloaded %s", name)
        self._changed()

    def read(self, reference: str, file: str) -> bytes:
        """A file that the model's manifest lists. Raises Unknown or Unavailable."""
        try:
            return self.registry.get(reference).model.read(file)
        except (ModelRefused, StoreError) as error:
            raise Unknown("the model has no such file, or not as it was published", "file") from error

    def _look_at_store(self) -> None:
        """In a loading thread: which names there are. Whatever is wrong with the store, loading comes to an end."""
        names: list[str] = []
        default: str | None = None
        try:
            names = self._store.names()
            if not names:
                logger.warning("the store holds no models so far (--store, SLUICE_STORE)")
            default = self._store.default_name() if names else None
        except Exception:
            logger.exception("the store cannot be read")
        self._later(partial(self._load_all, names, default))

    def _load_all(self, names: Sequence[str], default: str | None) -> None:
        """The default first; the others follow while it serves."""
        self.registry.store_default = default
        first = (self.registry.default or "").partition("@")[0]
        order = sorted(names, key=lambda name: (name != first, name))
        self.registry.waiting, self.registry.starting = tuple(order), bool(order)
        self._loader.load_all(order, lambda name, entry: self._bring(name, None, entry))
        self._changed()

    def _bring(self, name: str, done: Callable[[Entry], None] | None, entry: Entry) -> None:
        """In a loading thread: hand an entry to the loop."""
        self._later(partial(self._enter, name, done, entry))

    def _enter(self, name: str, done: Callable[[Entry], None] | None, entry: Entry) -> None:
        registry = self.registry
        registry.waiting = tuple(other for other in registry.waiting if other != name)
        if isinstance(entry, RefusedInfo):
            self._metrics.load_failures.inc()
            registry.refuse(entry)
        elif entry is not None:
            registry.serve(*entry)
            registry.store_default = registry.store_default or name
            if not self._is_gpu:  # there every size was tried before
                # Behind what is still to be loaded.
                self._loader.call(partial(warm_up_sizes, entry[0], self._pass, self._runner.largest))
        if registry.starting and not registry.waiting:
            registry.starting = False
            memory.settle()
        self._changed()
        if done is not None:
            done(entry)

    def _warm_up(self, model: LoadedModel) -> None:
        """In a loading thread: take the first passes of a model."""
        if self._is_gpu:
            prove_sizes(model, self._runner, self._in_loop)
        else:
            warm_up(model, self._pass)

    @property
    def _is_gpu(self) -> bool:
        return self._runner.device.type == "cuda"

    def _in_loop(self, work: Callable[[], Any]) -> Any:
        """In a loading thread: have the loop do something between two ticks. Raises what it raises."""
        found: Future[Any] = Future()
        self._later(partial(_fulfil, found, work))
        while True:
            try:
                return found.result(1.0)
            except TimeoutError:
                if self._stopping:
                    raise Unavailable("the service stops") from None

    def _pass(self, program: Program, columns: Columns) -> None:
        """In a loading thread: take rows through the loop's scheduler, beside the requests. Raises a Problem."""
        waiter = _WarmUp()
        deadline = time.monotonic() + self._settings.deadline
        self._later(lambda: self._scheduler.submit(Job(program, columns, self._account.open(0), deadline, waiter)))
        while not waiter.done.wait(1.0):
            if self._stopping:
                raise Unavailable("the service stops")
        if waiter.problem is not None:
            raise waiter.problem


def _fulfil(future: Future[Any], work: Callable[[], Any]) -> None:
    try:
        future.set_result(work())
    except Exception as error:
        future.set_exception(error)


class _WarmUp:
    """The owner of a warm-up job."""

    peer: str | None = None
    number = 0

    def __init__(self) -> None:
        self.done = threading.Event()
        self.problem: Problem | None = None

    def failed(self, problem: Problem) -> None:
        self.problem = problem
        self.done.set()

    def completed(self) -> None:
        self.done.set()
