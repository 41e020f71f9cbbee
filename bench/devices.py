"""Throughput of several device processes beside one.

    .venv/bin/python -m bench.devices [--devices cpu,cpu] [--rounds 3] [--seconds 4] [--into FILE]

Starts one service after another, in alternation, over the paper's NICE of 19.2 million parameters: one device process
with one CPU thread, one with as many threads as it may use, and one process for each of --devices. Each is asked for
scores and samples in batches by eight connections. Prints Markdown: items a second and, pair by pair, how many times
those of one device process. Wants wrk, and a quiet machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench import children, page
from bench.serving import PATIENCE, get, served
from bench.side_by_side import payloads, report
from bench.side_by_side.load import Request, drive
from bench.side_by_side.metrics import value
from bench.side_by_side.published_model import PublishedModel, prepare

TARGET = 1.5
"""Times the throughput of one device process with one thread, for two processes on two CPUs or two GPUs."""
_BATCH = 256
_CONNECTIONS = 8


class Setup(NamedTuple):
    """One way to start the service."""

    name: str
    settings: Mapping[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--devices", default="cpu,cpu", help="as in SLUICE_DEVICES; the first alone is compared with all"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each service is started and measured")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one measurement")
    parser.add_argument("--into", type=Path, help="a page to write the figures into, between its marks")
    options = parser.parse_args()
    children.end_on_signals()
    printed = []
    with tempfile.TemporaryDirectory() as folder:
        for line in measured(prepare(Path(folder)), options.devices, options.rounds, options.seconds):
            print(line, flush=True)
            printed.append(line)
    if options.into:
        page.write_into(options.into, "make bench-devices", "\n".join(printed))


def setups(devices: str) -> list[Setup]:
    """One device process with one thread, one with its own choice of threads, and all of the devices."""
    first, *others = devices.split(",")
    if not others:
        raise SystemExit("--devices must list at least two")
    return [
        Setup("one device process, one thread", {"devices": first, "threads": "1"}),
        Setup("one device process", {"devices": first}),
        Setup(f"{len(others) + 1} device processes", {"devices": devices}),
    ]


def works(model: PublishedModel) -> dict[str, Request]:
    """What is asked, ``_BATCH`` items at once."""
    return {
        f"`/score` of {_BATCH} images as npy": payloads.batch(model.digits[:_BATCH]),
        f"`/sample` of {_BATCH} as npy": Request(f"/sample?n={_BATCH}&seed=1", headers={"Accept": payloads.NPY}),
    }


def measured(model: PublishedModel, devices: str, rounds: int, seconds: float) -> Iterator[str]:
    """The machine, a table of items a second, and the ratios."""
    yield report.machine()
    yield ""
    compared = setups(devices)
    rates: dict[tuple[str, str], list[float]] = {}
    for number in range(rounds):
        for setup in compared:
            print(f"round {number + 1} of {rounds}: {setup.name}", file=sys.stderr, flush=True)
            for work, rate in _rates(model, setup, seconds):
                rates.setdefault((work, setup.name), []).append(rate)
    yield from report.table(
        ("items a second, median of the rounds", *(setup.name for setup in compared)),
        ((work, *(f"{median(rates[work, setup.name]):,.0f}" for setup in compared)) for work in works(model)),
    )
    yield ""
    alone, own_choice, several = (setup.name for setup in compared)
    for work in works(model):
        ratio = paired(rates[work, several], rates[work, alone])
        beside = paired(rates[work, several], rates[work, own_choice])
        yield (
            f"- {work}: {ratio:.2f} times one process with one thread (at least {TARGET} is wanted of two), "
            f"{beside:.2f} times one process with its own choice of threads."
        )


def paired(several: Sequence[float], alone: Sequence[float]) -> float:
    """The median of the rounds' ratios: each pair was measured one after the other."""
    return median(many / one for many, one in zip(several, alone, strict=True))


def _rates(model: PublishedModel, setup: Setup, seconds: float) -> Iterator[tuple[str, float]]:
    with served(model.store, groups=(), drain_delay="0", **setup.settings) as (_, address):
        _wait_for(address, len(setup.settings["devices"].split(",")))
        for work, request in works(model).items():
            drive(address, request, _CONNECTIONS, 1)  # kernels, and the threads that it settles on
            found = drive(address, request, _CONNECTIONS, seconds)
            if found.failures:
                raise SystemExit(f"{setup.name}, {work}: {found.failures} requests failed")
            yield work, _BATCH * found.rate


def _wait_for(address: str, devices: int) -> None:
    """Return when every device serves the model: the service is ready as soon as one does."""
    give_up = time.monotonic() + PATIENCE
    while value(get(address, "/metrics")[1].decode(), "sluice_models_loaded") < devices:
        if time.monotonic() > give_up:
            raise SystemExit(f"not all of {devices} devices loaded the model within {PATIENCE:.0f} s")
        time.sleep(0.05)


if __name__ == "__main__":
    main()
