"""The user's own data: a folder of pictures, an array file or a table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from trainer.data import arrays, folder, tables
from trainer.errors import DataError, MissingData

_TEST_SHARE = 0.1
_TABLES = {".csv": tables.read_csv, ".parquet": tables.read_parquet}


class Items(NamedTuple):
    """Training and test items, and the names of a table's columns."""

    train: Tensor
    test: Tensor
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class OwnData:
    """The user's data at a path: a folder of pictures, or a .npy, .npz, .csv or .parquet file.

    A tenth of the items is the test set, the same at every reading; a .npz may instead hold ``train`` and ``test``.
    """

    path: Path | None = None

    @property
    def name(self) -> str:
        """The last part of the path, made into a valid name of a model."""
        stem = "" if self.path is None else self.path.resolve().stem
        return re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-") or "my-data"

    @property
    def title(self) -> str:
        return "your own data" if self.path is None else self.path.resolve().name

    @property
    def licence(self) -> str:
        return "a file given to the trainer, whose terms are not known"

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of a table's columns, in the order of a vector's entries; empty for images and arrays."""
        return self._items.columns

    def read(self, data_dir: Path | None) -> tuple[Tensor, Tensor]:  # noqa: ARG002 (these data have a path of their own)
        return self._items.train, self._items.test

    @cached_property
    def _items(self) -> Items:
        path = self.path
        if path is None:
            raise DataError(
                "this preset needs --data PATH: a folder of pictures, or a .npy, .npz, .csv or .parquet file"
            )
        if path.is_dir():
            return _divided(folder.read(path))
        if not path.is_file():
            raise MissingData(f"{path}: missing")
        suffix = path.suffix.lower()
        if suffix in _TABLES:
            table = _TABLES[suffix](path)
            return _divided(tables.vectors(table, str(path)), tuple(table.columns))
        if suffix in (".npy", ".npz"):
            return _from_arrays(arrays.read(path), path)
        raise DataError(f"{path}: unknown kind of data; a folder of pictures, .npy, .npz, .csv or .parquet is needed")


def _from_arrays(found: dict[str, arrays.Array], path: Path) -> Items:
    if found.keys() == {"train", "test"}:
        train, test = (arrays.items(found[name], f"{path}: {name}") for name in ("train", "test"))
        if train.shape[1:] != test.shape[1:] or train.dtype != test.dtype:
            raise DataError(
                f"{path}: train is {tuple(train.shape)} {train.dtype}, test {tuple(test.shape)} {test.dtype}"
            )
        return Items(train, test)
    if len(found) != 1:
        raise DataError(f"{path}: holds {', '.join(found) or 'nothing'}; one array is wanted, or train and test")
    return _divided(arrays.items(next(iter(found.values())), str(path)))


def _divided(items: Tensor, columns: tuple[str, ...] = ()) -> Items:
    """Training and test items in a fixed random order."""
    order = torch.randperm(len(items), generator=torch.Generator().manual_seed(0))
    held_out = round(len(items) * _TEST_SHARE)
    return Items(items[order[held_out:]], items[order[:held_out]], columns)
