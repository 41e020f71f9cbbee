"""The device's one loop: take all messages that wait, do one tick, answer. Everything of the device belongs to it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from flows import noise
from model_store import LoadedModel, ModelRefused, Store, StoreError
from service.device import hardware, memory
from service.device.admission import Account
from service.device.columns import Columns
from service.device.inpaintings import Inpainting, Listener
from service.device.jobs import Job
from service.device.loading import Entry, Loader
from service.device.metrics import Metrics
from service.device.programs import Decode, Encode, Inpaint, OneTick, Program, Sample, Score
from service.device.progress import Progress
from service.device.registry import Registry, Served
from service.device.replies import Outbox, Reply
from service.device.scheduler import Scheduler
from service.device.tasks import Tasks
from service.device.threads import Threads
from service.device.ticks import Wave
from service.device.warm_up import warm_up
from service.protocol import messages as m
from service.protocol.errors import Problem, Unavailable, Unexpected, Unknown, WrongValue
from service.protocol.model_info import RefusedInfo
from service.protocol.port import Port
from service.settings import Settings

logger = logging.getLogger("sluice")

_IDLE = 5.0
"""Seconds after which an idle loop looks around: for tasks that are to be forgotten, for the order to stop."""


class DeviceLoop:
    """Models, scheduler, tasks and metrics behind one port. ``run`` returns after ``stop``.

    ``models``, where given, are served instead of those of the store.
    """

    def __init__(self, settings: Settings, models: Sequence[LoadedModel] | None = None) -> None:
        self.settings = settings
        self.device = hardware.device_of(settings)
        self.account = Account()
        self.metrics = Metrics()
        self._threads = Threads(settings.threads)
        self.scheduler = Scheduler(self.account, settings.max_batch_rows, self.metrics, self._threads)
        self.store = Store(settings.store)
        self.registry = Registry(settings.default_model, settings.deadline)
        self.tasks = Tasks(settings.max_tasks, settings.task_kept, self._retry_after)
        self.loader = Loader(
            self.store, self.device, self._warm_up, bfloat16=hardware.bfloat16_allowed(settings, self.device)
        )
        self._thunks: deque[Callable[[], None]] = deque()
        self._peers: dict[str, dict[int, Job | Inpainting]] = {}
        self._progressing: list[Inpainting] = []
        self._given = models
        self._stopping = False
        self._watch_gauges()

    def run(self, port: Port) -> None:
        """Serve until ``stop``. What still waits then fails."""
        self.outbox = Outbox(port, self.account)
        self._port = port
        self._threads.adopt()
        self.loader.start()
        if self._given is None:
            self._load_all()
        else:
            self._serve_given(self._given)
        try:
            while not self._stopping:
                self._turn()
        finally:
            self.loader.stop()
            self.scheduler.fail_all(Unavailable("the service no longer computes"))
            self.outbox.flush()
            port.close()

    def stop(self) -> None:
        """End the loop after the tick that it is in. Any thread may call it; wake the port afterwards."""
        self._stopping = True

    def call(self, thunk: Callable[[], None]) -> None:
        """Have the loop do something between two ticks. Any thread may call it."""
        self._thunks.append(thunk)
        self._port.wake()

    def _turn(self) -> None:
        for peer, message in self._port.receive(0.0 if self.scheduler or self._thunks else _IDLE):
            try:
                self._handle(peer, message)
            except Problem as problem:
                self.outbox.fail(peer, _number(message), problem)
            except Exception:
                logger.exception("a message failed")
                self.outbox.fail(peer, _number(message), Unexpected())
        while self._thunks:
            self._thunks.popleft()()
        for wave in self.scheduler.tick():
            self._conclude(wave)
        for inpainting in self._watched():
            inpainting.tell_progress()
        self.outbox.flush()

    # What the api processes say.

    def _handle(self, peer: str, message: m.Up) -> None:
        match message:
            case m.Submit():
                self._submit(peer, message)
            case m.Cancel():
                self._cancel(peer, message.id)
            case m.Follow():
                self._follow(peer, message)
            case m.StopTask():
                inpainting = self.tasks.get(message.task)
                if not inpainting.ended and inpainting.job is not None:
                    inpainting.job.stop()
                self.outbox.put(peer, m.TaskIs(message.id, inpainting.state(), inpainting.info))
            case m.Load():
                self._load(message.name, partial(self._answer_load, peer, message.id))
            case m.Unload():
                self.registry.unload(message.name)
                logger.info("unloaded %s", message.name)
                self._announce()
                self.outbox.put(peer, m.Told(message.id, message.name.encode()))
            case m.Read():
                self.outbox.put(peer, m.Told(message.id, self._read(message.model, message.file)))
            case m.Stats():
                self.outbox.put(peer, m.Told(message.id, self.metrics.exposition()))
            case m.Ping():
                self.outbox.put(peer, m.Told(message.id, b""))
            case m.Hello():
                self._peers.setdefault(peer, {})
                self.outbox.put(peer, self.registry.told())
            case m.Gone():
                for number in list(self._peers.get(message.peer, {})):
                    self._cancel(message.peer, number)
                self._peers.pop(message.peer, None)
                self.outbox.forget(message.peer)

    def _submit(self, peer: str, asked: m.Submit) -> None:
        self.outbox.saw(peer, asked.id)
        served = self.registry.get(asked.model)
        if asked.kind == "inpaint":
            self._submit_inpainting(peer, served, asked)
            return
        program, columns = _work_of(served.model, asked)
        held = self._peers.setdefault(peer, {})
        reply = Reply(self.outbox, held, peer, asked.id)
        job = Job(program, columns, self.account.open(asked.cost), asked.deadline, reply, asked.options)
        held[asked.id] = job
        self.scheduler.submit(job)

    def _submit_inpainting(self, peer: str, served: Served, asked: m.Submit) -> None:
        if asked.task is None:
            inpainting = self._begin(served, asked)
            held = self._peers.setdefault(peer, {})
            held[asked.id] = inpainting
            inpainting.listen(Listener(held, peer, asked.id, asked.watch))
            return
        task = self.tasks.same(asked.task) or self.tasks.add(asked.task, lambda: self._begin(served, asked))
        self.outbox.put(peer, m.TaskIs(asked.id, task.state(), task.info))

    def _begin(self, served: Served, asked: m.Submit) -> Inpainting:
        n, options = asked.n, asked.options
        item, hidden = torch.from_numpy(asked.arrays["items"]), torch.from_numpy(asked.arrays["hidden"])
        rows = Columns(
            {
                "items": item.expand(n, *item.shape[1:]),
                "hidden": hidden.expand(n, *hidden.shape[1:]),
                "key": noise.keys(asked.seed, n),
                "seed": torch.full((n,), asked.seed),
                "steps": torch.full((n,), options.steps),
                "step_size": torch.full((n,), options.step_size),
                "temperature": torch.full((n,), options.temperature),
            }
        )
        watch = asked.watch or asked.task is not None
        image_shape = served.info.item_shape if served.info.is_image else None
        progress = Progress(n, options.steps, image_shape) if watch else None
        inpainting = Inpainting(asked, progress, served.info, self.outbox.put)
        job = Job(
            Inpaint(served.model, options.method),
            rows,
            self.account.open(asked.cost),
            asked.deadline,
            inpainting,
            options,
            progress,
        )
        inpainting.job = job
        if progress is not None:
            self._progressing.append(inpainting)
        self.scheduler.submit(job)
        return inpainting

    def _follow(self, peer: str, message: m.Follow) -> None:
        inpainting = self.tasks.get(message.task)
        if message.want == "state" or (message.want == "result" and not inpainting.ended):
            self.outbox.put(peer, m.TaskIs(message.id, inpainting.state(), inpainting.info))
            return
        held = self._peers.setdefault(peer, {})
        held[message.id] = inpainting
        inpainting.listen(Listener(held, peer, message.id, message.want == "events"))

    def _cancel(self, peer: str, number: int) -> None:
        """Nobody waits for this request any more: a job's rows leave at the next tick, a task goes on."""
        found = self._peers.get(peer, {}).pop(number, None)
        if isinstance(found, Job):
            found.drop()
        elif isinstance(found, Inpainting):
            found.leave(peer, number)
            if found.asked.task is None and found.job is not None:
                found.job.drop()

    # What a tick leads to.

    def _conclude(self, wave: Wave) -> None:
        if not isinstance(wave.program, OneTick):
            for job in wave.jobs:
                if job.close():
                    job.owner.completed()
                    if isinstance(job.owner, Inpainting):
                        job.owner.rank(wave.columns)
            return
        conclusion = wave.program.conclude(wave.jobs, wave.columns)
        for place, problem in conclusion.problems.items():
            wave.jobs[place].fail(problem)
        self.outbox.results(wave.jobs, conclusion.arrays, conclusion.each)
        for job in wave.jobs:
            if job.close():
                job.owner.completed()

    # Models.

    def _load_all(self) -> None:
        """Load every name of the store, the default first; the others follow while it serves."""
        registry = self.registry

        def names() -> None:
            # Whatever is wrong with the store, what can be loaded of it serves, and loading comes to an end.
            found: list[str] = []
            default: str | None = None
            try:
                found = self.store.names()
                default = self.store.default_name() if found else None
            except Exception:
                logger.exception("the store cannot be read")
            self.call(partial(queue, found, default))

        def queue(found: Sequence[str], default: str | None) -> None:
            registry.store_default = default
            first = (registry.default or "").partition("@")[0]
            order = sorted(found, key=lambda name: (name != first, name))
            registry.waiting = tuple(order)
            for name in order:
                self.loader.load(name, partial(self._loaded, name, None))
            self.loader.call(lambda: self.call(over))
            self._announce()

        def over() -> None:
            registry.starting = False
            memory.settle()
            self._announce()

        self.loader.call(names)

    def _serve_given(self, models: Sequence[LoadedModel]) -> None:
        for model in models:
            self.registry.serve(model, ())
        self.registry.starting = False
        self.registry.store_default = models[0].name if models else None

    def _load(self, name: str, answer: Callable[[Entry], None]) -> None:
        self.loader.load(name, partial(self._loaded, name, answer))

    def _loaded(self, name: str, answer: Callable[[Entry], None] | None, entry: Entry) -> None:
        """In the loading thread: hand the entry to the loop."""
        self.call(partial(self._enter, name, answer, entry))

    def _enter(self, name: str, answer: Callable[[Entry], None] | None, entry: Entry) -> None:
        registry = self.registry
        registry.waiting = tuple(other for other in registry.waiting if other != name)
        if isinstance(entry, RefusedInfo):
            self.metrics.load_failures.inc()
            registry.refuse(entry)
        elif entry is not None:
            registry.serve(*entry)
        if entry is not None and registry.store_default is None:
            registry.store_default = name
        self._announce()
        if answer is not None:
            answer(entry)

    def _answer_load(self, peer: str, number: int, entry: Entry) -> None:
        if entry is None:
            self.outbox.fail(peer, number, Unknown("the store holds no such model", "name"))
        elif isinstance(entry, RefusedInfo):
            self.outbox.fail(peer, number, WrongValue(str(entry), "name"))
        else:
            self.outbox.put(peer, m.Told(number, entry[0].reference.encode()))

    def _announce(self) -> None:
        told = self.registry.told()
        for peer in self._peers:
            self.outbox.put(peer, told)

    def _read(self, reference: str, file: str) -> bytes:
        try:
            return self.registry.get(reference).model.read(file)
        except (ModelRefused, StoreError) as error:
            raise Unknown("the model has no such file, or not as it was published", "file") from error

    def _warm_up(self, model: LoadedModel) -> None:
        """In the loading thread: take first passes through the loop's scheduler."""
        warm_up(model, self._pass, self.settings.max_batch_rows)

    def _pass(self, program: Program, columns: Columns) -> None:
        done = threading.Event()
        waiter = _WarmUp(done)

        def submit() -> None:
            deadline = time.monotonic() + self.settings.deadline
            self.scheduler.submit(Job(program, columns, self.account.open(0), deadline, waiter))

        self.call(submit)
        while not done.wait(1.0):
            if self._stopping:
                raise Unavailable("the service stops")
        if waiter.problem is not None:
            raise waiter.problem

    # Small things.

    def _watched(self) -> Sequence[Inpainting]:
        if self._progressing:
            self._progressing = [each for each in self._progressing if not each.over]
        return self._progressing

    def _retry_after(self) -> int:
        if not self.account.pace:
            return 1
        return max(round(self.account.waiting / self.account.pace), 1)

    def _watch_gauges(self) -> None:
        watch, watch_each = self.metrics.watch, self.metrics.watch_each
        watch("sluice_queue_item_ticks", "Admitted work that waits", lambda: self.account.waiting)
        watch("sluice_queue_item_ticks_bound", "The most work that may wait", lambda: self.settings.queue_item_ticks)
        watch("sluice_queue_jobs", "Requests whose work is not done", lambda: self.account.jobs)
        watch("sluice_models_loaded", "Models being served", lambda: len(self.registry.models))
        watch("sluice_models_refused", "Models refused", lambda: len(self.registry.refused))
        watch_each(
            "sluice_model_info",
            "1 for each model that is served",
            ("model", "architecture", "prior", "device", "precision"),
            lambda: ((self._facts(model), 1) for model in self.registry.models),
        )
        watch_each(
            "sluice_device_memory_bytes",
            "Of a GPU: held by tensors, and in all. On the CPU: the device process's, and the machine's or container's",
            ("kind",),
            lambda: [(("used",), memory.used_bytes(self.device)), (("total",), memory.total_bytes(self.device))],
        )

    def _facts(self, model: LoadedModel) -> tuple[str, ...]:
        manifest = model.manifest
        return model.reference, manifest.architecture.name, manifest.prior, str(self.device), model.precision


class _WarmUp:
    """The owner of a warm-up job."""

    peer: str | None = None
    number = 0

    def __init__(self, done: threading.Event) -> None:
        self._done = done
        self.problem: Problem | None = None

    def failed(self, problem: Problem) -> None:
        self.problem = problem
        self._done.set()

    def completed(self) -> None:
        self._done.set()


def _number(message: Any) -> int:
    return int(getattr(message, "id", 0))


def _work_of(model: LoadedModel, asked: m.Submit) -> tuple[Program, Columns]:
    if asked.kind == "sample":
        temperature = torch.full((asked.n,), asked.options.temperature, dtype=torch.float64)
        return Sample(model), Columns({"key": noise.keys(asked.seed, asked.n), "temperature": temperature})
    if asked.kind == "decode":
        return Decode(model), Columns({"latents": torch.from_numpy(asked.arrays["latents"])})
    items = torch.from_numpy(asked.arrays["items"])
    program = Score(model) if asked.kind == "score" else Encode(model)
    return program, Columns({"items": items, "seed": torch.full((len(items),), asked.seed, dtype=torch.int64)})
