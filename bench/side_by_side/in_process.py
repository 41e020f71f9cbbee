"""What the service keeps of the speed that its model has in process, one bare loop without HTTP beside it.

Loop and service take turns, with the same flow in the same precision; the loop encodes what the service encodes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from statistics import fmean

import torch

from bench.inpainting_speed import REQUESTS, STEPS, Work, seconds_of
from bench.serving import served
from bench.side_by_side.load import Load, Request, drive
from bench.side_by_side.model import NAME, Precision, Prepared, npy
from bench.side_by_side.report import Row
from flows import Flow, inpainting
from service.grid import grid
from service.pictures import to_png

BATCH = 256
SAMPLES = 64


def rows(model: Prepared, precision: Precision, seconds: float, rounds: int) -> Iterator[Row]:
    flow = model.flow(precision)
    with served(model.store, drain_delay="0", precision=precision) as (_, address):
        for row in (
            batches(model, flow, address, seconds, rounds),
            samples(flow, address, seconds, rounds),
            inpaintings(model, flow, address, rounds),
        ):
            yield row._replace(work=f"{row.work}, {model.nets_in(precision)}")


def scoring(model: Prepared) -> Request:
    """BATCH digits as npy."""
    return Request("/score?seed=0", npy(model.digits[:BATCH]), {"Content-Type": "application/x-npy"})


def batches(model: Prepared, flow: Flow, address: str, seconds: float, rounds: int) -> Row:
    items, request = torch.from_numpy(model.digits[:BATCH]), scoring(model)

    def bare() -> None:
        flow.log_prob(flow.to_continuous(items)).tolist()

    ours, theirs = _turns(bare, lambda: drive(address, request, 4, seconds), seconds, rounds)
    return _row(f"`/score` of {BATCH} images as npy, 4 connections", 0.90, "images/s", BATCH * ours, BATCH * theirs)


def samples(flow: Flow, address: str, seconds: float, rounds: int) -> Row:
    def bare() -> None:
        to_png(grid(flow.to_items(flow.sample(SAMPLES)).numpy()))

    request = Request(f"/sample?n={SAMPLES}", headers={"Accept": "image/png"})
    ours, theirs = _turns(bare, lambda: drive(address, request, 8, seconds), seconds, rounds)
    work = f"`/sample?n={SAMPLES}` as PNG, 8 connections"
    return _row(work, 0.85, "samples/s, encoding included", SAMPLES * ours, SAMPLES * theirs)


def inpaintings(model: Prepared, flow: Flow, address: str, rounds: int) -> Row:
    work = Work(flow, inpainting.survey(flow), NAME, torch.from_numpy(model.digits))
    found = [(seconds_of(lambda: work.at_once(address)), seconds_of(work.bare)) for _ in range(rounds + 1)]
    # The first round warms up.
    ours, theirs = (REQUESTS * STEPS / fmean(column) for column in zip(*found[1:], strict=True))
    return _row(f"`/inpaint`, {REQUESTS} at once, {STEPS} steps", 0.85, "image-steps/s", ours, theirs)


def _turns(bare: Callable[[], None], service: Callable[[], Load], seconds: float, rounds: int) -> tuple[float, float]:
    """Answers a second of the service and of the loop, means over rounds after one of each to warm up."""
    found = []
    for _ in range(rounds + 1):
        with torch.inference_mode():
            found.append((service().rate, pace(bare, seconds)))
    ours, theirs = (fmean(column) for column in zip(*found[1:], strict=True))
    return ours, theirs


def pace(work: Callable[[], None], seconds: float) -> float:
    """How often a second it can be done, over so many seconds."""
    began, count = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < seconds:
        work()
        count += 1
    return count / passed


def _row(work: str, share: float, unit: str, ours: float, theirs: float) -> Row:
    reached = f"{ours / theirs:.0%}: {ours:,.0f} of {theirs:,.0f} {unit}"
    return Row(work, f"{share:.0%} of the loop's", reached, ours >= share * theirs)
