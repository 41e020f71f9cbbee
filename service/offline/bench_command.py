"""The command `sluice bench`."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from service.commands.style import (
    Documented,
    bar,
    failures_told,
    json_option,
    json_text,
    model_option,
    settings_with,
    store_option,
)
from service.device_option import device_option

if TYPE_CHECKING:
    from model_store import LoadedModel
    from service.media.npy import Array
    from service.offline.one_model import OneModel
    from service.protocol.messages import Submit
    from service.settings import Settings

_BATCHES = (1, 16, 256)
_STEPS = 20
"""The most steps of the inpainting that is timed."""
_DRAWN = 16
_LEAST = 3
"""Requests of one kind, however long each takes."""


class _Figure(NamedTuple):
    """Times of one kind of work."""

    work: str
    items: int
    """Items of a request; of an inpainting its steps."""
    requests: int
    seconds: float
    """Median time of a request."""

    @property
    def rate(self) -> float:
        """Items, or steps, a second."""
        return self.items / self.seconds


@click.command(
    cls=Documented,
    examples=("sluice bench --model moons", "sluice bench --model mnist-nice --seconds 5 --json"),
)
@model_option
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, 600),
    default=2.0,
    show_default=True,
    help="Time for each kind of work, after one request that is not counted.",
)
@device_option
@store_option
@json_option
def bench(model: str | None, seconds: float, device: str | None, store: Path | str | None, as_json: bool) -> None:
    """Measure how fast a model computes on this machine, without HTTP.

    One request after another: scores of 1, 16 and 256 items, 16 samples, and an inpainting of one item whose second
    half is hidden. Medians; other programs that compute meanwhile slow them.
    """
    from service.offline.one_model import load_model

    settings = settings_with(device=device)
    with failures_told():
        loaded = load_model(model, store, settings)
        figures = asyncio.run(_measure(loaded, settings, seconds))
    head = {"model": loaded.reference, "device": str(loaded.flow.device), "precision": loaded.precision}
    if as_json:
        rows = [{**figure._asdict(), "rate": figure.rate} for figure in figures]
        click.echo(json_text({**head, "figures": rows}))
        return
    click.echo(f"{head['model']} on {head['device']} in {head['precision']}")
    click.echo(f"{'work':24}{'requests':>9}{'ms a request':>14}{'a second':>14}")
    for figure in figures:
        unit = "steps" if figure.work.startswith("inpaint") else "items"
        rate = f"{figure.rate:,.0f} {unit}"
        click.echo(f"{figure.work:24}{figure.requests:>9}{1000 * figure.seconds:>14,.2f}{rate:>14}")


async def _measure(loaded: LoadedModel, settings: Settings, seconds: float) -> list[_Figure]:
    from service.offline.one_model import serving_one
    from service.protocol.client import Found

    async with serving_one(loaded, settings) as one:
        drawn: Found = await one.device.ask(_sample(one, max(_BATCHES)))
        items = drawn.arrays["items"]
        works = [(f"score {rows}", rows, _score(one, items[:rows])) for rows in _BATCHES]
        works.append((f"sample {_DRAWN}", _DRAWN, _sample(one, _DRAWN)))
        works.append(("inpaint", 0, _inpaint(one, items[:1])))  # it tells how many steps it took
        figures = []
        with bar(len(works), "measuring", "kinds") as move:
            for place, (name, count, make) in enumerate(works):
                times, answer = await _times(one, make, seconds)
                done = count or int(answer.arrays["steps"].max())
                figures.append(_Figure(name, done, len(times), statistics.median(times)))
                move(place + 1)
        return figures


async def _times(one: OneModel, make: Callable[[int], Submit], seconds: float) -> tuple[list[float], Any]:
    """Seconds of each request and the last answer. The first request, which warms up, is left out."""
    answer = await one.device.ask(make)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < _LEAST or time.perf_counter() < end:
        began = time.perf_counter()
        answer = await one.device.ask(make)
        times.append(time.perf_counter() - began)
    return times, answer


def _score(one: OneModel, items: Array) -> Callable[[int], Submit]:
    from service.offline.one_model import far_deadline
    from service.protocol.messages import Submit

    reference = one.info.reference
    return lambda number: Submit(
        id=number, model=reference, kind="score", deadline=far_deadline(), arrays={"items": items}
    )


def _sample(one: OneModel, count: int) -> Callable[[int], Submit]:
    from service.offline.one_model import far_deadline
    from service.protocol.messages import Submit

    reference = one.info.reference
    return lambda number: Submit(id=number, model=reference, kind="sample", deadline=far_deadline(), n=count, seed=1)


def _inpaint(one: OneModel, item: Array) -> Callable[[int], Submit]:
    import numpy as np

    from service.offline.one_model import far_deadline
    from service.protocol.messages import Options, Submit

    hidden = np.zeros(item.size, dtype=bool)
    hidden[item.size // 2 :] = True
    arrays = {"items": item, "hidden": hidden.reshape(item.shape)}
    options = Options(steps=_STEPS)
    reference = one.info.reference
    return lambda number: Submit(
        id=number, model=reference, kind="inpaint", deadline=far_deadline(), arrays=arrays, seed=1, options=options
    )
