"""The command ``sluice-calibrate``: publish a model again with new p-values."""

from __future__ import annotations

from pathlib import Path

import click

import model_store
from flows.nets.precision import exact_float32
from model_store import Store
from trainer.commands.options import data_dir_option, device_option, store_at, store_option
from trainer.errors import TrainerError
from trainer.publish.recalibration import held_out_items, own_items, recalibrated, with_map
from trainer.run.device import choose_device

_EPILOG = """\b
Examples:
  sluice-calibrate mnist-nice --data-dir ~/data
  sluice-calibrate my-pictures --store models --data ordinary-pictures-of-this-month

\b
Exit codes:
  0    done
  1    not done; the standard error says why
  2    the command line is wrong
"""


@click.command(epilog=_EPILOG)
@click.argument("model")
@data_dir_option
@click.option(
    "--data",
    "own_path",
    type=click.Path(exists=True, path_type=Path),
    help="Your own ordinary items that the model was not trained on: a folder of pictures, or a .npy, .npz, .csv or "
    ".parquet file. A tenth of them measures how well the verdict finds corrupted copies.",
)
@click.option(
    "--only-map",
    is_flag=True,
    help="Leave the p-values of the verdict as they are, and renew the map of where a picture is strange.",
)
@store_option
@device_option
@exact_float32()
def main(
    model: str, data_dir: Path | None, own_path: Path | None, only_map: bool, store: Path | str | None, device: str
) -> None:
    """Calibrate the published MODEL again and publish it, with the same weights, as the next version of its name.

    It is calibrated on the items that its training held out, or on your own where ordinary data have changed since.
    Models of pictures also get the map of where a picture is strange.
    """
    try:
        root = store_at(store)
        shelf = root if isinstance(root, Store) else Store(root)
        loaded = shelf.load(*shelf.resolve(model), choose_device(device), calibrated=False)
        ordinary = held_out_items(loaded, data_dir) if own_path is None else own_items(loaded, own_path)
        published = (with_map if only_map else recalibrated)(root, loaded, ordinary)
    except (TrainerError, model_store.StoreError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"published {published.name}@{published.version} at {published.place}")
