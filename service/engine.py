"""The service without HTTP: models, limits and the scheduler behind four verbs. Routes only translate."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import TypeVar

import torch
from torch import Tensor

from flows import noise
from flows.anomaly import GroupVerdict
from model_store import LoadedModel, Store
from service import memory
from service.admission import Admission, Ticket
from service.arrivals import Arrivals
from service.columns import Columns, padded_lengths
from service.errors import TooLarge, WrongValue
from service.gathering import Gathering
from service.inpainting import Asked, Inpainting
from service.jobs import Job
from service.metrics import Metrics
from service.programs import AnyProgram, Decode, Encode, Inpaint, Sample, Score
from service.progress import Progress
from service.registry import Registry
from service.scheduler import Scheduler
from service.scores import Judged, Scored
from service.settings import Settings
from service.tasks import Tasks
from service.threads import compute_alone

logger = logging.getLogger("sluice")

T = TypeVar("T")

LARGEST_SEED = 2**63 - 1
DEFAULT_METHOD = "ascent"
"""Of inpainting: see ``flows.inpainting``."""
_DRAWN_SEED_BITS = 53  # so that a seed survives a JSON number in any language
_TRIVIAL = 16 * 1024
_WARM_UP = 1.0
"""Seconds of a model's first passes after which larger batches are left out."""


class State(Enum):
    """What the service is doing, as its probes tell it."""

    STARTING = "starting"
    READY = "ready"
    EMPTY = "no model"
    DRAINING = "draining"
    FAILED = "failed"


@dataclass(frozen=True)
class Call:
    """What every request brings: its share of the queue, and when (time.monotonic()) it is given up."""

    ticket: Ticket
    deadline: float


