"""Bodies to items of a flow: what a client sent, checked and made into tensors. Runs beside the event loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from flows import Flow
from service.arrays import Array, from_json, from_json_with_gaps, from_npy, parse_json
from service.bodies import Body, Part
from service.errors import WrongType, WrongValue
from service.negotiation import JSON, NPY
from service.pictures import open_picture, split_transparency, to_mask, to_pixels

_BLOCK = 512
"""Items that are checked at once: of a large batch, what is only needed on the way stays small."""


def items_of(body: Body, flow: Flow, fit: bool) -> Tensor:
    """(N, *S) on the CPU: uint8 levels for an image flow, the flow's dtype for a vector flow.

    Raises Malformed, WrongType, WrongValue or TooLarge; the problem's field is ``items`` or ``items[3]``.
    """
    if body.type == NPY:
        return checked(from_npy(body.parts[0].data), flow, "items")
    if body.type == JSON:
        return checked(from_json(parse_json(body.parts[0].data), "items"), flow, "items")
    pixels = [_pixels(part, flow, fit, f"items[{index}]") for index, part in enumerate(body.parts)]
    return torch.from_numpy(np.stack(pixels))


def latents_of(body: Body, flow: Flow) -> Tensor:
    """(N, *Z) on the CPU, from npy or from JSON under ``latents``."""
    data = body.parts[0].data
    array = from_npy(data) if body.type == NPY else from_json(parse_json(data), "latents")
    return _vectors(_batch(array, flow.prior.shape, "latents"), flow, "latents")


def inpainting_of(body: Body, flow: Flow, fit: bool) -> tuple[Tensor, Tensor]:
    """One item (1, *S) with nothing to rely on in its hidden places, and which those are (1, *S) bool.

    A npy body marks them by NaN, JSON by null unless it has a mask; multipart brings a mask beside the image, or a
    picture that is partly transparent.
    """
    if body.type == NPY:
        array = from_npy(body.parts[0].data)
        hidden = np.isnan(array) if array.dtype.kind == "f" else np.zeros(array.shape, dtype=bool)
    elif body.type == JSON:
        array, hidden = _item_and_mask(parse_json(body.parts[0].data))
    else:
        array, hidden = _picture_and_mask(body, flow, fit)
    if hidden.ndim == 2 and len(flow.item_shape) == 3:
        hidden = np.broadcast_to(hidden[..., None], flow.item_shape)
    whole = _batch(array, flow.item_shape, "image")
    mask = _batch(np.ascontiguousarray(hidden), flow.item_shape, "mask")
    if len(whole) != 1 or len(mask) != 1:
        raise WrongValue("one image is inpainted in one request; n= asks for several completions", "image")
    return checked(np.where(mask, np.zeros_like(whole), whole), flow, "image"), torch.from_numpy(mask)


def checked(array: Array, flow: Flow, field: str, first: int = 0) -> Tensor:
    """Numbers (N, *S), or one item (*S), as items of the flow; raises WrongValue with the first offending item.

    ``first`` is the index of the first of these items among all that the user sent.
    """
    batch = _batch(array, flow.item_shape, field)
    check = _levels if flow.is_image else _vectors
    starts = range(0, len(batch), _BLOCK)
    return torch.cat([check(batch[start : start + _BLOCK], flow, field, first + start) for start in starts])


def _levels(batch: Array, flow: Flow, field: str, first: int) -> Tensor:
    if batch.dtype.kind == "b":
        raise WrongValue(f"{field} must be levels 0 to 255 or fractions in [0, 1]", field)
    fractions = batch.dtype.kind == "f"
    bad = ~((batch >= 0) & (batch <= (1 if fractions else 255)))
    _refuse(bad, field, "[0, 1]" if fractions else "0 to 255", first)
    if not fractions:
        return torch.from_numpy(batch.astype(np.uint8))
    return flow.quantise(torch.from_numpy(batch.astype(np.float64)))


def _batch(array: Array, shape: tuple[int, ...], field: str) -> Array:
    if array.shape == shape:
        array = array[None]
    if array.shape[1:] != shape or not len(array):
        raise WrongValue(f"{field} must be of shape {_text(shape)} or (N, ...), not {_text(array.shape)}", field)
    return array


def _vectors(batch: Array, flow: Flow, field: str, first: int = 0) -> Tensor:
    vectors = torch.from_numpy(batch.astype(np.float64)).to(flow.dtype)
    domain = f"the finite numbers of {flow.dtype}".replace("torch.", "")
    _refuse(~np.isfinite(vectors.numpy()), field, domain, first)
    return vectors


def _refuse(bad: Array, field: str, domain: str, first: int) -> None:
    rows = bad.reshape(len(bad), -1).any(axis=1)
    if rows.any():
        index = first + int(rows.argmax())
        raise WrongValue(f"item {index} holds a number outside {domain}", f"{field}[{index}]")


def _pixels(part: Part, flow: Flow, fit: bool, field: str) -> Any:
    if part.type == NPY:
        raise WrongType("a multipart body holds PNG or JPEG files; send a npy batch as the whole body", field)
    return to_pixels(open_picture(part.data, field), flow.item_shape, fit, field)


def _item_and_mask(document: dict[str, Any]) -> tuple[Array, Array]:
    array, missing = from_json_with_gaps(document, "image")
    if "mask" not in document:
        if not missing.any():
            raise WrongValue("send a mask, or null where the image is unknown", "mask")
        return array, missing
    hidden = from_json(document, "mask").astype(bool)
    if hidden.shape == missing.shape and (missing & ~hidden).any():
        raise WrongValue("image is null at a place that the mask calls known", "image")
    return array, hidden


def _picture_and_mask(body: Body, flow: Flow, fit: bool) -> tuple[Array, Array]:
    parts = {part.name: part for part in body.parts}
    for name in parts.keys() - {"image", "mask"}:
        raise WrongValue(f"there is no part {name[:40]!r}; the parts are image and mask", name[:40])
    if "image" not in parts:
        raise WrongValue("the multipart body lacks the file image", "image")
    image, mask = _image(parts["image"], flow, fit)
    if "mask" in parts:
        explicit = _mask(parts["mask"], flow, fit)
        if mask is not None and mask.shape != explicit.shape:
            raise WrongValue(f"mask must be of shape {_text(mask.shape)}, as the image's transparency", "mask")
        mask = explicit if mask is None else mask | explicit
    if mask is None:
        raise WrongValue("send a mask, or an image with transparent pixels", "mask")
    return image, mask


def _image(part: Part, flow: Flow, fit: bool) -> tuple[Array, Array | None]:
    if part.type == NPY:
        return from_npy(part.data), None
    picture, transparent = split_transparency(open_picture(part.data, "image"))
    pixels = to_pixels(picture, flow.item_shape, fit, "image")
    return pixels, None if transparent is None else to_mask(transparent, flow.item_shape, fit, "image")


def _mask(part: Part, flow: Flow, fit: bool) -> Array:
    if part.type == NPY:
        return from_npy(part.data).astype(bool)
    if len(flow.item_shape) < 2:
        raise WrongValue("the model's items are no pictures; send the mask as npy", "mask")
    return to_mask(open_picture(part.data, "mask"), flow.item_shape, fit, "mask")


def _text(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))})"
