"""Decoded bodies to items of a model: what a client sent, checked and made into arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.media.json_items import item_from_json, items_from_json
from service.media.npy import Array, from_npy, npy_header
from service.media.pictures import open_picture, split_transparency, to_mask, to_pixels
from service.media.table_rows import Table, items_of_array, row_to_complete, rows_of_body
from service.media.types import CSV, JSON, NPY
from service.protocol.errors import WrongType, WrongValue
from service.protocol.model_info import ModelInfo

_BLOCK = 512
"""Items that are checked at once: of a large batch, what is only needed on the way stays small."""
_SHORTEST_NUMBER = 2  # a digit and a comma


class ItemSpec(NamedTuple):
    """What an item of a model is: its shape, and whether it holds 8-bit pixels or float32 numbers."""

    shape: tuple[int, ...]
    is_image: bool
    table: Table | None = None
    """Of a model whose vectors are rows of a table."""

    @classmethod
    def of(cls, model: ModelInfo) -> ItemSpec:
        """The items of a model, as the decoders need to know them."""
        table = None if model.table is None else Table(model.table, model.takes_missing)
        return cls(model.item_shape, model.is_image, table)

    @property
    def dimensions(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))


class Part(NamedTuple):
    """One file of a multipart body, or a whole body of another type."""

    name: str
    type: str
    data: bytes


class Body(NamedTuple):
    """A request's body: its media type, and its parts."""

    type: str
    parts: list[Part]

    @property
    def size(self) -> int:
        return sum(len(part.data) for part in self.parts)

    def most_items(self, shape: tuple[int, ...]) -> int:
        """A bound on the items of this shape that the body holds, found without decoding it."""
        if self.type == NPY:
            claimed = npy_header(self.parts[0].data)[0].shape
            return claimed[0] if len(claimed) > len(shape) else 1
        if self.type == JSON:
            entries = len(self.parts[0].data) // _SHORTEST_NUMBER
            return max(entries // int(np.prod(shape, dtype=np.int64)), 1)
        if self.type == CSV:
            return max(self.parts[0].data.count(b"\n"), 1)
        return len(self.parts)


class Sent(NamedTuple):
    """Items (N, *S) of a request, and what the sender should know of them."""

    items: Array
    notes: tuple[str, ...] = ()
    """Such as columns that were ignored."""
    faults: Mapping[int, str] = {}
    """Why rows of a table were left out, by their places among all that were sent."""


def sent_of(body: Body, spec: ItemSpec, fit: bool, most: int, skip_bad: bool = False) -> Sent:
    """Items as ``items_of`` gives them. ``skip_bad`` leaves bad rows of a table out and says why."""
    if spec.table is not None and body.type in (CSV, JSON, NPY):
        return Sent(*rows_of_body(body.type, body.parts[0].data, spec.table, most, skip_bad))
    return Sent(items_of(body, spec, fit, most))


def items_of(body: Body, spec: ItemSpec, fit: bool, most: int) -> Array:
    """Items (N, *S): uint8 levels of images, float32 numbers of vectors.

    Raises Malformed, WrongType, WrongValue or TooLarge; the problem's field is ``items`` or ``items[3]``.
    """
    if body.type == CSV:
        raise WrongType("the model has no columns by name; send JSON or npy", "Content-Type")
    if body.type == NPY:
        return checked(from_npy(body.parts[0].data), spec, "items")
    if body.type == JSON:
        return checked(items_from_json(body.parts[0].data, "items", most, spec.dimensions), spec, "items")
    pictures = [_pixels(part, spec, fit, f"items[{index}]") for index, part in enumerate(body.parts)]
    return pictures[0][None] if len(pictures) == 1 else np.stack(pictures)


def latents_of(body: Body, shape: tuple[int, ...], most: int) -> Array:
    """Latents (N, *Z) float32, from npy or from JSON under ``latents``."""
    data = body.parts[0].data
    array = (
        from_npy(data)
        if body.type == NPY
        else items_from_json(data, "latents", most, int(np.prod(shape, dtype=np.int64)))
    )
    return checked_latents(array, shape)


def checked_latents(array: Array, shape: tuple[int, ...]) -> Array:
    """Numbers (N, *Z), or one latent (*Z), as float32 latents (N, *Z). Raises WrongValue."""
    return _vectors(_batch(array, shape, "latents"), "latents", 0)


def inpainting_of(body: Body, spec: ItemSpec, fit: bool) -> tuple[Array, NDArray[np.bool_], tuple[str, ...]]:
    """One item (1, *S) with nothing to rely on in its hidden places, which those are (1, *S) bool, and notes.

    A npy body marks them by NaN, JSON by null unless it has a mask; multipart brings a mask beside the image, or a
    picture that is partly transparent.
    """
    if spec.table is not None and body.type in (CSV, JSON, NPY):
        return row_to_complete(body.type, body.parts[0].data, spec.table)
    if body.type == CSV:
        raise WrongType("the model has no columns by name; send JSON or npy", "Content-Type")
    array, hidden = numbers_with_gaps(body, spec.shape) or _picture_and_mask(body, spec, fit)
    return *with_hidden_places(array, hidden, spec), ()


def numbers_with_gaps(body: Body, shape: tuple[int, ...]) -> tuple[Array, Array] | None:
    """An item and where it is hidden, of an npy or JSON body of at most ``shape``; None for other bodies."""
    if body.type == NPY:
        array = from_npy(body.parts[0].data)
        return array, np.isnan(array) if array.dtype.kind == "f" else np.zeros(array.shape, dtype=bool)
    return item_from_json(body.parts[0].data, shape) if body.type == JSON else None


def with_hidden_places(array: Array, hidden: Array, spec: ItemSpec) -> tuple[Array, NDArray[np.bool_]]:
    """An item and where it is hidden, each (*S) or (1, *S), as in ``inpainting_of``. Raises WrongValue."""
    if len(spec.shape) == 3 and hidden.shape == spec.shape[:2]:
        hidden = np.broadcast_to(hidden[..., None], spec.shape)
    whole = _batch(array, spec.shape, "image")
    mask = _batch(np.ascontiguousarray(hidden), spec.shape, "mask")
    if len(whole) != 1 or len(mask) != 1:
        raise WrongValue("one image is inpainted in one request; n= asks for several completions", "image")
    return checked(np.where(mask, np.zeros_like(whole), whole), spec, "image"), mask


def checked(array: Array, spec: ItemSpec, field: str, first: int = 0) -> Array:
    """Numbers (N, *S), or one item (*S), as items of a model. Raises WrongValue with the first offending item.

    ``first`` is the index of the first of these items among all that the user sent. Numbers of a table's model are in
    the units of its columns, NaN where a cell is missing.
    """
    if spec.table is not None:
        return items_of_array(array, spec.table, field, first)
    batch = _batch(array, spec.shape, field)
    check = levels if spec.is_image else _vectors
    if len(batch) <= _BLOCK:
        return check(batch, field, first)
    starts = range(0, len(batch), _BLOCK)
    return np.concatenate([check(batch[start : start + _BLOCK], field, first + start) for start in starts])


def levels(batch: Array, field: str, first: int) -> Array:
    """Pixels (N, ...) given as 8-bit levels or as fractions in [0, 1], as uint8 levels. Raises WrongValue."""
    if batch.dtype.kind == "b":
        raise WrongValue(f"{field} must be levels 0 to 255 or fractions in [0, 1]", field)
    if batch.dtype == np.uint8:
        return batch
    fractions = batch.dtype.kind == "f"
    bad = ~((batch >= 0) & (batch <= (1 if fractions else 255)))
    _refuse(bad, field, "[0, 1]" if fractions else "0 to 255", first)
    if not fractions:
        return batch.astype(np.uint8)
    # floor(256 v), which takes both k / 255 and (k + u) / 256 to k (``flows.Dequantise`` the other way round).
    return np.floor(batch.astype(np.float64) * 256).clip(0, 255).astype(np.uint8)


def _batch(array: Array, shape: tuple[int, ...], field: str) -> Array:
    if array.shape == shape:
        array = array[None]
    if array.shape[1:] != shape or not len(array):
        raise WrongValue(f"{field} must be of shape {_text(shape)} or (N, ...), not {_text(array.shape)}", field)
    return array


def _vectors(batch: Array, field: str, first: int) -> Array:
    with np.errstate(over="ignore"):
        # What is float32 already is not copied, unless it lies in a body where the processor would not expect it.
        vectors = batch.astype(np.float32, copy=not batch.flags.aligned)
    _refuse(~np.isfinite(vectors), field, "the finite numbers of float32", first)
    return vectors


def _refuse(bad: Array, field: str, domain: str, first: int) -> None:
    rows = bad.reshape(len(bad), -1).any(axis=1)
    if rows.any():
        index = first + int(rows.argmax())
        raise WrongValue(f"item {index} holds a number outside {domain}", f"{field}[{index}]")


def _pixels(part: Part, spec: ItemSpec, fit: bool, field: str) -> Any:
    if part.type == NPY:
        raise WrongType("a multipart body holds PNG or JPEG files; send a npy batch as the whole body", field)
    picture = open_picture(part.data, field, shape=_sides(spec, fit))
    return to_pixels(picture, spec.shape, fit, field)


def _sides(spec: ItemSpec, fit: bool) -> tuple[int, ...] | None:
    """The shape that a picture must have before it is decoded; None where any is taken or none would be."""
    return None if fit or len(spec.shape) < 2 else spec.shape


def _picture_and_mask(body: Body, spec: ItemSpec, fit: bool) -> tuple[Array, Array]:
    parts = {part.name: part for part in body.parts}
    for name in parts.keys() - {"image", "mask"}:
        raise WrongValue(f"there is no part {name[:40]!r}; the parts are image and mask", name[:40])
    if "image" not in parts:
        raise WrongValue("the multipart body lacks the file image", "image")
    image, mask = _image(parts["image"], spec, fit)
    if "mask" in parts:
        explicit = _mask(parts["mask"], spec, fit)
        if mask is not None and mask.shape != explicit.shape:
            raise WrongValue(f"mask must be of shape {_text(mask.shape)}, as the image's transparency", "mask")
        mask = explicit if mask is None else mask | explicit
    if mask is None:
        raise WrongValue("send a mask, or an image with transparent pixels", "mask")
    return image, mask


def _image(part: Part, spec: ItemSpec, fit: bool) -> tuple[Array, Array | None]:
    if part.type == NPY:
        return from_npy(part.data), None
    picture, transparent = split_transparency(open_picture(part.data, "image", shape=_sides(spec, fit)))
    pixels = to_pixels(picture, spec.shape, fit, "image")
    return pixels, None if transparent is None else to_mask(transparent, spec.shape, fit, "image")


def _mask(part: Part, spec: ItemSpec, fit: bool) -> Array:
    if part.type == NPY:
        return from_npy(part.data).astype(bool)
    if len(spec.shape) < 2:
        raise WrongValue("the model's items are no pictures; send the mask as npy", "mask")
    return to_mask(open_picture(part.data, "mask", shape=_sides(spec, fit)), spec.shape, fit, "mask")


def _text(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))})"
