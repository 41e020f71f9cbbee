"""The command `sluice sample`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

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
    write_out,
)
from service.device_option import device_option
from service.offline.output_option import (
    Folder,
    Output,
    output_option,
    refuse_with_folder,
    refuse_without_folder,
    tell_run,
)
from service.offline.printable import printable
from service.protocol.defaults import DRAWN_SEED_BITS, LARGEST_SEED, SAMPLE_N, TEMPERATURE

if TYPE_CHECKING:
    from model_store import LoadedModel
    from service.media.npy import Array
    from service.offline.forms import Wanted
    from service.protocol.model_info import ModelInfo
    from service.settings import Settings

_MOST = 100_000
"""Items of one file."""
_FORMS = ("png", "npy", "csv", "json")
_LOOK = 0.1
"""Seconds between two looks at how far the device has come."""


@click.command(
    cls=Documented,
    examples=(
        "sluice sample --model mnist-nice -n 64 -o grid.png",
        "sluice sample --model moons -n 1000 --seed 7 -o points.npy",
        "sluice sample --model moons -n 5 --json",
        "sluice sample --model moons -n 5000000 --seed 7 -o points/",
    ),
)
@model_option
@click.option("-n", "count", type=click.IntRange(1), default=SAMPLE_N, show_default=True, help="How many items.")
@click.option("--seed", type=click.IntRange(0, LARGEST_SEED), help="The same seed, the same items.  [default: drawn]")
@click.option(
    "--temperature",
    type=click.FloatRange(0, 10),
    default=TEMPERATURE,
    show_default=True,
    help="Below 1, samples crowd towards the mode.",
)
@output_option("PNG, .npy, .json, or of a table .csv.")
@click.option(
    "--format", "form", type=click.Choice(_FORMS), help="[default: by the output's ending, else as suits the model]"
)
@device_option
@store_option
@json_option
def sample(
    model: str | None,
    count: int,
    seed: int | None,
    temperature: float,
    output: Output,
    part_rows: int | None,
    devices: str | None,
    engine: str | None,
    workers: int | None,
    form: str | None,
    device: str | None,
    store: Path | str | None,
    as_json: bool,
) -> None:
    """Draw new items from a model: a PNG grid of images, a scatter of points of the plane, numbers, or rows of a table.

    With --json the items go to the standard output as numbers, with model and seed, unless --output names a file. The
    first 16 of -n 64 are those of -n 16 at the same seed, and those of the service. A folder as --output takes any -n.
    """
    import secrets

    from service.media.documents import to_json
    from service.media.representations import encoded, listed
    from service.media.types import JSON
    from service.offline.forms import Wanted
    from service.offline.one_model import load_model

    if isinstance(output, Folder):
        refuse_with_folder(format=form)
        settings = settings_with(device=device, devices=devices)
        with failures_told():
            from service.offline.bulk.run import Wish, engine_of, run_bulk

            computing = engine_of(engine, workers, devices)
            wanted = Wish("sample", (), count, seed, part_rows, options={"temperature": temperature}, engine=computing)
            found = run_bulk(wanted, output.path, model, store, settings)
        tell_run(found, output, as_json)
        return
    refuse_without_folder(part_rows=part_rows, devices=devices, engine=engine, workers=workers)
    if count > _MOST:
        raise click.UsageError(f"-n {count} is too many for one file: at most {_MOST:,}, or any number into a folder")
    settings = settings_with(device=device)
    wish = _Wish(count, secrets.randbits(DRAWN_SEED_BITS) if seed is None else seed, temperature)
    with failures_told():
        loaded = load_model(model, store, settings)
        info, items, chosen = asyncio.run(_draw(loaded, settings, wish, Wanted(output, form)))
        told = {"model": info.reference, "seed": wish.seed, "n": count}
        if as_json and output is None:
            click.echo(json_text({**told, "items": listed(items, info)}))
            return
        if chosen == JSON:
            data = to_json({"model": info.reference, "seed": wish.seed, "items": listed(items, info)})
        else:
            data = encoded(items, info, chosen)
        write_out(output, data)
    if as_json:
        click.echo(json_text({**told, "output": printable(output)}))
    else:
        click.echo(f"{info.reference}: {count:,} items, seed {wish.seed}", err=True)


class _Wish(NamedTuple):
    """What the options ask for."""

    n: int
    seed: int
    temperature: float


async def _draw(loaded: LoadedModel, settings: Settings, wish: _Wish, wanted: Wanted) -> tuple[ModelInfo, Array, str]:
    """The items, and the media type to write them in: a form that they do not have is refused before they are drawn."""
    from service.media.representations import forms_of
    from service.offline.one_model import far_deadline, serving_one
    from service.protocol.client import Found
    from service.protocol.messages import Options, Submit

    async with serving_one(loaded, settings) as one:
        chosen = wanted.form_of(one.info, forms_of(one.info))
        asked = asyncio.ensure_future(
            one.device.ask(
                lambda number: Submit(
                    id=number,
                    model=one.info.reference,
                    kind="sample",
                    deadline=far_deadline(),
                    n=wish.n,
                    seed=wish.seed,
                    options=Options(temperature=wish.temperature),
                )
            )
        )
        with bar(wish.n, "sampling", "items") as move:
            while not (await asyncio.wait([asked], timeout=_LOOK))[0]:
                move(max(wish.n - one.waiting, 0) if one.waiting else 0)
            move(wish.n)
        found: Found = await asked
        return one.info, found.arrays["items"], chosen
