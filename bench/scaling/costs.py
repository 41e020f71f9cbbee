"""What a request and a tick cost: measured on this machine, or read from the pages that hold figures of a GPU."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
GPU_PAGE = ROOT / "docs/gpu.md"
API_SECONDS = 0.24e-3
"""CPU seconds of an api process for a score of one PNG: docs/benchmarks.md, "api, CPU ms a request", 32 connections."""
_GPU_ROWS = (1, 8, 64, 256, 1024, 4096)
"""The columns of the table of programs in docs/gpu.md."""


@dataclass(frozen=True)
class Costs:
    """Seconds. Of each kind of work, ``ticks`` maps two or more numbers of rows to the seconds of a tick."""

    api_before: float
    """An api process reads and decodes a request of one item."""
    api_after: float
    """It encodes and sends the answer."""
    api_item: float
    """Each further item of a request adds to both together."""
    device: float
    """The device process takes and answers a request, beside the tick."""
    ticks: Mapping[str, Mapping[float, float]]
    max_rows: int
    client: float = 0.0
    """The load generator sends a request and reads its answer, where it shares the machine."""
    api_tick: float = 0.0
    """What the answers of one tick, however many, cost an api process once, besides ``api_after`` for each."""
    client_tick: float = 0.0
    """What the answers of one tick cost the load generator once, besides ``client`` for each request."""
    device_wake: float = 0.0
    """What a tick takes longer in a device process that was idle: a thread wakes, caches are cold."""
    delays: Sequence[float] = ()
    """Equally likely: by how much a tick ends later or earlier than most, as the machine and its other work have it."""

    def tick(self, kind: str, rows: float) -> float:
        """Seconds of a tick of so many rows: on straight lines between measured sizes, and on the last one beyond."""
        table = self.ticks[kind]
        sizes = sorted(table)
        place = bisect_left(sizes, rows)
        if place == 0:
            return table[sizes[0]]
        low, high = (
            (sizes[-2:] if place == len(sizes) else sizes[place - 1 : place + 1]) if len(sizes) > 1 else (0, rows)
        )
        slope = (table[high] - table[low]) / (high - low)
        return table[low] + slope * (rows - low)

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")


def read(path: Path) -> Costs:
    """Costs that ``Costs.write`` wrote."""
    found = json.loads(path.read_text())
    found["delays"] = tuple(found["delays"])
    ticks = {
        kind: {float(rows): seconds for rows, seconds in table.items()} for kind, table in found.pop("ticks").items()
    }
    return Costs(**found, ticks=ticks)


def of_gpu(model: str, precision: str, page: Path = GPU_PAGE) -> Costs:
    """Costs on the card of a page of figures, with the api costs of docs/benchmarks.md. Raises ValueError."""
    text = page.read_text("utf-8")
    ticks: dict[str, dict[float, float]] = {}
    for kind, work in (("score", "score"), ("sample", "sample"), ("inpaint", "ascent")):
        found = re.search(rf"^\| {re.escape(model)} \| {precision} \| {work} \|(.*)\|$", text, re.M)
        if found is None:
            raise ValueError(f"{page.name} has no figures of {model} in {precision}, {work}")
        cells = [float(cell.replace(",", "")) for cell in found[1].split("|")]
        ticks[kind] = {
            rows: ms / 1e3 for rows, ms in zip(_GPU_ROWS, cells[1:], strict=False)
        }  # the first is not a graph
    return Costs(
        api_before=API_SECONDS * 2 / 3,
        api_after=API_SECONDS / 3,
        api_item=20e-6,
        device=30e-6,
        ticks=ticks,
        max_rows=2048,
    )
