"""What one tick does to a batch of rows: a program for each kind of work that a flow can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from flows import Flow, anomaly, inpainting, noise
from flows.anomaly import names_of
from flows.inpainting import Climb
from model_store import LoadedModel
from service.columns import ROWS_MULTIPLE, Columns, Rows

R = TypeVar("R", bound=Rows)


@dataclass(frozen=True)
class Program(ABC, Generic[R]):
    """One kind of work on one model. Rows of programs with equal keys share a batch, and know nothing of each other."""

    kind: ClassVar[str]
    iterative: ClassVar[bool] = False
    """Whether a row needs many ticks. Such rows alternate with those that need one."""

    model: LoadedModel

    @property
    def key(self) -> Hashable:
        return self.kind, self.model.reference

    @property
    def flow(self) -> Flow:
        return self.model.serving

    @property
    def rows_multiple(self) -> int:
        """A batch is filled up to a multiple of it."""
        least = self.model.least_rows if self.flow is self.model.serving else None
        return ROWS_MULTIPLE if least is None else least

    @abstractmethod
    def start(self, columns: Columns) -> R:
        """What a request sent, to rows on the device; part of a row's first tick."""

    @abstractmethod
    def step(self, rows: R) -> R:
        """One tick; the rows that come in are left as they are."""

    @abstractmethod
    def done(self, rows: R) -> Tensor:
        """(B,) bool: the rows that need no further tick."""

    @abstractmethod
    def result(self, rows: R) -> Columns:
        """What the request gets of its finished rows."""

    def view(self, rows: R) -> Columns:
        """What an observer sees of rows in flight: by default what the request would get of them now."""
        return self.result(rows)


class OneTick(Program[Columns]):
    """Rows that are done after their first tick."""

    def start(self, columns: Columns) -> Columns:
        return columns.to(self.flow.device)

    def done(self, rows: Columns) -> Tensor:
        return torch.ones(len(rows), dtype=torch.bool)

    def result(self, rows: Columns) -> Columns:
        return rows


def continuous(flow: Flow, items: Tensor, seeds: Tensor) -> Tensor:
    """items (B, *S), seeds (B,) -> x (B, *S), dequantised with each row's own seed."""
    first = int(seeds[0])
    if bool((seeds == first).all()):
        return flow.to_continuous(items, first)
    x = items.new_empty(items.shape, dtype=flow.dtype)
    for seed in set(seeds.tolist()):
        x[seeds == seed] = flow.to_continuous(items[seeds == seed], seed)
    return x


class Sample(OneTick):
    """key (B,) int64, temperature (B,) -> items (B, *S), as a user gets them."""

    kind = "sample"

    def step(self, rows: Columns) -> Columns:
        prior = self.flow.prior
        z = prior.quantile(noise.uniform(rows["key"], prior.shape))
        z = z * rows["temperature"].reshape(-1, *[1] * len(prior.shape))
        return Columns(items=self.flow.to_items(self.flow.decode(z.to(self.flow.dtype))[0]))


class Score(OneTick):
    """items (B, *S), seed (B,) -> log_likelihood (B,) in nats, and the statistics (B, K) that a verdict needs."""

    kind = "score"

    def step(self, rows: Columns) -> Columns:
        x = continuous(self.flow, rows["items"], rows["seed"])
        if self.model.calibration is None:
            return Columns(log_likelihood=self.flow.log_prob(x).double())
        found = anomaly.statistics(self.flow, x)
        return Columns(log_likelihood=found[:, names_of(self.flow).index("log_likelihood")], statistics=found)


class Encode(OneTick):
    """In float32, since latents are made to go back.

    items (B, *S), seed (B,) -> latents (B, *Z), log_abs_det (B,) of data to latent.
    """

    kind = "encode"

    @property
    def flow(self) -> Flow:
        return self.model.flow

    def step(self, rows: Columns) -> Columns:
        latents, log_abs_det = self.flow.encode(continuous(self.flow, rows["items"], rows["seed"]))
        return Columns(latents=latents, log_abs_det=log_abs_det)


class Decode(OneTick):
    """In float32 as well.

    latents (B, *Z) -> items (B, *S), log_abs_det (B,) of latent to data.
    """

    kind = "decode"

    @property
    def flow(self) -> Flow:
        return self.model.flow

    def step(self, rows: Columns) -> Columns:
        x, log_abs_det = self.flow.decode(rows["latents"])
        return Columns(items=self.flow.to_items(x), log_abs_det=log_abs_det)


@dataclass(frozen=True)
class Inpaint(Program[Climb]):
    """Climbs of one method; every row brings its own schedule.

    items (B, *S) with anything in hidden places, hidden (B, *S) bool, key (B,), seed (B,), steps (B,) int64,
    step_size (B,), temperature (B,) -> completions.
    """

    kind = "inpaint"
    iterative = True

    method: str

    @property
    def key(self) -> Hashable:
        return self.kind, self.model.reference, self.method

    def start(self, columns: Columns) -> Climb:
        columns = columns.to(self.flow.device)
        # What stands in the hidden places must not reach the noise of the known ones.
        known = columns["items"].masked_fill(columns["hidden"], 0)
        return inpainting.start(
            self.flow,
            continuous(self.flow, known, columns["seed"]),
            columns["hidden"],
            columns["key"],
            survey=self.model.survey,
            method=self.method,
            steps=columns["steps"],
            step_size=columns["step_size"],
            temperature=columns["temperature"],
        )

    def step(self, rows: Climb) -> Climb:
        return inpainting.step(self.flow, rows)

    def done(self, rows: Climb) -> Tensor:
        return rows.done

    def view(self, rows: Climb) -> Columns:
        # Where they stand: the best so far may lie far back, and stay the same for most of the way.
        return Columns(items=self.flow.to_items(rows.x), log_likelihood=rows.log_prob)

    def result(self, rows: Climb) -> Columns:
        return Columns(
            items=self.flow.to_items(rows.result()),
            before=rows.start_log_prob,
            after=rows.log_prob if rows.samples else rows.best_log_prob,
            grad_norm=rows.grad_norm,
            acceptance=rows.acceptance,
            steps=rows.step,
            converged=rows.converged,
        )


AnyProgram = Program[Any]
