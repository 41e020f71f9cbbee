"""An inpainting: what was asked, the job that climbs, and the completions, the likeliest first."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from flows.inpainting import METHODS
from model_store import LoadedModel
from service.columns import Columns
from service.errors import WrongValue
from service.jobs import Job
from service.progress import Progress

State = Literal["queued", "running", "stopping", "done", "stopped", "failed"]


@dataclass(frozen=True)
class InpaintOptions:
    """How to climb: see ``flows.inpainting``."""

    method: str
    steps: int
    step_size: float = 1.0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise WrongValue(f"method must be one of {', '.join(METHODS)}", "method")


@dataclass(frozen=True)
class Asked:
    """``n`` completions of one item (1, *S), whose places ``hidden`` (1, *S) bool are to be filled in."""

    model: LoadedModel
    item: Tensor
    hidden: Tensor
    n: int
    seed: int
    options: InpaintOptions


@dataclass(frozen=True)
class Inpainting:
    """One that runs, or has ended. ``progress`` is there when somebody may want to see the way."""

    asked: Asked
    job: Job
    progress: Progress | None

    @property
    def ended(self) -> bool:
        return self.job.future.done()

    @property
    def state(self) -> State:
        if not self.ended:
            return "stopping" if self.job.stopping else "running" if self.job.begun else "queued"
        if self.job.future.cancelled() or self.job.future.exception() is not None:
            return "failed"
        return "stopped" if self.job.stopping else "done"

    async def completions(self) -> Columns:
        """The n rows ranked by log-likelihood: items, before, after, grad_norm, acceptance, steps, converged, draw.

        ``draw`` (n,) tells which of the seed's draws a row is. Cancelling the wait cancels the job. Raises whatever
        ended the job, and WrongValue for an item to which the model gives no finite likelihood.
        """
        found = await asyncio.wrap_future(self.job.future)
        if not bool(found["after"].isfinite().all()):
            raise WrongValue("the model gives the image no finite likelihood, however it is filled in", "image")
        order = found["after"].argsort(descending=True, stable=True)
        return found.select(order).joined(draw=torch.arange(len(order))[order])
