"""What Ray Serve's proxy costs: requests a second and how long they take, beside `sluice serve`.

    python -m bench.ray_serve

One replica behind Ray's proxy, and `sluice serve` with one api process, both with one thread that computes, over the
shipped model moons. Each round asks both for the same with the same connections, one after another in turn; a ratio is
that of one round, and what is printed is the median over the rounds with the least and the greatest. Wants Ray
(`pip install 'sluice[ray]'`), wrk, and a quiet machine.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
import numpy as np

from bench import page, serving
from bench.side_by_side import payloads, report
from bench.side_by_side.load import Load, Request, drive
from model_store import default_root
from service.settings import Settings

_COMMAND = "python -m bench.ray_serve"
_MODEL = "moons"
BESIDE, ON_RAY = "sluice serve", "one replica on Ray"

Measured = dict[str, dict[str, list[Load]]]
"""By work, then by server: a measurement for each round."""


def main() -> None:
    """The command line."""
    _command()


@click.command(help=(__doc__ or "").partition("\n")[0])
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--seconds", type=click.IntRange(1), default=4, show_default=True, help="Length of one measurement.")
@click.option("--connections", type=click.IntRange(1), default=8, show_default=True)
@click.option("--into", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A page to renew.")
def _command(rounds: int, seconds: int, connections: int, into: Path | None) -> None:
    machine = report.machine()  # its load now, not that of the measurement
    alike = serving.served(default_root(), api_processes="1", default_model=_MODEL, device="cpu", threads="1")
    with (
        alike as (_, address),
        _replica(Settings(default_model=_MODEL, device="cpu", threads=1)) as proxied,
    ):
        measured = measure({BESIDE: address, ON_RAY: proxied}, rounds, seconds, connections)
    told = "\n".join([machine, "", *table(measured, connections)])
    print(told)
    if into is not None:
        page.write_into(into, _COMMAND, told)


def works() -> dict[str, Request]:
    """What is asked."""
    points = np.random.default_rng(0).standard_normal((1000, 2)).astype(np.float32)
    return {
        "`/score` of one row": _batch(points[:1]),
        "`/score` of 1,000 rows as npy": _batch(points),
        "`/sample` of 64 as npy": Request("/sample?n=64&seed=1", headers={"Accept": payloads.NPY}),
    }


def measure(addresses: Mapping[str, str], rounds: int, seconds: float, connections: int) -> Measured:
    """Each work at each server, once in each round, after a round that is not counted."""
    found: Measured = {work: {name: [] for name in addresses} for work in works()}
    for turn in range(rounds + 1):
        for work, request in works().items():
            order = list(addresses) if turn % 2 else list(addresses)[::-1]
            for name in order:
                load = drive(addresses[name], request, connections, seconds if turn else 1)
                if load.failures:
                    raise SystemExit(f"{name}, {work}: {load.failures} requests failed")
                if turn:
                    found[work][name].append(load)
    return found


def table(measured: Measured, connections: int) -> Iterator[str]:
    """Markdown: rates, times, and ratios of Ray's to the other."""
    yield f"| {connections} connections | {BESIDE} | {ON_RAY} | requests a second, ratio | median time, ratio |"
    yield "|---|---:|---:|---:|---:|"
    for work, loads in measured.items():
        cells = [
            f"{statistics.median(load.rate for load in loads[name]):,.0f} / s, "
            f"{statistics.median(load.p50_ms for load in loads[name]):.1f} ms"
            for name in (BESIDE, ON_RAY)
        ]
        pairs = list(zip(loads[ON_RAY], loads[BESIDE], strict=True))
        rates = _spread([ray.rate / other.rate for ray, other in pairs])
        times = _spread([ray.p50_ms / other.p50_ms for ray, other in pairs])
        yield f"| {work} | {' | '.join(cells)} | {rates} | {times} |"


def _spread(ratios: Sequence[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def _batch(points: np.ndarray) -> Request:
    return Request(f"/score?model={_MODEL}", payloads.npy(points), {"Content-Type": payloads.NPY})


@contextmanager
def _replica(settings: Settings) -> Iterator[str]:
    """The address of Ray's proxy in front of one replica, on a cluster that ends with the context."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    from ray import serve

    from service.processes import importing
    from service.ray_serve.application import deployment_of

    os.environ.update({"PYTHONPATH": importing(os.environ)["PYTHONPATH"]})
    port = serving.free_port()
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    try:
        ray.init(address="local", include_dashboard=False, log_to_driver=False, _temp_dir=folder)
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        serve.run(deployment_of(settings).bind(settings), name="sluice", route_prefix="/")
        yield f"http://127.0.0.1:{port}"
    finally:
        serve.shutdown()
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
