"""What the Open Inference Protocol costs, and what it saves: binary tensors beside npy, and beside PNG."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

from bench.serving import served
from bench.side_by_side import payloads
from bench.side_by_side.contenders import score_request, tensor_request
from bench.side_by_side.in_process import BATCH
from bench.side_by_side.load import Load, Request, drive
from bench.side_by_side.published_model import PRECISIONS, PublishedModel
from bench.side_by_side.report import Row

_OF_NPY = 0.95
_OF_PNG = 1.3
_BATCHES_AT, _SINGLES_AT = 4, 32
"""Connections."""


def rows(model: PublishedModel, seconds: float, rounds: int) -> Iterator[Row]:
    """Batches and single pictures in each precision, in turns on one server."""
    batch, digit = model.digits[:BATCH], model.digits[0]
    for precision in PRECISIONS:
        nets = model.nets_in(precision)
        with served(model.store, drain_delay="0", precision=precision) as (_, address):
            found = _turns(address, tensor_request(batch), payloads.batch(batch), _BATCHES_AT, seconds, rounds)
            work = f"`/v2` score of {BATCH} images as a tensor, {_BATCHES_AT} connections, {nets}"
            yield _row(work, f"{_OF_NPY:.0%} of `/score` npy's", _OF_NPY, found)
            found = _turns(address, tensor_request(digit), score_request(digit), _SINGLES_AT, seconds, rounds)
            work = f"`/v2` score of one image as a tensor, {_SINGLES_AT} connections, {nets}"
            yield _row(work, f"{_OF_PNG:.1f} times the requests/s of PNG", _OF_PNG, found)


def _turns(
    address: str, tensors: Request, other: Request, connections: int, seconds: float, rounds: int
) -> list[tuple[Load, Load]]:
    """Both requests in every round; a round more warms up and is left out."""
    found = [
        (drive(address, tensors, connections, seconds), drive(address, other, connections, seconds))
        for _ in range(rounds + 1)
    ]
    return found[1:]


def _row(work: str, target: str, least: float, found: list[tuple[Load, Load]]) -> Row:
    ours, theirs = (fmean(load.rate for load in column) for column in zip(*found, strict=True))
    failures = sum(load.failures for loads in found for load in loads)
    reached = f"{ours / theirs:.2f} times: {ours:,.0f} of {theirs:,.0f} requests/s"
    if failures:
        reached += f", {failures} requests failed"
    return Row(work, target, reached, ours >= least * theirs and not failures)
