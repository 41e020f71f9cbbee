"""The command ``sluice-calibrate``: publish a model again with new p-values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import click

import model_store
from flows.nets.precision import exact_float32
from model_store import LoadedModel, Store
from trainer.commands.options import data_dir_option, device_option, store_option
from trainer.errors import TrainerError
from trainer.publish.live_calibration import LiveCalibration, calibrated_on_live_traffic
from trainer.publish.recalibration import held_out_items, own_items, recalibrated, with_map
from trainer.publish.store_location import store_at
from trainer.run.device import choose_device

_EPILOG = """\b
Examples:
  sluice-calibrate mnist-nice --data-dir ~/data
  sluice-calibrate my-pictures --store models --data ordinary-pictures-of-this-month
  sluice-calibrate my-pictures --store models --live /var/lib/sluice/drift --since 2026-11-20

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
    "--live",
    "live_path",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The service's SLUICE_DRIFT_DIR: statistics that it kept of the items that the model scored calibrate. "
    "Anomalies among these items then count as ordinary; see docs/drift.md.",
)
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d"]),
    help="With --live: the first day (UTC) of the items.  [default: the oldest that is kept]",
)
@click.option(
    "--trim",
    type=click.FloatRange(0, 0.5),
    default=0.0,
    show_default=True,
    help="With --live: the part of the items, the least ordinary ones, that does not calibrate. At a level alpha, "
    "alpha (1 - trim) + trim of such traffic is then flagged.",
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
    model: str,
    data_dir: Path | None,
    own_path: Path | None,
    live_path: Path | None,
    since: datetime | None,
    trim: float,
    only_map: bool,
    store: Path | str | None,
    device: str,
) -> None:
    """Calibrate the published MODEL again and publish it, with the same weights, as the next version of its name.

    It is calibrated on the items that its training held out, or on your own where ordinary data have changed since, or
    on statistics that the service kept of live traffic. Models of pictures also get the map of where a picture is
    strange; live traffic leaves the map as it is.
    """
    if live_path is not None and (own_path is not None or data_dir is not None or only_map):
        raise click.UsageError("--live brings the items: --data, --data-dir and --only-map do not go with it")
    if live_path is None and (since is not None or trim):
        raise click.UsageError("--since and --trim go with --live")
    try:
        root = store_at(store)
        shelf = root if isinstance(root, Store) else Store(root)
        loaded = shelf.load(*shelf.resolve(model), choose_device(device), calibrated=live_path is not None)
        if live_path is not None:
            day = None if since is None else since.date().isoformat()
            found = calibrated_on_live_traffic(root, loaded, live_path, since=day, trim=trim)
            _warn(loaded, found)
            published = found.published
        else:
            ordinary = held_out_items(loaded, data_dir) if own_path is None else own_items(loaded, own_path)
            for line in ordinary.told:
                click.echo(line, err=True)
            published = (with_map if only_map else recalibrated)(root, loaded, ordinary)
    except (TrainerError, model_store.StoreError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"published {published.name}@{published.version} at {published.place}")


def _warn(model: LoadedModel, found: LiveCalibration) -> None:
    """Say on the standard error what a calibration on live traffic means."""
    sample, published = found.sample, found.published
    lines = [
        f"{found.calibrating:,} of {sample.seen:,} items calibrate, scored {sample.days} (UTC); "
        f"{found.left_out:,} of the sample were trimmed.",
        "Nobody has looked at these items. The p-values now say how unusual an item is among them: what was faulty or "
        "foreign in this traffic counts as ordinary from now on.",
        f"Of the sample, {model.reference} flags {_parts(found.flagged)}. Of traffic like it, "
        f"{published.name}@{published.version} flags about "
        f"{_parts({level: _flagged(level, found) for level in found.flagged})}.",
    ]
    if sample.without_measures:
        lines.append(f"{sample.without_measures:,} items had no finite statistics and were left out.")
    if model.map is not None:
        lines.append("The map of where a picture is strange still rests on the pictures that it was calibrated on.")
    for line in lines:
        click.echo(f"warning: {line}", err=True)


def _parts(by_level: Mapping[float, float]) -> str:
    return " and ".join(f"{100 * part:.1f} % at {level:g}" for level, part in by_level.items())


def _flagged(level: float, found: LiveCalibration) -> float:
    """The part of traffic like the sample that is flagged at a level."""
    trimmed = found.left_out / (found.calibrating + found.left_out)
    return level * (1 - trimmed) + trimmed
