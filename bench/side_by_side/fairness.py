"""What one client's flood does to another's requests: their latency beside it, and alone, in turns on one server.

Clients are API keys, and on a server without keys addresses.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.serving import served
from bench.side_by_side import metrics, payloads
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


class Turn(NamedTuple):
    """The steady client's load alone and beside the flood, and whether the flood got any work done."""

    alone: Load
    beside: Load
    flooded: bool


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
        watch = create_key(file, "watch", ["metrics", "read"])
        with served(model.store, key=watch, drain_delay="0", keys_file=str(file)) as (_, address):
            queued = partial(metrics.queued, address, {"X-API-Key": watch})
            for what, request in floods.items():
                keyed = with_key(asked, steady), with_key(request, flood)
                turn = partial(_turn, address, drive, *keyed, seconds, queued)
                yield _row("key", what, [turn() for _ in range(rounds + 1)][1:])
    if sys.platform != "linux":  # elsewhere the machine has one address of its own
        return
    with served(model.store, drain_delay="0") as (_, address):
        for what, request in floods.items():
            steadily = partial(drive_from, _ELSEWHERE)
            turn = partial(_turn, address, steadily, asked, request, seconds, partial(metrics.queued, address))
            yield _row("address", what, [turn() for _ in range(rounds + 1)][1:])


def with_key(request: Request, key: str) -> Request:
    """The same request, with an API key."""
    return replace(request, headers={**request.headers, "X-API-Key": key})


def _turn(
    address: str, steadily: Drive, steady: Request, flood: Request, seconds: float, queued: Callable[[], float]
) -> Turn:
    """One turn. Raises what the flood raises: without it the steady client was alone."""
    alone = steadily(address, steady, _STEADY_CONNECTIONS, seconds)
    with ThreadPoolExecutor(1) as pool:
        flooding = pool.submit(drive, address, flood, _FLOOD_CONNECTIONS, seconds + 2 * _BEFORE)
        wait([flooding], _BEFORE)
        # The largest inpaintings outlast the flood: no answer comes, and their places in the queue show that they run.
        runs = queued() > 0
        beside = steadily(address, steady, _STEADY_CONNECTIONS, seconds)
        load = flooding.result()
    return Turn(alone, beside, runs or load.requests > load.refused)


def _row(client: str, what: str, found: list[Turn]) -> Row:
    failures = sum(load.failures for turn in found for load in (turn.alone, turn.beside))
    if all(load.requests for turn in found for load in (turn.alone, turn.beside)):
        alone, beside = median(turn.alone.p99_ms for turn in found), median(turn.beside.p99_ms for turn in found)
        reached = f"{beside / alone:.1f} times: {beside:.1f} ms, alone {alone:.1f} ms"
        holds = beside <= _TIMES * alone and not failures
    else:  # the p99 of nothing is no latency
        reached, holds = "no request was answered while it was measured", False
    if failures:
        reached += f", {failures} requests failed"
    if not all(turn.flooded for turn in found):
        reached += ", a flood got no good answer"
        holds = False
    return Row(
        f"p99 of one {client}'s single pictures, {_STEADY_CONNECTIONS} connections, beside another {client}'s {what}, "
        f"{_FLOOD_CONNECTIONS} connections",
        f"{_TIMES:.0f} times its p99 alone",
        reached,
        holds,
    )
