"""The command `sluice inpaint`."""

from __future__ import annotations

import asyncio
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
    write_out,
)
from service.device_option import device_option
from service.offline.input_argument import Input, paths_of
from service.offline.output_option import (
    Folder,
    Output,
    output_option,
    refuse_with_folder,
    refuse_without_folder,
    tell_run,
)
from service.offline.printable import printable
from service.protocol import defaults

if TYPE_CHECKING:
    from model_store import LoadedModel
    from service.media.items import Body, Part
    from service.offline.forms import Wanted
    from service.protocol.messages import Completed, Options
    from service.protocol.model_info import ModelInfo
    from service.settings import Settings

_FORMS = ("png", "npy", "csv", "json", "webp", "gif")
_MOST = 1024


@click.command(
    cls=Documented,
    examples=(
        "sluice inpaint digit.png --mask mask.png --model mnist-nice -o whole.png",
        "sluice inpaint digit.png --mask mask.png -n 9 --steps 50 --seed 1 -o nine.png",
        "sluice inpaint row-with-nan.npy --model moons --json",
        "sluice inpaint pictures/ --mask mask.png --model mnist-nice --steps 50 --seed 1 -o whole/",
    ),
)
@click.argument("file", type=Input())
@click.option(
    "--mask",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="White, or not 0 in a .npy file, is filled in.",
)
@model_option
@click.option(
    "-n", "count", type=click.IntRange(1, _MOST), default=defaults.INPAINT_N, show_default=True, help="Completions."
)
@click.option(
    "--steps",
    type=click.IntRange(1, 100_000),
    default=defaults.INPAINT_STEPS,
    show_default=True,
    help="The most steps; fewer when it converges.",
)
@click.option(
    "--method", type=click.Choice(defaults.INPAINT_METHODS), default=defaults.INPAINT_METHOD, show_default=True
)
@click.option(
    "--step-size",
    type=click.FloatRange(0, 100),
    default=defaults.STEP_SIZE,
    show_default=True,
    help="Multiplies the method's own step.",
)
@click.option(
    "--temperature",
    type=click.FloatRange(0, 10),
    default=defaults.TEMPERATURE,
    show_default=True,
    help="Multiplies the method's own noise.",
)
@click.option(
    "--seed", type=click.IntRange(0, defaults.LARGEST_SEED), help="The same seed, the same answer.  [default: drawn]"
)
@click.option("--fit", is_flag=True, help="Convert a picture of another size or mode instead of refusing it.")
@output_option("PNG, .npy, .json, of a table .csv, or an animation of the search (.webp, .gif).")
@click.option(
    "--format", "form", type=click.Choice(_FORMS), help="[default: by the output's ending, else as suits the model]"
)
@device_option
@store_option
@json_option
def inpaint(
    file: Path | str,
    mask: Path | None,
    model: str | None,
    count: int,
    steps: int,
    method: str,
    step_size: float,
    temperature: float,
    seed: int | None,
    fit: bool,
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
    """Fill in what a mask hides in FILE: a PNG, a JPEG, one item in a .npy file, or one row of a table in a .csv file.

    Without --mask, the transparent part of a picture, NaN in a .npy file or an empty cell is filled in. What was known
    comes back exactly; several completions are one picture, the likeliest first. With --json the completions go to the
    standard output as the service would answer them, unless --output names a file. With a folder as --output, FILE
    holds any number of items: a folder of pictures, .npy, .npz, or a table whose missing cells are filled in; it may be
    a URL.
    """
    import secrets

    from service.offline.forms import Wanted
    from service.offline.one_model import load_model
    from service.protocol.messages import Options

    if isinstance(output, Folder):
        refuse_with_folder(format=form)
        settings = settings_with(device=device, devices=devices)
        chosen = {"n": count, "steps": steps, "method": method, "step_size": step_size, "temperature": temperature}
        with failures_told():
            from service.offline.bulk.run import Wish, engine_of, run_bulk

            computing = engine_of(engine, workers, devices)
            wanted = Wish("inpaint", (file,), 0, seed, part_rows, mask, {**chosen, "fit": fit}, engine=computing)
            found = run_bulk(wanted, output.path, model, store, settings)
        tell_run(found, output, as_json)
        return
    refuse_without_folder(part_rows=part_rows, devices=devices, engine=engine, workers=workers)
    (path,) = paths_of([file])
    if path.is_dir():
        raise click.UsageError(
            f"{file} is a folder: several items are filled in into a folder as --output, such as out/"
        )
    settings = settings_with(device=device)
    drawn = secrets.randbits(defaults.DRAWN_SEED_BITS) if seed is None else seed
    with failures_told():
        if output is not None:
            from service.offline.overwriting import refuse_file_among_inputs

            refuse_file_among_inputs("--output", output, [path] if mask is None else [path, mask])
        loaded = load_model(model, store, settings)
        body = _body(path, mask)
        options = Options(temperature, method, steps, step_size)
        work = _Work(body, count, drawn, options, fit, Wanted(output, form))
        _tell(asyncio.run(_complete(loaded, settings, work)), output, as_json)


def _body(file: Path, mask: Path | None) -> Body:
    """What a request for the same would bring."""
    from service.media.items import Body
    from service.media.types import CSV, MULTIPART, NPY

    image = _part("image", file)
    if mask is None:
        return Body(image.type if image.type in (NPY, CSV) else MULTIPART, [image])
    return Body(MULTIPART, [image, _part("mask", mask)])


def _part(name: str, path: Path) -> Part:
    from service.media.items import Part
    from service.media.types import CSV, JPEG, NPY, PNG
    from service.offline.unusable import UnusableFile

    endings = {".png": PNG, ".jpg": JPEG, ".jpeg": JPEG, ".jfif": JPEG, ".npy": NPY, ".csv": CSV}
    kind = endings.get(path.suffix.lower())
    if kind is None:
        raise UnusableFile(f"{path}: files end in {', '.join(endings)}")
    try:
        return Part(name, kind, path.read_bytes())
    except OSError as error:
        raise UnusableFile(f"{path}: cannot be read: {error.strerror}") from error


class _Work(NamedTuple):
    """What is to be filled in, and how."""

    body: Body
    n: int
    seed: int
    options: Options
    fit: bool
    wanted: Wanted


class _Filled(NamedTuple):
    """What came of it, and the media type to write it in."""

    info: ModelInfo
    completed: Completed
    notes: tuple[str, ...]
    form: str


async def _complete(loaded: LoadedModel, settings: Settings, work: _Work) -> _Filled:
    """Fill in. A form that the completions do not have is refused before."""
    import numpy as np

    from service.media.any_pictures import preparation_of
    from service.media.items import ItemSpec, inpainting_of
    from service.media.pictures_to_fill import picture_to_fill
    from service.media.representations import completion_forms
    from service.offline.one_model import far_deadline, serving_one
    from service.protocol.messages import Submit

    async with serving_one(loaded, settings) as one:
        form = work.wanted.form_of(one.info, completion_forms(one.info))
        preparation = preparation_of(one.info, judged=False)
        notes: tuple[str, ...] = ()
        if preparation is None:
            item, hidden, notes = inpainting_of(work.body, ItemSpec.of(one.info), work.fit)
        else:
            item, hidden, _ = picture_to_fill(work.body, preparation, work.fit, work.n)
        arrays = {"items": item, "hidden": np.ascontiguousarray(hidden)}
        stream = one.device.stream(
            lambda number: Submit(
                id=number,
                model=one.info.reference,
                kind="inpaint",
                deadline=far_deadline(),
                arrays=arrays,
                n=work.n,
                seed=work.seed,
                options=work.options,
                watch=True,
            )
        )
        with bar(work.options.steps, "inpainting", "steps") as move:
            async for snapshot in stream.snapshots(_PATIENCE):
                if snapshot is not None:
                    move(snapshot.step)
        completed: Completed = await stream.result()
        return _Filled(one.info, completed, notes, form)


_PATIENCE = 60.0
"""Seconds without news after which the wait goes on all the same."""


def _tell(filled: _Filled, output: Path | None, as_json: bool) -> None:
    from service.media.completions import completions_of
    from service.media.representations import encoded_completions

    document: dict[str, Any] = completions_of(filled.completed, filled.info.table, filled.notes)
    if as_json and output is None:
        click.echo(json_text(document))
        return
    write_out(output, encoded_completions(filled.completed, filled.info, filled.form, filled.notes))
    if as_json:
        items = [{key: value for key, value in item.items() if key != "pixels"} for item in document["items"]]
        click.echo(json_text({**document, "items": items, "output": printable(output)}))
        return
    for note in filled.notes:
        click.echo(note, err=True)
    best = document["items"][0]
    click.echo(
        f"{filled.info.reference}: {len(document['items'])} completions, seed {document['seed']}; the best has "
        f"{best['log_likelihood']:.6g} nats after {best['steps']} steps",
        err=True,
    )
