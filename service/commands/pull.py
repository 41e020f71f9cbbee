"""The command `sluice pull`."""

from __future__ import annotations

from pathlib import Path

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


@click.command(
    cls=Documented,
    examples=(
        "sluice pull mnist.zip",
        "sluice pull a-repository --name digits --store my-store",
    ),
    exit_codes={1: "the model is refused, with the reason; the store is as it was"},
)
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("--name", help="Name to publish under, instead of the model's own.")
@store_option
@json_option
def pull(source: Path, name: str | None, store: Path | str | None, as_json: bool) -> None:
    """Take the model in SOURCE into the store as the next version of its name.

    SOURCE is a directory or a zip archive that `sluice push` wrote, in either layout. It may come from anybody: sizes,
    hashes, tensors, the round trip and the golden log-likelihoods are checked first, links are refused, and nothing
    in it is executed.
    """
    from model_store import receive
    from service.opened_store import store_of

    with failures_told(), watched("reading and checking") as watch:
        published = receive(store_of(settings_with(), store), source, name, watch=watch)
    if as_json:
        click.echo(json_text({"name": published.name, "version": published.version, "path": published.place}))
    else:
        click.echo(f"{published.name}@{published.version} at {published.place}")
        if published.told_of_default:
            click.echo(published.told_of_default, err=True)
