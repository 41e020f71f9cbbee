"""What a data set is to the trainer, and the three splits it is used in."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from trainer.data.own import OwnData
from trainer.data.toys import Toy
from trainer.errors import DataError

HELD_OUT_SHARE = 0.1
"""Of the training set, kept out of training to choose the best epoch by: 6,000 of MNIST's 60,000."""


class DataSet(Protocol):
    """Items of one shape with a fixed division into training and test sets.

    A new source is a class with these members; nothing else in the trainer asks where items come from.
    """

    def __hash__(self) -> int:
        """A data set is described once and for all, so that what was read of it can be remembered."""
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

        ``data_dir`` is a folder of the user's with the original files; without one they are downloaded once and kept
        in the user's cache. Raises DataError when a file is missing, damaged or of another kind.
        """
        ...


@dataclass(frozen=True)
class Splits:
    """Items to train on, to choose by, and to report on: three sets without a common index.

    Calibration rests on those to choose by, where the data have no more.
    """

    train: Tensor
    validation: Tensor
    test: Tensor
    more: Tensor | None = None
    """Items of none of the three sets."""
    columns: tuple[str, ...] = ()
    """The names of a vector's entries, where the data have such."""

    @property
    def calibration(self) -> Tensor:
        """What p-values are made from: of no influence on any weight, and as many as there are."""
        return self.validation if self.more is None else self.more

    @property
    def item_shape(self) -> tuple[int, ...]:
        return tuple(self.train.shape[1:])

    @property
    def are_images(self) -> bool:
        return not self.train.is_floating_point()

    def digest(self) -> str:
        """A hash of what is trained on, so that a run is not resumed on other data of the same name."""
        return hashlib.sha256(self.train.numpy().data).hexdigest()


def load(dataset: DataSet, data_dir: Path | None, *, seed: int, limit: int | None = None) -> Splits:
    """Read a data set and hold a tenth of its training items out for validation, which ones by the seed.

    ``limit`` keeps only the first so many training and test items, for a quick try.
    """
    items, test = dataset.read(data_dir)
    splits = split(dataset.name, items, test, seed=seed, limit=limit)
    if isinstance(dataset, OwnData):
        return replace(splits, columns=dataset.columns)
    if isinstance(dataset, Toy):
        return replace(splits, more=dataset.more()[:limit])
    return splits


def split(name: str, items: Tensor, test: Tensor, *, seed: int, limit: int | None = None) -> Splits:
    """What ``load`` does with items that have been read. Raises DataError when they are too few."""
    items, test = items[:limit], test[:limit]
    held_out = round(len(items) * HELD_OUT_SHARE)
    if held_out == 0 or len(test) == 0:
        raise DataError(f"{name}: {len(items)} training and {len(test)} test items are too few to split")
    order = torch.randperm(len(items), generator=torch.Generator().manual_seed(seed))
    return Splits(items[order[held_out:]], items[order[:held_out]], test)
