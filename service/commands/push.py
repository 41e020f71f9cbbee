"""The command `sluice push`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from service.commands.style import (
    Documented,
    failures_told,
    json_option,
    json_text,
    settings_with,
    store_option,
    watched,
)

if TYPE_CHECKING:
    from model_store.transfer import Layout


@click.command(
    cls=Documented,
    examples=(
        "sluice push mnist mnist.zip",
        "sluice push moons@6 a-repository --layout huggingface",
    ),
    exit_codes={1: "a file of the model is damaged, or there is something at the target already"},
)
@click.argument("reference")
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--layout",
    type=click.Choice(["sluice", "huggingface"]),
    default="sluice",
    show_default=True,
    help="huggingface: a card with front matter, config.json and model.safetensors, as its hub shows them.",
)
@store_option
@json_option
def push(reference: str, target: Path, layout: Layout, store: Path | str | None, as_json: bool) -> None:
    """Write the model REFERENCE to TARGET: a new directory, or a zip archive where TARGET ends in .zip."""
    from model_store import send
    from service.opened_store import store_of

    with failures_told(), watched("writing") as watch:
        shelf = store_of(settings_with(), store)
        name, version = shelf.resolve(reference)
        files = send(shelf, name, version, target, layout, watch)
    if as_json:
        click.echo(json_text({"reference": f"{name}@{version}", "target": str(target), "files": files}))
    else:
        click.echo(f"{name}@{version}: {len(files)} files to {target}")
