"""The requests of the api processes that the device holds: from a message to a job, and from a job's end to answers."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch

from flows import noise
from model_store import LoadedModel
from service.device.account import Account
from service.device.columns import Columns
from service.device.drift import DriftWatch
from service.device.inpaintings import Inpainting, Listener
from service.device.jobs import Job
from service.device.live_statistics import LiveStatistics
from service.device.picture_inpaintings import InpaintPictures
from service.device.picture_scores import ScorePictures
from service.device.program import OneTick, Program
from service.device.programs import Decode, Encode, Explain, Inpaint, Sample, Score, ScoreWithMap
from service.device.progress import Progress, same
from service.device.registry import Registry, Served
from service.device.replies import Outbox, Reply
from service.device.scheduler import Scheduler
from service.device.tasks import Tasks
from service.device.tenants import Tenants
from service.device.ticks import Wave
from service.protocol import messages as m
from service.protocol.windows import window_of
from service.settings import Settings

Held = dict[int, Job | Inpainting]
"""What the requests of one api process hold, by their numbers."""


class Requests:
    """Belongs to the device's loop."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        scheduler: Scheduler,
        account: Account,
        outbox: Outbox,
        drift: DriftWatch,
        live: LiveStatistics | None = None,
    ) -> None:
        self._registry, self._scheduler, self._account, self._outbox = registry, scheduler, account, outbox
        self._drift, self._live = drift, live
        self._tenants = Tenants(account, settings.queue_item_ticks)
        self._tasks = Tasks(settings.max_tasks, settings.task_kept, account.retry_after)
        self._peers: dict[str, Held] = {}
        self._gone: set[str] = set()
        """Api processes that have died, of which messages may still come: each has a connection of its own."""
        self._watched: list[Inpainting] = []

    @property
    def peers(self) -> list[str]:
        """The api processes that have said hello."""
        return list(self._peers)

    def greet(self, peer: str) -> None:
        """An api process has connected."""
        self._peers.setdefault(peer, {})
        self._gone.discard(peer)  # another process with the number of one that died

    def forget(self, peer: str) -> None:
        """An api process has died: its work is dropped, and its tasks go on."""
        for number in list(self._peers.get(peer, {})):
            self.cancel(peer, number)
        self._peers.pop(peer, None)
        self._outbox.forget(peer)
        self._gone.add(peer)

    def submit(self, peer: str, asked: m.Submit) -> None:
        """Queue the work of a request. Raises Unavailable, Conflict or QueueFull."""
        if peer in self._gone:
            return
        self._outbox.saw(peer, asked.id)
        served = self._registry.get(asked.model)
        if asked.kind == "inpaint":
            self._submit_inpainting(peer, served, asked)
            return
        program, columns = _work_of(served.model, asked)
        held = self._peers.setdefault(peer, {})
        holding = self._tenants.open(asked.tenant, asked.cost)
        reply = Reply(self._outbox, held, peer, asked.id)
        held[asked.id] = job = Job(program, columns, holding, asked.deadline, reply, asked.options, tenant=_name(asked))
        self._scheduler.submit(job)

    def follow(self, peer: str, asked: m.Follow) -> None:
        """Tell the state of a task, or let the request wait for what it wants of it. Raises Unknown."""
        inpainting = self._tasks.get(asked.task)
        if asked.want == "state" or (asked.want == "result" and not inpainting.ended):
            self._tell_state(peer, asked.id, inpainting)
            return
        held = self._peers.setdefault(peer, {})
        held[asked.id] = inpainting
        inpainting.listen(Listener(held, peer, asked.id, asked.want == "events"))

    def stop_task(self, peer: str, asked: m.StopTask) -> None:
        """End a task after its next step. Raises Unknown."""
        inpainting = self._tasks.get(asked.task)
        if not inpainting.ended and inpainting.job is not None:
            inpainting.job.stop()
        self._tell_state(peer, asked.id, inpainting)

    def cancel(self, peer: str, number: int) -> None:
        """The client of this request has left: a job's rows leave at the next tick, a task goes on."""
        found = self._peers.get(peer, {}).pop(number, None)
        if isinstance(found, Job):
            found.drop()
        elif isinstance(found, Inpainting):
            found.leave(peer, number)
            if found.asked.task is None and found.job is not None:
                found.job.drop()

    def conclude(self, wave: Wave) -> None:
        """Answer the requests whose jobs have ended together."""
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
        self._outbox.results(wave.jobs, conclusion.arrays, conclusion.each)
        if isinstance(wave.program, Score):
            self._drift.saw(wave.program.model, wave.jobs, wave.columns)
            if self._live is not None:
                self._live.saw(wave.program.model, wave.jobs, wave.columns)
        for job in wave.jobs:
            if job.close():
                job.owner.completed()

    def forget_old_tasks(self) -> None:
        """Let go of tasks that ended long ago."""
        self._tasks.forget_old()

    def tell_progress(self) -> None:
        """Send new snapshots to those who follow an inpainting."""
        if self._watched:
            self._watched = [inpainting for inpainting in self._watched if not inpainting.over]
            for inpainting in self._watched:
                inpainting.tell_progress()

    def _submit_inpainting(self, peer: str, served: Served, asked: m.Submit) -> None:
        if asked.task is not None:
            task = self._tasks.same(asked.task) or self._tasks.add(asked.task, lambda: self._begin(served, asked))
            self._tell_state(peer, asked.id, task)
            return
        inpainting = self._begin(served, asked)
        held = self._peers.setdefault(peer, {})
        held[asked.id] = inpainting
        inpainting.listen(Listener(held, peer, asked.id, asked.watch))

    def _begin(self, served: Served, asked: m.Submit) -> Inpainting:
        options = asked.options
        watch = asked.watch or asked.task is not None
        image = asked.arrays["items"]
        program, framed, arrays = Inpaint(served.model, options.method), same, asked.arrays
        if served.model.pictures is not None:
            window = window_of(asked.arrays["hidden"])
            program, framed = InpaintPictures(served.model, options.method), partial(window.paste, picture=image)
            arrays = {"items": window.cut(image), "hidden": window.hidden(asked.arrays["hidden"])}
        image_shape = image.shape[1:] if served.info.is_image else None
        progress = Progress(asked.n, options.steps, image_shape, framed) if watch else None
        holding = self._tenants.open(asked.tenant, asked.cost)
        inpainting = Inpainting(asked, progress, served.info, self._outbox.put, framed)
        inpainting.job = Job(
            program, _rows_of(asked, arrays), holding, asked.deadline, inpainting, options, progress, _name(asked)
        )
        if progress is not None:
            self._watched.append(inpainting)
        self._scheduler.submit(inpainting.job)
        return inpainting

    def _tell_state(self, peer: str, number: int, inpainting: Inpainting) -> None:
        self._outbox.put(peer, m.TaskIs(number, inpainting.state(), inpainting.info))


