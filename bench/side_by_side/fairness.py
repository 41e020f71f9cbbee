"""What one client's flood does to another's requests: their latency beside it, and alone, in turns on one server.

Clients are API keys, and on a server without keys addresses.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

from bench.serving import served
from bench.side_by_side import payloads
from bench.side_by_side.contenders import score_request
from bench.side_by_side.in_process import BATCH
from bench.side_by_side.load import Load, Request, drive
from bench.side_by_side.own_address import drive_from
from bench.side_by_side.published_model import PublishedModel
from bench.side_by_side.report import Row
from bench.side_by_side.service_imports import create_key

_TIMES = 2.0
_STEADY_CONNECTIONS, _FLOOD_CONNECTIONS = 4, 64
_BEFORE = 1.0
"""Seconds that a flood runs before the steady client is measured."""
_LONGEST = "&n=1000"
"""With 2,000 steps, the largest inpainting that a request may ask for: half of what the queue holds."""
_ELSEWHERE = "127.0.0.2"

Drive = Callable[[str, Request, int, float], Load]


def rows(model: PublishedModel, seconds: float, rounds: int) -> Iterator[Row]:
    """Floods of single pictures, of batches, and of the largest inpaintings: of a key, and of an address."""
    digits = model.digits
    asked = score_request(digits[0])
    floods = {
        "single pictures": score_request(digits[1]),
        f"batches of {BATCH} pictures": payloads.batch(digits[:BATCH]),
        "inpaintings of 1,000 x 2,000 steps": payloads.inpainting(digits[1], 2000, _LONGEST),
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "keys.json"
        steady, flood = (create_key(file, name, ["infer"]) for name in ("steady", "flood"))
        with served(model.store, drain_delay="0", keys_file=str(file)) as (_, address):
            for what, request in floods.items():
                turn = partial(_turn, address, drive, with_key(asked, steady), with_key(request, flood), seconds)
                yield _row("key", what, [turn() for _ in range(rounds + 1)][1:])
    if sys.platform != "linux":  # elsewhere the machine has one address of its own
        return
    with served(model.store, drain_delay="0") as (_, address):
        for what, request in floods.items():
            turn = partial(_turn, address, partial(drive_from, _ELSEWHERE), asked, request, seconds)
            yield _row("address", what, [turn() for _ in range(rounds + 1)][1:])


def with_key(request: Request, key: str) -> Request:
    """The same request, with an API key."""
    return replace(request, headers={**request.headers, "X-API-Key": key})


def _turn(address: str, steadily: Drive, steady: Request, flood: Request, seconds: float) -> tuple[Load, Load]:
    """The steady client's load alone, and beside the flood."""
    alone = steadily(address, steady, _STEADY_CONNECTIONS, seconds)
    flooding = threading.Thread(target=drive, args=(address, flood, _FLOOD_CONNECTIONS, seconds + 2 * _BEFORE))
    flooding.start()
    try:
        flooding.join(_BEFORE)
        beside = steadily(address, steady, _STEADY_CONNECTIONS, seconds)
    finally:
        flooding.join()
    return alone, beside


def _row(client: str, what: str, found: list[tuple[Load, Load]]) -> Row:
    failures = sum(load.failures for loads in found for load in loads)
    if all(load.requests for loads in found for load in loads):
        alone, beside = (median(load.p99_ms for load in column) for column in zip(*found, strict=True))
        reached = f"{beside / alone:.1f} times: {beside:.1f} ms, alone {alone:.1f} ms"
        holds = beside <= _TIMES * alone and not failures
    else:  # the p99 of nothing is no latency
        reached, holds = "no request was answered while it was measured", False
    if failures:
        reached += f", {failures} requests failed"
    return Row(
        f"p99 of one {client}'s single pictures, {_STEADY_CONNECTIONS} connections, beside another {client}'s {what}, "
        f"{_FLOOD_CONNECTIONS} connections",
        f"{_TIMES:.0f} times its p99 alone",
        reached,
        holds,
    )
