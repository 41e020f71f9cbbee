"""The items of a request as tensors: one tensor of all, or a table's columns, a tensor each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from service.api.v2.signatures import Signature
from service.media.inference import Sent
from service.media.items import Body, ItemSpec, Part, checked, items_of
from service.media.json_items import row_from_json
from service.media.npy import Array
from service.media.table_columns import items_of_columns
from service.media.table_rows import items_of_json
from service.media.tensors import BYTES
from service.media.types import MULTIPART, PNG
from service.protocol.errors import Malformed, WrongValue

_UNFOLDED = 2**20
"""Bytes that decoding a small file may be worth: beside the event loop, it holds nobody up."""


class ItemTensors(NamedTuple):
    """Where the items of a request stand: in ``whole``, or by column name where it is None."""

    whole: Sent | None
    columns: Mapping[str, Sent]

    def rows(self, shape: tuple[int, ...]) -> int:
        """Items that the tensors claim to hold. Raises Malformed or WrongValue for other shapes than the model's."""
        return _rows_of_columns(self.columns) if self.whole is None else rows_of(self.whole, shape)

    @property
    def size(self) -> int:
        """Bytes that decoding is worth."""
        return size_of(self.whole) if self.whole is not None else sum(map(size_of, self.columns.values()))

    def items(self, spec: ItemSpec, fit: bool, raw: bool = False) -> Array:
        """Items (N, *S) of a model; with ``raw`` numbers as they were sent, which may be NaN, unless they are rows."""
        if self.whole is not None:
            return _items(self.whole, spec, fit, raw)
        assert spec.table is not None
        return items_of_columns({name: sent.values().reshape(-1) for name, sent in self.columns.items()}, spec.table)


def items_sent(inputs: dict[str, Sent], signature: Signature, name: str) -> ItemTensors:
    """Take the items out of the inputs, under ``name`` or as columns. Raises Malformed where any is missing."""
    whole = inputs.pop(name, None)
    columns = {column: inputs.pop(column) for column in signature.input_columns if column in inputs}
    if whole is not None and columns:
        raise Malformed(f"send either {name} or the columns by name", name)
    if whole is None and not columns:
        raise Malformed(f"the input {name} is missing", name)
    for column in signature.input_columns if columns else ():
        if column not in columns:
            raise Malformed(f"the column {column[:60]!r} is missing", column[:60])
    return ItemTensors(whole, columns)


def required(inputs: Mapping[str, Sent], name: str) -> Sent:
    """An input that a function cannot do without. Raises Malformed."""
    if name not in inputs:
        raise Malformed(f"the input {name} is missing", name)
    return inputs[name]


def rows_of(sent: Sent, shape: tuple[int, ...]) -> int:
    """Items that a tensor claims to hold. Raises WrongValue for another shape than the model's."""
    claimed, name = tuple(sent.shape), sent.tensor.name
    if sent.tensor.datatype == BYTES:
        if len(claimed) == 1 or (len(claimed) == 2 and claimed[1] == 1):
            return claimed[0]
        raise WrongValue(f"{name}: BYTES must be of shape [N], one element an item, not {list(claimed)}", name)
    if claimed == shape:
        return 1
    if claimed[1:] != shape or not claimed[0]:
        raise WrongValue(f"{name} must be of shape {[-1, *shape]}, not {list(claimed)}", name)
    return claimed[0]


def size_of(sent: Sent) -> int:
    """Bytes that decoding a tensor is worth."""
    if sent.tensor.datatype == BYTES:
        return _UNFOLDED
    return len(sent.data if sent.data is not None else bytes(sent.tensor.data))  # type: ignore[arg-type]


def numbers_of(sent: Sent) -> Array:
    """The values of a tensor of numbers. Raises Malformed or WrongValue."""
    if sent.tensor.datatype == BYTES:
        raise WrongValue(f"{sent.tensor.name} must hold numbers, not BYTES", sent.tensor.name)
    return sent.values()


def _rows_of_columns(columns: Mapping[str, Sent]) -> int:
    first, *others = columns.items()
    rows = _rows_of_column(*first)
    for name, sent in others:
        if _rows_of_column(name, sent) != rows:
            raise Malformed(
                f"column {name[:60]!r} has {sent.shape[0]} rows, and {first[0][:60]!r} has {rows}", name[:60]
            )
    return rows


def _rows_of_column(name: str, sent: Sent) -> int:
    if len(sent.shape) not in (1, 2) or sent.shape[1:] not in ([], [1]) or not sent.shape[0]:
        raise Malformed(f"column {name[:60]!r} must be of shape [-1, 1] or [-1], not {sent.shape}", name[:60])
    return sent.shape[0]


def _items(sent: Sent, spec: ItemSpec, fit: bool, raw: bool) -> Array:
    name = sent.tensor.name
    if sent.tensor.datatype != BYTES:
        return numbers_of(sent) if raw and spec.table is None else checked(numbers_of(sent), spec, name)
    elements: list[bytes] = sent.values().ravel().tolist()
    if not elements:
        raise WrongValue(f"{name} holds no item", name)
    if spec.is_image:
        return items_of(Body(MULTIPART, [Part(name, PNG, data) for data in elements]), spec, fit, len(elements))
    if spec.table is not None:
        return items_of_json(elements, spec.table, name)
    rows = [row_from_json(data, f"{name}[{place}]") for place, data in enumerate(elements)]
    for place, row in enumerate(rows):
        if row.shape != spec.shape:
            raise WrongValue(f"item {place} must be a JSON list of {spec.shape[0]} numbers", f"{name}[{place}]")
    found = np.stack(rows)
    return found if raw else checked(found, spec, name)
