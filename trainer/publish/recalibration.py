"""A new calibration for a published model: for ordinary data that have changed, or for another version of Sluice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

import model_store
from flows import anomaly
from model_store import LoadedModel
from tables.reading import is_table
from trainer import data
from trainer.errors import DataError
from trainer.presets import PRESETS
from trainer.publish.calibration import calibration_evidence, source_of
from trainer.publish.export import PRECISION_ITEMS, complete
from trainer.publish.initial_draws import initial_draws
from trainer.publish.map_calibration import map_evidence
from trainer.publish.row_calibration import row_evidence


class OrdinaryItems(NamedTuple):
    """Items to calibrate on, fresh items to measure the verdict on, and where they come from."""

    held_out: Tensor
    fresh: Tensor
    source: str
    """What the manifest says."""
    told: tuple[str, ...] = ()
    """What the user should know of items that were left out."""


def recalibrated(root: Path | model_store.Store, model: LoadedModel, ordinary: OrdinaryItems) -> model_store.Published:
    """Publish a model's weights with a new calibration. Raises DataError when the items are too few."""
    if model.manifest.pictures is not None:
        raise DataError(
            f"{model.reference}: scores pictures of any size; sluice-train pictures trains and calibrates it anew"
        )
    bfloat16 = None
    if model.manifest.table is None:
        bfloat16 = model_store.measure_bfloat16(model.flow, ordinary.held_out[:PRECISION_ITEMS])
    answering = model_store.serving(model.flow, bfloat16)
    by_rows = model.manifest.calibration is not None and model.manifest.calibration.folds is not None
    measure = row_evidence if by_rows else calibration_evidence
    evidence = measure(answering, ordinary.held_out, ordinary.fresh, ordinary.source)
    if evidence is None:
        raise DataError(
            f"{len(ordinary.held_out)} ordinary items are too few; at least {3 * anomaly.MINIMUM_ITEMS} are needed, "
            "and thousands to tell an alarm in a thousand"
        )
    has_draws = model_store.DRAWS in model.manifest.files
    draws = None if has_draws else initial_draws(model.flow)
    anomaly_map = map_evidence(answering, ordinary.held_out, ordinary.source)
    return model_store.recalibrate(root, model, evidence, anomaly_map=anomaly_map, bfloat16=bfloat16, draws=draws)


def with_map(root: Path | model_store.Store, model: LoadedModel, ordinary: OrdinaryItems) -> model_store.Published:
    """Publish a model's weights and calibration with a new calibration of its maps.

    Raises DataError for a model of vectors, and when the pictures are too few.
    """
    if model.manifest.pictures is not None:
        raise DataError(f"{model.reference}: has maps already, made with its calibration")
    answering = model_store.serving(model.flow, model.manifest.bfloat16)
    evidence = map_evidence(answering, ordinary.held_out, ordinary.source)
    if evidence is None:
        raise DataError(
            f"{model.reference}: maps need a model of pictures and at least {3 * anomaly.MINIMUM_ITEMS} ordinary ones"
        )
    return model_store.add_map(root, model, evidence)


def own_items(model: LoadedModel, path: Path) -> OrdinaryItems:
    """The user's ordinary items. Raises DataError when they are not of the kind and shape that the model takes."""
    own, schema = data.OwnData(path), model.manifest.table
    told: tuple[str, ...] = ()
    if schema is None or not is_table(path):
        held_out, fresh = own.read(None)
    else:
        held_out, fresh, told = data.rows_of_schema(path, schema)
    if tuple(held_out.shape[1:]) != model.flow.item_shape or held_out.is_floating_point() == model.flow.is_image:
        raise DataError(
            f"{path}: holds {_kind(held_out.shape[1:], not held_out.is_floating_point())}; "
            f"{model.reference} takes {_kind(model.flow.item_shape, model.flow.is_image)}"
        )
    return OrdinaryItems(held_out, complete(model.flow, fresh), f"{len(held_out):,} items of {own.title}", told)


def held_out_items(model: LoadedModel, data_dir: Path | None) -> OrdinaryItems:
    """The items that a model's training held out, split as they were then.

    Raises DataError when the model's provenance does not tell which they are.
    """
    provenance = model.manifest.provenance
    preset, seed = PRESETS.get(str(provenance.get("preset"))), provenance.get("seed")
    if preset is None or not isinstance(seed, int) or preset.data.name != provenance.get("data"):
        raise DataError(f"{model.reference}: no preset tells which items its training held out; --data brings others")
    splits = data.load(preset.data, data_dir, seed=seed)
    if len(splits.train) != provenance.get("training_items"):
        raise DataError(f"{model.reference}: was trained on a part of {preset.data.title}; --data brings other items")
    return OrdinaryItems(splits.calibration, splits.test, source_of(splits.calibration, preset.data))


def _kind(shape: Sequence[int], image: bool) -> str:
    return f"{'images' if image else 'vectors'} of {'x'.join(map(str, shape))}"
