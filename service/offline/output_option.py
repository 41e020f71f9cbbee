"""The option --output of commands that write a file, or a folder of parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from service.commands.style import json_text
from service.device_option import devices_option
from service.offline.printable import printable

F = TypeVar("F", bound=Callable[..., Any])


class Folder(NamedTuple):
    """A folder that gets Parquet, part by part."""

    path: Path | str
    """A path; or a URL of an object store, as a text."""


Output = Path | Folder | None


class _OutputType(click.Path):
    """A file; or a folder, where the name ends in a slash or there is one, or it is a URL."""

    name = "path"

    def __init__(self) -> None:
        super().__init__(path_type=str)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from service.settings import location

        found = location(value)
        if isinstance(found, str):
            return Folder(found)
        text = str(super().convert(value, param, ctx))
        return Folder(Path(text)) if text.endswith("/") or Path(text).is_dir() else Path(text)


def output_option(file_help: str) -> Callable[[F], F]:
    """--output, and the options of a run into a folder."""

    def decorate(command: F) -> F:
        for option in (
            devices_option,
            click.option(
                "--workers",
                type=click.IntRange(1),
                help="Of --engine ray: the most actors, each of which takes four parts at a time.  "
                "[default: one on each GPU, or on each CPU, of the cluster]",
            ),
            click.option(
                "--engine",
                type=click.Choice(["local", "ray"]),
                help="Of a folder: what computes, processes of this machine or Ray's cluster.  [default: local]",
            ),
            click.option(
                "--part-rows",
                type=click.IntRange(1),
                help="Of a folder: items of one file.  [default: 65,536; 1,024 of an inpainting; fewer large ones]",
            ),
            click.option(
                "--output",
                "-o",
                type=_OutputType(),
                help=f"{file_help} Or a folder such as out/, or s3://bucket/out: Parquet part by part, for "
                "millions of items; a run that was ended goes on.  [default: standard output]",
            ),
        ):
            command = option(command)
        return command

    return decorate


def refuse_with_folder(**options: object) -> None:
    """Refuse options that a folder as output does not take: they need all items at once, or another format."""
    for name, value in options.items():
        if value:
            raise click.UsageError(f"--{name.replace('_', '-')} does not go with a folder as --output")


def refuse_without_folder(**options: object) -> None:
    """Refuse options that only a folder as output takes."""
    for name, value in options.items():
        if value is not None:
            raise click.UsageError(f"--{name.replace('_', '-')} needs a folder as --output, such as out/")


def tell_run(summary: Mapping[str, Any], folder: Folder, as_json: bool) -> None:
    """Print what a run into a folder made: its summary as JSON, or a line for people."""
    if as_json:
        click.echo(json_text({**summary, "output": printable(folder.path)}))
    else:
        click.echo(f"{summary['model']}: {summary['items']:,} items, seed {summary['seed']}", err=True)