class Engine:
    """Owns everything that lives as long as the service. ``start`` before use, ``stop`` at the end."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.admin_token = settings.admin_token()
        self.device = settings.torch_device()
        self.metrics = Metrics()
        self.admission = Admission(settings.queue_item_ticks)
        self.scheduler = Scheduler(self.admission, settings.max_batch_rows, self.metrics, settings.threads)
        self.registry = Registry(
            Store(settings.store),
            self.device,
            self.metrics,
            self._warm_up,
            settings.default_model,
            bfloat16=settings.bfloat16(),
        )
        self.tasks = Tasks(settings.max_tasks, settings.task_kept, self.admission.retry_after)
        self._pool = ThreadPoolExecutor(settings.decoders, "sluice-decode", compute_alone)
        self.draining = False
        """Whether the service says "not ready" and goes on answering."""
        self._loading: asyncio.Task[None] | None = None
        self._tell()

    async def start(self) -> None:
        """Start the device thread and begin to load; probes answer meanwhile."""
        self._gathering = Gathering(asyncio.get_running_loop(), self.scheduler)
        self._arrivals = Arrivals(asyncio.get_running_loop(), self._gathering)
        self.scheduler.start()
        compute_alone()
        self._loading = asyncio.create_task(asyncio.to_thread(self.registry.load_all))

    async def stop(self) -> None:
        if self._loading is not None:
            await asyncio.wait((self._loading,))
        await asyncio.to_thread(self.scheduler.stop)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def drain(self) -> None:
        """From now on say "not ready", and go on answering."""
        self.draining = True

    @property
    def state(self) -> State:
        broken = self._loading is not None and self._loading.done() and self._loading.exception() is not None
        if broken or not self.scheduler.alive:
            return State.FAILED
        if self.draining:
            return State.DRAINING
        if self.registry.loading:
            return State.STARTING
        return State.EMPTY if self.registry.unready() else State.READY

    async def compute(self, work: Callable[[], T], size: int) -> T:
        """Decoding and encoding of ``size`` bytes: beside the event loop unless it is trivial."""
        if size <= _TRIVIAL:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def bound(self, field: str, value: int, limit: int) -> None:
        """Raises WrongValue when a count is not within 1 and its limit."""
        if not 1 <= value <= limit:
            raise WrongValue(f"{field} must be between 1 and {limit}", field)

    def reserve(self, ticket: Ticket, items: int) -> None:
        """Make room for a body of items. Raises TooLarge, QueueFull."""
        if items > self.settings.max_items:
            raise TooLarge(f"at most {self.settings.max_items} items are taken in one request", "items")
        ticket.resize(items)

    async def sample(self, model: LoadedModel, n: int, seed: int, temperature: float, call: Call) -> Tensor:
        """n items (n, *S) under a seed: the first 16 of 64 are those of n=16, whoever shares the batch."""
        columns = Columns(key=noise.keys(seed, n), temperature=torch.full((n,), temperature, dtype=torch.float64))
        items = (await self._run(Sample(model), columns, call))["items"]
        return _finite(items, "temperature")

    async def score(
        self, model: LoadedModel, items: Tensor, seed: int, call: Call
    ) -> tuple[Scored, GroupVerdict | None]:
        """Log-likelihoods of items (N, *S) and, where the model is calibrated, verdicts on each and on all together."""
        found = await self._run(Score(model), Columns(items=items, seed=_seeds(items, seed)), call)
        calibration = model.calibration
        if calibration is None:
            return Scored(found["log_likelihood"], None), None
        statistics = found["statistics"]
        verdict = await self.compute(lambda: calibration.judge(statistics), statistics.nbytes)
        return Scored(found["log_likelihood"], Judged(statistics, verdict)), calibration.judge_group(verdict.scores)

    async def encode(self, model: LoadedModel, items: Tensor, seed: int, call: Call) -> Columns:
        """latents (N, *Z) and log_abs_det (N,)."""
        found = await self._run(Encode(model), Columns(items=items, seed=_seeds(items, seed)), call)
        _finite(found["latents"], "items")
        _finite(found["log_abs_det"], "items")
        return found

    async def decode(self, model: LoadedModel, latents: Tensor, call: Call) -> Columns:
        """items (N, *S) and log_abs_det (N,)."""
        found = await self._run(Decode(model), Columns(latents=latents), call)
        _finite(found["items"], "latents")
        _finite(found["log_abs_det"], "latents")
        return found

    def inpaint(self, asked: Asked, ticket: Ticket, deadline: float, watched: bool) -> Inpainting:
        """Begin to complete an item n times. Call it on the event loop; ``watched`` keeps snapshots of the way."""
        n, flow, options = asked.n, asked.model.flow, asked.options
        rows = Columns(
            items=asked.item.expand(n, *asked.item.shape[1:]),
            hidden=asked.hidden.expand(n, *asked.hidden.shape[1:]),
            key=noise.keys(asked.seed, n),
            seed=_seeds(asked.item, asked.seed).expand(n),
            steps=torch.full((n,), options.steps),
            step_size=torch.full((n,), options.step_size),
            temperature=torch.full((n,), options.temperature),
        )
        program = Inpaint(asked.model, options.method)
        progress = Progress(n, options.steps, flow.item_shape if flow.is_image else None) if watched else None
        job = Job(program, rows, ticket, deadline, progress)
        if progress is not None:
            job.future.add_done_callback(lambda _: progress.wake())
        self._gathering.stir()
        self.scheduler.submit(job)
        return Inpainting(asked, job, progress)

    async def _run(self, program: AnyProgram, columns: Columns, call: Call) -> Columns:
        job = Job(program, columns, call.ticket, call.deadline)
        self._gathering.stir()
        self.scheduler.submit(job)
        found = await self._arrivals.of(job)
        if isinstance(program, Score):
            self.metrics.scored_items.labels(program.model.reference).inc(len(found))
        return found

    def _warm_up(self, model: LoadedModel) -> None:
        """Every kind of pass on the device's own thread: a first one loads kernels and plans.

        What is asked most has some for each size of batch, the smallest first. Of a large model they cost little beside
        a pass itself, so that passes which would take long are left to the requests.
        """
        began = time.monotonic()
        zeros = torch.zeros((1, *model.flow.item_shape), dtype=torch.uint8 if model.flow.is_image else model.flow.dtype)
        one = torch.ones(1, dtype=torch.int64)
        all_hidden = torch.ones_like(zeros, dtype=torch.bool)
        climbing = Columns(
            items=zeros, hidden=all_hidden, key=one, seed=one, steps=one, step_size=one.float(), temperature=one.float()
        )
        self._pass(Sample(model), Columns(key=one, temperature=one.double()))
        self._pass(Inpaint(model, DEFAULT_METHOD), climbing)
        score, largest = Score(model), self.settings.max_batch_rows
        for size in padded_lengths(largest, score.rows_multiple):
            rows = min(size, largest)
            self._pass(score, Columns(items=zeros.expand(rows, *zeros.shape[1:]), seed=one.expand(rows)))
            if time.monotonic() - began > _WARM_UP:
                return

    def _pass(self, program: AnyProgram, columns: Columns) -> None:
        """One job of nobody's, and its end awaited."""
        job = Job(program, columns, Ticket(self.admission), time.monotonic() + self.settings.deadline)
        self.scheduler.submit(job)
        job.future.result()

    def _tell(self) -> None:
        """The gauges that ask the engine."""
        watch, watch_each = self.metrics.watch, self.metrics.watch_each
        watch("sluice_queue_item_ticks", "Admitted work that waits", lambda: self.admission.waiting)
        watch("sluice_queue_item_ticks_bound", "The most work that may wait", lambda: self.admission.bound)
        watch("sluice_queue_jobs", "Admitted requests whose work is not done", lambda: self.admission.requests)
        watch("sluice_models_loaded", "Models being served", lambda: len(self.registry.models))
        watch("sluice_models_refused", "Models refused", lambda: len(self.registry.refused))
        watch("sluice_ready", "1 while ready", lambda: self.state is State.READY)
        watch_each(
            "sluice_model_info",
            "1 for each model that is served",
            ("model", "architecture", "prior", "device", "precision"),
            lambda: ((self._info(model), 1) for model in self.registry.models),
        )
        watch_each(
            "sluice_device_memory_bytes",
            "Of a GPU: held by tensors, and all of it. On the CPU: the process's, and the machine's or the container's",
            ("kind",),
            lambda: [(("used",), memory.used_bytes(self.device)), (("total",), memory.total_bytes(self.device))],
        )

    def _info(self, model: LoadedModel) -> tuple[str, ...]:
        manifest = model.manifest
        return model.reference, manifest.architecture.name, manifest.prior, str(self.device), model.precision


def draw_seed() -> int:
    """A seed for a request that brings none."""
    return secrets.randbits(_DRAWN_SEED_BITS)


def _seeds(items: Tensor, seed: int) -> Tensor:
    return _seed_column(len(items), seed)


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _seed_column(count: int, seed: int) -> Tensor:
    """(count,), the same tensor for the same request: columns are read and never written to."""
    return torch.full((count,), seed, dtype=torch.int64)


def _finite(answer: Tensor, field: str) -> Tensor:
    """The answer (N, ...), or WrongValue for the first item that has none: it lies too far from all data."""
    bad = ~answer.isfinite().flatten(1).all(dim=1) if answer.ndim > 1 else ~answer.isfinite()
    if bool(bad.any()):
        first = int(bad.nonzero()[0])
        raise WrongValue(f"the model has no finite answer for item {first}", f"{field}[{first}]")
    return answer
