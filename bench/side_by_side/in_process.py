"""How much of its model's speed the service keeps: beside it runs a bare loop in this process, without HTTP.

Loop and service take turns with the same flow in the same precision. The loop encodes what the service encodes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from statistics import fmean

import torch

from bench.inpainting_speed import REQUESTS, STEPS, Work, seconds_of
from bench.serving import served
from bench.side_by_side import payloads
from bench.side_by_side.load import Load, drive
from bench.side_by_side.published_model import NAME, PRECISIONS, Precision, PublishedModel
from bench.side_by_side.report import Row
from bench.side_by_side.service_imports import grid, to_png
from flows import Flow, inpainting

BATCH = 256
SAMPLES = 64
_BATCHES_SHARE, _SAMPLES_SHARE, _INPAINTINGS_SHARE = 0.92, 1.10, 0.95
"""Shares of the loop's speed that the service is to reach. Samples may exceed it: the service encodes one answer while
it computes the next."""


def rows(model: PublishedModel, seconds: float, rounds: int) -> Iterator[Row]:
    """The three works in each precision."""
    for precision in PRECISIONS:
        yield from _rows(model, precision, seconds, rounds)


def _rows(model: PublishedModel, precision: Precision, seconds: float, rounds: int) -> Iterator[Row]:
    flow = model.flow(precision)
    with served(model.store, drain_delay="0", precision=precision) as (_, address):
        works: tuple[Callable[[], Row], ...] = (
            lambda: batches(model, flow, address, seconds, rounds),
            lambda: samples(flow, address, seconds, rounds),
            lambda: inpaintings(model, flow, address, rounds),
        )
        for work in works:
            row = work()
            yield row._replace(work=f"{row.work}, {model.nets_in(precision)}")


def batches(model: PublishedModel, flow: Flow, address: str, seconds: float, rounds: int) -> Row:
    """Scores of BATCH pictures in one request."""
    items, request = torch.from_numpy(model.digits[:BATCH]), payloads.batch(model.digits[:BATCH])

    def bare() -> None:
        flow.log_prob(flow.to_continuous(items)).tolist()

    ours, theirs = _turns(bare, lambda: drive(address, request, 4, seconds), seconds, rounds)
    work = f"`/score` of {BATCH} images as npy, 4 connections"
    return _row(work, _BATCHES_SHARE, "images/s", BATCH * ours, BATCH * theirs)


def samples(flow: Flow, address: str, seconds: float, rounds: int) -> Row:
    """SAMPLES samples in one request."""

    def bare() -> None:
        to_png(grid(flow.to_items(flow.sample(SAMPLES)).numpy()))

    ours, theirs = _turns(bare, lambda: drive(address, payloads.samples(SAMPLES), 8, seconds), seconds, rounds)
    work = f"`/sample?n={SAMPLES}` as PNG, 8 connections"
    return _row(work, _SAMPLES_SHARE, "samples/s, encoding included", SAMPLES * ours, SAMPLES * theirs)


def inpaintings(model: PublishedModel, flow: Flow, address: str, rounds: int) -> Row:
    """REQUESTS inpaintings of one picture each, sent at once."""
    work = Work(flow, inpainting.survey(flow), NAME, torch.from_numpy(model.digits))
    found = [(seconds_of(lambda: work.at_once(address)), seconds_of(work.bare)) for _ in range(rounds + 1)]
    # The first round warms up.
    ours, theirs = (REQUESTS * STEPS / fmean(column) for column in zip(*found[1:], strict=True))
    return _row(f"`/inpaint`, {REQUESTS} at once, {STEPS} steps", _INPAINTINGS_SHARE, "image-steps/s", ours, theirs)


def _turns(bare: Callable[[], object], service: Callable[[], Load], seconds: float, rounds: int) -> tuple[float, float]:
    """Answers per second of the service and of the loop: means over rounds, after one of each to warm up."""
    found = []
    for _ in range(rounds + 1):
        with torch.inference_mode():
            found.append((service().rate, pace(bare, seconds)))
    ours, theirs = (fmean(column) for column in zip(*found[1:], strict=True))
    return ours, theirs


def pace(work: Callable[[], object], seconds: float) -> float:
    """Calls per second, measured over ``seconds``."""
    began, count = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < seconds:
        work()
        count += 1
    return count / passed


def _row(work: str, share: float, unit: str, ours: float, theirs: float) -> Row:
    reached = f"{ours / theirs:.0%}: {ours:,.0f} of {theirs:,.0f} {unit}"
    return Row(work, f"{share:.0%} of the loop's", reached, ours >= share * theirs)
