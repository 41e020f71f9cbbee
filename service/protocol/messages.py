"""The messages between an api process and the device process. Data only: numbers, text and arrays, no live object.

An api process numbers its requests; every message that answers one bears its number. ``deadline`` is a reading of
``time.monotonic()``, which all processes of a machine share.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from msgspec import Struct

from service.protocol import defaults
from service.protocol.model_info import ModelInfo, RefusedInfo
from service.protocol.tenants import Tenant

Kind = Literal["score", "explain", "sample", "encode", "decode", "inpaint"]
TaskPhase = Literal["queued", "running", "stopping", "done", "stopped", "failed"]
ENDED: tuple[TaskPhase, ...] = ("done", "stopped", "failed")

Arrays = dict[str, np.ndarray[Any, Any]]
"""Arrays by name, all with one row an item."""


class Options(Struct, frozen=True, array_like=True):
    """What a request may set of its computation; each kind reads its own."""

    temperature: float = defaults.TEMPERATURE
    method: str = defaults.INPAINT_METHOD
    steps: int = defaults.INPAINT_STEPS
    step_size: float = defaults.STEP_SIZE
    fdr: float | None = None
    """Rate of false discoveries at which to flag items; unset, none is flagged."""
    scores: bool = False
    """Whether a score also tells what judges items of several requests together."""
    map: bool = False
    """Whether a score also tells where a picture is strange. Only of a model with ``ModelInfo.map``."""


class TaskKey(Struct, frozen=True, array_like=True):
    """An inpainting that outlives its request: its id, and a fingerprint of what was asked."""

    id: str
    fingerprint: str


# From an api process to the device.


class Hello(Struct, tag=True, array_like=True):
    """First message of an api process; answered with ``Models``."""


class Submit(Struct, tag=True, array_like=True):
    """Work: rows of one model and one kind.

    score, explain, encode: ``arrays["items"]`` (N, *S). decode: ``arrays["latents"]`` (N, *Z). sample: ``n`` items,
    the first of which is draw ``first`` of the seed.
    score of a model with ``ModelInfo.pictures``: pictures filled up to one size, and ``arrays["sides"]`` (N, 2), the
    height and width of each; without these they fill the arrays.
    inpaint: ``n`` completions of ``arrays["items"]`` (1, *S) where ``arrays["hidden"]`` (1, *S) is true. Of a model
    with ``ModelInfo.pictures`` S may be any size, and ``weight`` is the cost of the window (``protocol.windows``).
    """

    id: int
    model: str
    kind: Kind
    deadline: float
    arrays: Arrays = {}
    seed: int = 0
    n: int = 1
    options: Options = Options()
    watch: bool = False
    """Whether an inpainting sends snapshots, and keeps a trace."""
    task: TaskKey | None = None
    tenant: Tenant | None = None
    """Whose work it is, where clients show keys."""
    first: int = 0
    weight: int = 1
    """Item-ticks of one step of one completion."""

    @property
    def cost(self) -> int:
        """Item-ticks: rows times the most ticks that each may take. The only place that knows what a request costs."""
        if self.kind == "inpaint":
            return self.n * self.options.steps * self.weight
        if self.kind == "sample":
            return self.n
        if self.kind == "explain":  # each column of each row is varied
            return self.arrays["items"].size
        if "sides" in self.arrays:
            return picture_cost(self.arrays["sides"])
        return len(next(iter(self.arrays.values())))


def picture_cost(sides: np.ndarray[Any, Any]) -> int:
    """Item-ticks of pictures with these sides (N, 2) together."""
    return int(picture_costs(sides).sum())


def picture_costs(sides: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Item-ticks (N,) of each picture with these sides (N, 2): one for each 64x64 pixels begun."""
    found: np.ndarray[Any, Any] = -(-sides.astype(np.int64).prod(axis=1) // 4096)
    return found


class Cancel(Struct, tag=True, array_like=True):
    """Nobody waits for the answer to this request any more."""

    id: int


class Follow(Struct, tag=True, array_like=True):
    """Ask for a task: its state, its result as soon as it has ended, or its snapshots and then its result."""

    id: int
    task: str
    want: Literal["state", "result", "events"]


class Claim(Struct, tag=True, array_like=True):
    """Which of several devices is to begin a task that none of them holds; answered with ``Told``, a device's name.

    It is ``device`` unless another one was named for the task a moment ago.
    """

    id: int
    task: str
    device: str


class StopTask(Struct, tag=True, array_like=True):
    """End a task after its next step and keep the best so far; answered with ``TaskIs``."""

    id: int
    task: str


class Load(Struct, tag=True, array_like=True):
    """Load the store's default version of a name; answered with ``Told`` (its reference) or ``Failed``."""

    id: int
    name: str


class Unload(Struct, tag=True, array_like=True):
    """Serve a name no longer; answered with ``Told`` or ``Failed``."""

    id: int
    name: str


class Read(Struct, tag=True, array_like=True):
    """A file that the model's manifest lists; answered with ``Told`` or ``Failed``."""

    id: int
    model: str
    file: str


class Stats(Struct, tag=True, array_like=True):
    """Ask for the device's metrics in Prometheus' text format; answered with ``Told``."""

    id: int


class Drift(Struct, tag=True, array_like=True):
    """Ask how the live items of a model differ from its calibrating ones.

    Answered with ``Told``: a JSON list of ``ModelDrift``, one a device; or with ``Failed``.
    """

    id: int
    model: str


class Ping(Struct, tag=True, array_like=True):
    """Answered between two ticks with ``Told``: a device that does not answer hangs."""

    id: int


class Gone(Struct, tag=True, array_like=True):
    """From the supervisor: this api process has died, and nobody waits for its answers."""

    peer: str


Request = Submit | Follow | Claim | StopTask | Load | Unload | Read | Stats | Drift | Ping
"""A message that bears a number and is answered."""
Up = Hello | Cancel | Gone | Request


# From the device to an api process.


class Results(Struct, tag=True, array_like=True):
    """Answers of one tick: the rows of the request ``ids[i]`` are the next ``rows[i]`` rows of every array.

    ``each`` holds arrays with one entry a request.
    """

    ids: list[int]
    rows: list[int]
    arrays: Arrays
    each: Arrays


class TaskState(Struct, frozen=True, array_like=True):
    """How far an inpainting has come. ``step`` and ``log_likelihood`` are those of its latest snapshot."""

    id: str
    state: TaskPhase
    model: str
    seed: int
    method: str
    n: int
    steps: int
    step: int
    log_likelihood: float | None


class TaskIs(Struct, tag=True, array_like=True):
    """The state of a task, and the model that it runs on, which may be served no longer."""

    id: int
    about: TaskState
    model: ModelInfo


class Completed(Struct, tag=True, array_like=True):
    """An inpainting that has ended, its completions ranked by log-likelihood.

    ``arrays``: items, before, after, grad_norm, acceptance, steps, converged, draw, one row a completion. ``history``,
    of an inpainting that was watched: ``known`` (1, *S) pixels with grey in the hidden places, ``log_likelihood``
    (K, n) and ``taken`` (n,) snapshots of each draw, ``items`` (K, up to 16, *S). ``stride`` steps lie between two.
    """

    id: int
    about: TaskState
    arrays: Arrays
    history: Arrays
    stride: int


class Snapshot(Struct, tag=True, array_like=True):
    """Where an inpainting stands: its furthest step, the log-likelihood of its likeliest row, its first items."""

    id: int
    step: int
    log_likelihood: float
    items: np.ndarray[Any, Any] | None


class Told(Struct, tag=True, array_like=True):
    """Bytes that were asked for."""

    id: int
    data: bytes


class Failed(Struct, tag=True, array_like=True):
    """The request ends in a problem (see ``protocol.errors``)."""

    id: int
    kind: str
    detail: str
    field: str | None = None
    retry_after: int | None = None


class Models(Struct, tag=True, array_like=True):
    """All models of the device; sent whenever one of them changes."""

    models: tuple[ModelInfo, ...]
    refused: tuple[RefusedInfo, ...]
    waiting: tuple[str, ...]
    default: str | None
    starting: bool


class Report(Struct, tag=True, array_like=True):
    """The queue of the device: item-ticks that wait, item-ticks a second, and the last request that it had seen."""

    waiting: int
    pace: float | None
    seen: int


class Missed(Struct, tag=True, array_like=True):
    """A message could not be read for want of memory; nobody knows which requests it held."""


Down = Results | TaskIs | Completed | Snapshot | Told | Failed | Models | Report | Missed
