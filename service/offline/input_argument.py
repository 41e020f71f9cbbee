"""The argument of commands that read files: paths, or URLs of an object store for runs into a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click


class Input(click.Path):
    """A path that exists; or a URL, which stays a text and is looked up when it is read."""

    name = "path"

    def __init__(self) -> None:
        super().__init__(exists=True, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from service.settings import location

        found = location(value)
        return found if isinstance(found, str) else super().convert(value, param, ctx)


class LocalPath(click.Path):
    """A path of this machine. A URL is refused: as a path it would make a folder of that name."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from service.settings import location

        if isinstance(location(value), str):
            self.fail(f"{value} is a URL; give a path of this machine", param, ctx)
        return super().convert(value, param, ctx)


def paths_of(given: Sequence[Path | str]) -> list[Path]:
    """What is given, where all are paths. Refuses a URL, which only runs into a folder read."""
    for each in given:
        if isinstance(each, str):
            raise click.UsageError(f"{each}: a URL is read into a folder as --output only, such as -o out/")
    return [each for each in given if isinstance(each, Path)]
