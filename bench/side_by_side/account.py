"""Where the time of a single picture goes in Sluice: what bounds its requests a second on this machine."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from bench.serving import served
from bench.side_by_side import metrics, processes
from bench.side_by_side.contenders import sluice
from bench.side_by_side.in_process import pace
from bench.side_by_side.load import drive
from bench.side_by_side.model import PRECISIONS, Precision, Prepared
from bench.side_by_side.report import table
from flows import Flow

CONNECTIONS = (32, 128)
_HEAD = (
    "Sluice's time, nets in",
    "connections",
    "requests/s",
    "rows of a tick",
    "ms of a tick",
    "ms of such a batch in a bare loop",
    "requests/s of that loop",
    "event loop, CPU ms a request",
    "other threads, CPU ms a request",
)


def lines(model: Prepared, seconds: float) -> Iterator[str]:
    """A table: one line for each precision and number of connections."""
    yield from table(_HEAD, (line for precision in PRECISIONS for line in _lines(model, precision, seconds)))


def _lines(model: Prepared, precision: Precision, seconds: float) -> Iterator[tuple[str, ...]]:
    request, flow = sluice(model, precision).ask(model.digits[0]), model.flow(precision)
    with served(model.store, drain_delay="0", precision=precision) as (process, address):
        for connections in CONNECTIONS:
            drive(address, request, connections, 1)
            before = metrics.ticks(address, "score"), _cpu_ms(process)
            load = drive(address, request, connections, seconds)
            after = metrics.ticks(address, "score"), _cpu_ms(process)
            count = after[0].number - before[0].number
            rows = round((after[0].rows - before[0].rows) / count)
            loop, every = (late - early for early, late in zip(before[1], after[1], strict=True))
            bare = _bare(flow, torch.from_numpy(model.digits[:rows]), seconds / 2)
            yield (
                model.nets_in(precision),
                str(connections),
                f"{load.rate:,.0f}",
                f"{rows}",
                f"{1000 * (after[0].seconds - before[0].seconds) / count:.1f}",
                f"{1000 / bare:.1f}",
                f"{rows * bare:,.0f}",
                f"{loop / load.requests:.2f}",
                f"{(every - loop) / load.requests:.2f}",
            )


@torch.inference_mode()
def _bare(flow: Flow, items: Tensor, seconds: float) -> float:
    """How often a second the likelihoods of some items can be had in a loop without HTTP."""
    return pace(lambda: flow.log_prob(flow.to_continuous(items)).tolist(), seconds)


def _cpu_ms(process: int) -> tuple[float, float]:
    """Of a process's first thread, which runs the event loop, and of all its threads."""
    return 1000 * processes.cpu_seconds_of_thread(process, process), 1000 * processes.cpu_seconds(process)
