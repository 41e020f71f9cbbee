"""Where the time of a single picture goes in Sluice: what limits its requests per second on this machine."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from bench.serving import served
from bench.side_by_side import metrics, processes
from bench.side_by_side.contenders import score_request
from bench.side_by_side.in_process import pace
from bench.side_by_side.load import drive
from bench.side_by_side.published_model import PRECISIONS, Precision, PublishedModel
from bench.side_by_side.report import table
from flows import Flow

CONNECTIONS = (32, 128)
_ROLES: tuple[processes.Role, ...] = ("api", "device", "supervisor")
_HEAD = (
    "Sluice's time, nets in",
    "connections",
    "requests/s",
    "rows of a tick",
    "ms of a tick",
    "ms of such a batch in a bare loop",
    "requests/s of that loop",
    *(f"{role}, CPU ms a request" for role in _ROLES),
)


def lines(model: PublishedModel, seconds: float) -> Iterator[str]:
    """A table with one line for each precision and number of connections."""
    yield from table(_HEAD, (line for precision in PRECISIONS for line in _lines(model, precision, seconds)))


def _lines(model: PublishedModel, precision: Precision, seconds: float) -> Iterator[tuple[str, ...]]:
    request, flow = score_request(model.digits[0]), model.flow(precision)
    with served(model.store, drain_delay="0", precision=precision) as (root, address):
        for connections in CONNECTIONS:
            drive(address, request, connections, 1)
            members = processes.by_role(root)
            before = metrics.ticks(address, "score"), _cpu_seconds(members)
            load = drive(address, request, connections, seconds)
            after = metrics.ticks(address, "score"), _cpu_seconds(members)
            count = max(after[0].total - before[0].total, 1)
            requests = max(load.requests, 1)
            rows = round((after[0].rows - before[0].rows) / count)
            taken = [late - early for early, late in zip(before[1], after[1], strict=True)]
            bare = _bare(flow, torch.from_numpy(model.digits[: max(rows, 1)]), seconds / 2)
            yield (
                model.nets_in(precision),
                str(connections),
                f"{load.rate:,.0f}",
                f"{rows}",
                f"{1000 * (after[0].seconds - before[0].seconds) / count:.1f}",
                f"{1000 / bare:.1f}",
                f"{rows * bare:,.0f}",
                *(f"{1000 * each / requests:.2f}" for each in taken),
            )


@torch.inference_mode()
def _bare(flow: Flow, items: Tensor, seconds: float) -> float:
    """Batches per second whose likelihoods a loop without HTTP computes."""
    return pace(lambda: flow.log_prob(flow.to_continuous(items)).tolist(), seconds)


def _cpu_seconds(members: dict[processes.Role, list[int]]) -> list[float]:
    """CPU time so far of the processes of each role, in the order of the table."""
    return [processes.cpu_seconds(members[role]) for role in _ROLES]