def _name(asked: m.Submit) -> str:
    return "" if asked.tenant is None else asked.tenant.name


def _work_of(model: LoadedModel, asked: m.Submit) -> tuple[Program, Columns]:
    if asked.kind == "sample":
        temperature = torch.full((asked.n,), asked.options.temperature, dtype=torch.float64)
        keys = noise.keys(asked.seed, asked.n, first=asked.first)
        return Sample(model), Columns({"key": keys, "temperature": temperature})
    if asked.kind == "decode":
        return Decode(model), Columns({"latents": _tensor(asked.arrays["latents"])})
    items = _tensor(asked.arrays["items"])
    program: Program = Encode(model)
    if asked.kind == "score" and model.manifest.pictures is not None:
        sides = asked.arrays.get("sides")
        own = torch.tensor(items.shape[1:3]).expand(len(items), 2) if sides is None else _tensor(sides)
        columns = Columns({"items": items, "sides": own, "seed": _seeds(len(items), asked.seed)})
        return ScorePictures(model, asked.options.map), columns
    if asked.kind == "score":
        program = ScoreWithMap(model) if asked.options.map else Score(model)
    elif asked.kind == "explain":
        program = Explain(model)
    return program, Columns({"items": items, "seed": _seeds(len(items), asked.seed)})


def _tensor(array: np.ndarray[Any, Any]) -> torch.Tensor:
    """An array as a tensor, which PyTorch wants to be writable.

    Large arrays that come through a socket are, and share their memory with the tensor. A view of a request's body, or
    of a message's first frame, is copied.
    """
    return torch.from_numpy(array if array.flags.writeable else array.copy())


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _seeds(count: int, seed: int) -> torch.Tensor:
    """(count,) int64: for equal requests the same tensor, which is read and never written to."""
    return torch.full((count,), seed, dtype=torch.int64)


def _rows_of(asked: m.Submit, arrays: m.Arrays) -> Columns:
    """The rows of an inpainting, one for each completion, of its item or of a window of it."""
    n, options = asked.n, asked.options
    item, hidden = _tensor(arrays["items"]), _tensor(arrays["hidden"])
    return Columns(
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
