"""The command `sluice publish`."""

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
    from torch import Tensor


@click.command(
    cls=Documented,
    examples=(
        "sluice publish my-weights --name my-flow",
        "sluice publish my-weights.zip --name my-flow --golden held-out.npy --store my-store",
    ),
    exit_codes={1: "the weights are refused, with the reason; the store is as it was"},
)
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("--name", required=True, help="Name to publish under.")
@click.option(
    "--golden",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A .npy file with a few real items for the self-test at every load; without it the flow draws some.",
)
@store_option
@json_option
def publish(source: Path, name: str, golden: Path | None, store: Path | str | None, as_json: bool) -> None:
    """Publish weights that come without a manifest as the next version of a name.

    SOURCE is a directory or a zip archive with model.safetensors and a config.json that names an architecture of
    Sluice's and its arguments: {"architecture": {"name": "nice", "arguments": {}}, "item": {"shape": [2], "dtype":
    "float32"}}. The model gives log-likelihoods; `sluice-calibrate` adds p-values. What `sluice-train` publishes needs
    none of this, and what `sluice push` wrote comes back by `sluice pull`.
    """
    from model_store import publish_weights
    from service.opened_store import store_of

    with failures_told(), watched("publishing") as watch:
        items = None if golden is None else _items_in(golden)
        published = publish_weights(store_of(settings_with(), store), source, name, items, watch=watch)
    if as_json:
        click.echo(json_text({"name": published.name, "version": published.version, "path": published.place}))
    else:
        click.echo(f"{published.name}@{published.version} at {published.place}")


def _items_in(path: Path) -> Tensor:
    """A few items (N, *S): pixels as uint8, numbers as float32."""
    import numpy as np
    import torch

    from service.media.npy import from_npy
    from service.offline.unusable import named

    with named(path):
        array = from_npy(path.read_bytes())[:_GOLDEN]
    return torch.from_numpy(array.copy() if array.dtype == np.uint8 else array.astype(np.float32))


_GOLDEN = 64
"""Items that are kept: the self-test at every load takes them all."""
