"""The interface of a data set, and the splits that a run uses it in."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from torch import Tensor

from tables import Schema
from trainer.data.groups import divided
from trainer.data.own_data import OwnData
from trainer.data.toys import Toy
from trainer.errors import DataError

LEAST_TEST = 2
"""Test items: the standard error of one alone is not known."""
HELD_OUT_SHARE = 0.1
"""Share of the training set that is held out to choose the best epoch by: 6,000 of MNIST's 60,000."""


class DataSet(Protocol):
    """Items of one shape with a fixed division into training and test sets.

    A new source is a class with these members.
    """

    def __hash__(self) -> int:
        """Data sets are immutable and hashable, so that what was read can be cached."""
        ...

    @property
    def name(self) -> str:
        """A word for files and messages: ``mnist``."""
        ...

    @property
    def title(self) -> str:
        """The name as the field writes it: ``Fashion-MNIST``."""
        ...

    @property
    def licence(self) -> str:
        """Who made the data and under which terms, for the model card."""
        ...

    def read(self, data_dir: Path | None) -> tuple[Tensor, Tensor]:
        """Training and test items: (N, H, W) or (N, H, W, C) uint8 for images, (N, D) float32 for vectors.

        ``data_dir`` is the user's folder with the original files. Without one they are downloaded once and kept in the
        user's cache. Raises DataError when a file is missing, damaged or of another kind.
        """
        ...


@dataclass(frozen=True)
class Splits:
    """Items (N, *item_shape) to train on, to choose the epoch by, and to report on; no item is in two sets."""

    train: Tensor
    validation: Tensor
    test: Tensor
    more: Tensor | None = None
    """Further items that are in none of the three sets, where the data have any."""
    schema: Schema | None = None
    """The columns of the table that vectors are rows of."""

    @property
    def calibration(self) -> Tensor:
        """Items for the p-values, which influenced no weight: ``more`` where there are any, else ``validation``."""
        return self.validation if self.more is None else self.more

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of a vector's entries, where the data have names."""
        return () if self.schema is None else self.schema.names

    @property
    def item_shape(self) -> tuple[int, ...]:
        return tuple(self.train.shape[1:])

    @property
    def are_images(self) -> bool:
        return not self.train.is_floating_point()

    def digest(self) -> str:
        """A hash of the training items, so that a run is not resumed on other data of the same name."""
        return hashlib.sha256(self.train.numpy().data).hexdigest()


def load(dataset: DataSet, data_dir: Path | None, *, seed: int, limit: int | None = None) -> Splits:
    """Read a data set and hold out a tenth of its training items for validation. The seed decides which.

    ``limit`` keeps only the first ``limit`` training items and test items, for a quick try.
    """
    items, test = dataset.read(data_dir)
    splits = split(dataset.name, items, test, seed=seed, limit=limit)
    if isinstance(dataset, OwnData):
        return replace(splits, schema=dataset.schema)
    if isinstance(dataset, Toy):
        return replace(splits, more=dataset.more()[:limit])
    return splits


def split(name: str, items: Tensor, test: Tensor, *, seed: int, limit: int | None = None) -> Splits:
    """Split items that have been read, as ``load`` does. Raises DataError when there are too few."""
    items, test = items[:limit], test[:limit]
    held_out = round(len(items) * HELD_OUT_SHARE)
    if held_out == 0 or len(test) < LEAST_TEST:
        raise DataError(
            f"{name}: {len(items)} training and {len(test)} test items are too few to split; "
            f"there must be {LEAST_TEST} test items at least"
        )
    if items.is_floating_point() and bool(items.isclose(items[0], rtol=0, atol=0, equal_nan=True).all()):
        raise DataError(f"{name}: {len(items)} training items are all the same; there is nothing to learn from them")
    validation, train = divided(items, held_out, seed)
    return Splits(items[train], items[validation], test)
