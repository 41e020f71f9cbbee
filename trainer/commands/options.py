"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with the original files, in DIR/<data set>/ or in DIR itself. Without it they are downloaded once.",
)
store_option = click.option(
    "--store",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="SLUICE_STORE",
    show_envvar=True,
    help="Directory of published models.  [default: the store that ships with Sluice]",
)
device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="auto takes CUDA where there is one.",
)
