"""The command ``sluice-calibrate``: new p-values for a published model, for other ordinary data or another Sluice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click
from torch import Tensor

import model_store
from flows import anomaly
from model_store import LoadedModel, Store
from trainer import data
from trainer.calibration import calibrate, source_of
from trainer.detection import against_corruptions
from trainer.device import choose_device
from trainer.errors import DataError, TrainerError
from trainer.export import PRECISION_ITEMS
from trainer.outset import draws_of
from trainer.presets import PRESETS

_EPILOG = """\b
Examples:
  sluice-calibrate mnist-nice --data-dir ~/data
  sluice-calibrate my-pictures --store models --data ordinary-pictures-of-this-month
"""


@click.command(epilog=_EPILOG)
@click.argument("model")
@click.option(
    "--data-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with the original files, in DIR/<data set>/ or in DIR itself. Without it they are downloaded once.",
)
@click.option(
    "--data",
    "own_path",
    type=click.Path(exists=True, path_type=Path),
    help="Ordinary items of your own that the model was not trained on: a folder of pictures, or a .npy, .npz, .csv or "
    ".parquet file. A tenth of them measures how well the verdict finds corrupted copies.",
)
@click.option(
    "--store",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="SLUICE_STORE",
    show_envvar=True,
    help="Store of the model.  [default: the one that ships]",
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
def main(model: str, data_dir: Path | None, own_path: Path | None, store: Path | None, device: str) -> None:
    """Calibrate the published MODEL anew and publish it, weights unchanged, as the next version of its name.

    Ordinary items are those that its training held out, or your own where ordinary data have changed since.
    """
    root = store or model_store.default_root()
    try:
        shelf = Store(root)
        loaded = shelf.load(*shelf.resolve(model), choose_device(device), calibrated=False)
        ordinary = _held_out_of(loaded, data_dir) if own_path is None else _own(loaded, own_path)
        published = _publish(root, loaded, ordinary)
    except (TrainerError, model_store.StoreError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"published {published.name}@{published.version} at {published.path}")


class Ordinary(NamedTuple):
    """Items to calibrate on, fresh ones to measure by, and what a manifest says of where they come from."""

    held_out: Tensor
    fresh: Tensor
    source: str


def _publish(root: Path, loaded: LoadedModel, ordinary: Ordinary) -> model_store.Published:
    bfloat16 = model_store.measure_bfloat16(loaded.flow, ordinary.held_out[:PRECISION_ITEMS])
    answering = model_store.serving(loaded.flow, bfloat16)
    calibration = calibrate(answering, ordinary.held_out)
    if calibration is None:
        raise DataError(
            f"{len(ordinary.held_out)} ordinary items are too few; at least {3 * anomaly.LEAST} are needed, and "
            "thousands to tell an alarm in a thousand"
        )
    evidence = model_store.CalibrationEvidence(
        calibration=calibration,
        source=ordinary.source,
        detection=against_corruptions(answering, calibration, ordinary.fresh),
    )
    return model_store.recalibrate(
        root,
        loaded,
        evidence,
        bfloat16=bfloat16,
        draws=draws_of(loaded.flow) if model_store.DRAWS not in loaded.manifest.files else None,
    )


def _own(loaded: LoadedModel, path: Path) -> Ordinary:
    own = data.OwnData(path)
    held_out, fresh = own.read(None)
    if tuple(held_out.shape[1:]) != loaded.flow.item_shape or held_out.is_floating_point() == loaded.flow.is_image:
        raise DataError(
            f"{path}: holds {_kind(held_out.shape[1:], not held_out.is_floating_point())}; "
            f"{loaded.reference} takes {_kind(loaded.flow.item_shape, loaded.flow.is_image)}"
        )
    return Ordinary(held_out, fresh, f"{len(held_out):,} items of {own.title}")


def _kind(shape: Sequence[int], image: bool) -> str:
    return f"{'images' if image else 'vectors'} of {'x'.join(map(str, shape))}"


def _held_out_of(loaded: LoadedModel, data_dir: Path | None) -> Ordinary:
    """What a model's training held out, drawn as it was then. Raises DataError when its provenance leads nowhere."""
    provenance = loaded.manifest.provenance
    preset, seed = PRESETS.get(str(provenance.get("preset"))), provenance.get("seed")
    if preset is None or not isinstance(seed, int) or preset.data.name != provenance.get("data"):
        raise DataError(f"{loaded.reference}: no preset tells which items its training held out; --data brings others")
    splits = data.load(preset.data, data_dir, seed=seed)
    if len(splits.train) != provenance.get("training_items"):
        raise DataError(f"{loaded.reference}: was trained on a part of {preset.data.title}; --data brings other items")
    return Ordinary(splits.calibration, splits.test, source_of(splits.calibration, preset.data))
