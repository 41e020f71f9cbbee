"""The commands of the simulation: `python -m bench.scaling plan | measure | check`."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import click

from bench import page
from bench.scaling import costs, plan
from bench.side_by_side.report import table

_PROMISES = (0.05, 0.1, 0.25)
_INTO = click.option(
    "--into", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A page whose figures to renew."
)


@click.group()
def main() -> None:
    """How many devices a load needs, from measured costs."""


@main.command(name="plan")
@click.option("--requests", type=click.FloatRange(1), default=1_000_000, show_default=True, help="A second.")
@click.option("--model", default="mnist", show_default=True, help="A model in the figures of docs/gpu.md.")
@click.option("--precision", default="bfloat16", show_default=True)
@click.option("--api", type=click.IntRange(1), default=16, show_default=True, help="Api processes beside a device.")
@click.option("--price", type=float, default=3.0, show_default=True, help="Of a device and its CPUs, an hour.")
@_INTO
def plan_command(requests: float, model: str, precision: str, api: int, price: float, into: Path | None) -> None:
    """Devices for a load, what breaks first, and what a lost zone does, on the GPU of docs/gpu.md."""
    try:
        measured = costs.of_gpu(model, precision)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    lines = list(_plan(measured, requests, api, price))
    click.echo("\n".join(lines))
    if into is not None:
        page.write_into(into, "python -m bench.scaling plan", "\n".join(lines))


def _plan(measured: costs.Costs, requests: float, api: int, price: float) -> Iterable[str]:
    devices = list(plan.devices_for(measured, requests, _PROMISES, api, price))
    yield f"### Devices for {requests:,.0f} requests/s, {api} api processes beside each"
    yield ""
    yield from table(
        ("what is asked", "p99", "requests/s of a device", "devices", "api processes", "an hour", "full first"), devices
    )
    average = next(int(row[3].replace(",", "")) for row in devices if row[3] and row[1] == "100 ms")
    yield ""
    yield f"### A day whose average hour needs {average:,} devices"
    yield ""
    yield from table(("devices", "device-hours a day", "at most at once"), plan.devices_by_hour(average))
    yield ""
    yield "### Api processes beside one device, scores of one item, p99 of 100 ms"
    yield ""
    rows = plan.api_processes(measured, plan.Mix(), 0.1, (1, 2, 4, 6, 8, 16))
    yield from table(("api processes", "requests/s", "device busy", "api processes busy"), rows)
    yield ""
    yield "### One of three zones is lost, and half a second of work may wait"
    yield ""
    rows = plan.lost_zone(measured, plan.MIXES[1], 0.1, api)
    yield from table(("load before, of what a device can do", "after", "p99 of the second after", "refused"), rows)


@main.command()
@click.option("--model", default="mnist-nice", show_default=True, help="One of 28x28 pictures that ships.")
@click.option("--seconds", type=click.FloatRange(1), default=20.0, show_default=True)
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), default=Path("build/scaling.json"))
def measure(model: str, seconds: float, output: Path) -> None:
    """Measure the costs of a request and of ticks on this machine."""
    from bench.scaling.measure import measure as measured

    found = measured(model, seconds)
    found.write(output)
    click.echo(f"{output}: {replace(found, delays=())}")


@main.command()
@click.option("--model", default="mnist-nice", show_default=True, help="The model that was measured.")
@click.option("--seconds", type=click.FloatRange(1), default=30.0, show_default=True, help="Of each of five loads.")
@click.option("--costs", "path", type=click.Path(exists=True, path_type=Path), default=Path("build/scaling.json"))
@click.option("--within", type=click.FloatRange(0), help="End with exit code 1 where the simulation is off by more.")
@_INTO
def check(model: str, seconds: float, path: Path, within: float | None, into: Path | None) -> None:
    """Compare the simulation with one and two replicas on this machine at five loads. Wants a quiet machine."""
    from bench.scaling import measure as measuring

    measured = costs.read(path)
    found = [each for replicas in (1, 2) for each in measuring.check(model, measured, seconds, replicas)]
    figures = f"{time.strftime('%Y-%m-%d')}, {model}.\n\n{measuring.table(found)}"
    click.echo(figures)
    if into is not None:
        page.write_into(into, "python -m bench.scaling check", figures)
    if within is not None and max(each.worst for each in found) > within:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
