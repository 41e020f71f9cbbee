"""The user's own data: a folder of pictures, an array file or a table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tables import Schema
from tables.errors import TableError
from tables.loading import LoadedTable, Wishes, load_table
from tables.reading import SUFFIXES, is_table, open_table
from tables.rows import BadRow, rows_of_file
from trainer.data import arrays, folder
from trainer.data.groups import divided
from trainer.data.names import readable
from trainer.errors import DataError, MissingData

_TEST_SHARE = 0.1


class Items(NamedTuple):
    """Training and test items, and the table that they are rows of, if any."""

    train: Tensor
    test: Tensor
    table: LoadedTable | None = None


@dataclass(frozen=True)
class OwnData:
    """The user's data at a path: a folder of pictures, an .npy or .npz file, or a table.

    ``wishes`` override what is found out about a table's columns. A tenth of the items is the test set, the same at
    every reading; a .npz may instead hold ``train`` and ``test``.
    """

    path: Path | None = None
    wishes: Wishes = field(default_factory=Wishes)

    @property
    def name(self) -> str:
        """The last part of the path, made into a valid name of a model."""
        stem = "" if self.path is None else self.path.resolve().name.split(".")[0]
        return re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-") or "my-data"

    @property
    def title(self) -> str:
        return "your own data" if self.path is None else readable(self.path.resolve().name)

    @property
    def licence(self) -> str:
        return "a file given to the trainer, whose terms are not known"

    @property
    def schema(self) -> Schema | None:
        """The columns of a table, in the order of a vector's entries; None for images and arrays."""
        return None if self._items.table is None else self._items.table.schema

    def told(self) -> list[str]:
        """What was found out about a table, a line each; nothing for images and arrays."""
        return [] if self._items.table is None else self._items.table.told()

    def read(self, data_dir: Path | None) -> tuple[Tensor, Tensor]:  # noqa: ARG002 (these data have a path of their own)
        return self._items.train, self._items.test

    @cached_property
    def _items(self) -> Items:
        path = self.path
        if path is None:
            raise DataError(
                "this preset needs --data PATH: a folder of pictures, a .npy or .npz file, or a table (.csv, .parquet)"
            )
        if path.is_dir():
            return _divided(folder.read(path))
        if not path.is_file():
            raise MissingData(f"{path}: missing")
        if is_table(path):
            try:
                table = load_table(path, self.wishes)
            except TableError as error:
                raise DataError(str(error)) from error
            return _divided(torch.from_numpy(table.entries), table._replace(entries=table.entries[:0]))
        if path.suffix.lower() in (".npy", ".npz"):
            return _from_arrays(arrays.read(path), path)
        raise DataError(
            f"{path}: unknown kind of data; a folder of pictures, .npy, .npz, or a table ({', '.join(SUFFIXES[:5])}) "
            "is needed"
        )


class FittingRows(NamedTuple):
    """Rows of a table that fit known columns, as training and test items, and what is to be told of the others."""

    train: Tensor
    test: Tensor
    told: tuple[str, ...]


def rows_of_schema(path: Path, schema: Schema) -> FittingRows:
    """Items from a table whose columns are known; rows that do not fit are left out.

    Raises DataError when the columns are others, when the file is damaged, or when no row fits.
    """
    blocks: list[np.ndarray] = []
    faults: dict[int, BadRow] = {}
    notes: dict[str, None] = {}
    count = 0
    try:
        for places, rows in rows_of_file(schema, open_table(path)):
            count += len(places)
            blocks.append(np.delete(rows.numbers, list(rows.faults), axis=0))
            faults.update({int(places[at]): fault for at, fault in rows.faults.items()})
            notes.update(dict.fromkeys(rows.notes))
    except TableError as error:
        text = str(error)
        raise DataError(text if text.startswith(str(path)) else f"{path}: {text}") from error
    entries = schema.entries(np.concatenate([np.empty((0, len(schema))), *blocks]))
    items = torch.from_numpy(entries[~np.isinf(entries).any(axis=1)])
    if not len(items):
        raise DataError(f"{path}: no row fits the model's columns")
    found = _divided(items)
    left_out = (f"{len(faults):,} of {count:,} rows left out: {_first_of(faults)}",) if faults else ()
    return FittingRows(found.train, found.test, (*notes, *left_out))


def _first_of(faults: Mapping[int, BadRow]) -> str:
    first = min(faults)
    return f"row {first + 1} {faults[first]}{', and others' if len(faults) > 1 else ''}"


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


def _divided(items: Tensor, table: LoadedTable | None = None) -> Items:
    """Training and test items in a fixed random order."""
    held_out, rest = divided(items, round(len(items) * _TEST_SHARE), seed=0)
    return Items(items[rest], items[held_out], table)
