"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from model_store.remote.objects import is_url


class Location(click.Path):
    """A directory, or a URL, which stays a text."""

    name = "directory"

    def __init__(self) -> None:
        super().__init__(file_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if isinstance(value, str) and is_url(value) else super().convert(value, param, ctx)


data_dir_option = click.option(
    "--data-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with the original files, in DIR/<data set>/ or in DIR itself. Without it they are downloaded once.",
)
store_option = click.option(
    "--store",
    type=Location(),
    envvar="SLUICE_STORE",
    show_envvar=True,
    help="The model store: a directory, or a URL such as s3://bucket/models.  [default: the store that ships with "
    "Sluice]",
)
device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="auto takes CUDA where there is one.",
)
