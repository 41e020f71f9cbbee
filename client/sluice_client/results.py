"""Items and latents that come back: arrays that show themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sluice_client.arrays import rows_of
from sluice_client.npy import Array
from sluice_client.pictures import MOST_SHOWN, coloured, grid, png, scatter, shown, to_image

if TYPE_CHECKING:
    from PIL.Image import Image

_ROWS = 10
"""Vectors that a notebook shows."""


class _Batch:
    """An array of items with what belongs to it. numpy takes it for an array."""

    array: Array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if dtype is not None:
            return self.array.astype(dtype)
        return self.array.copy() if copy else self.array

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, key: Any) -> Any:
        return self.array[key]

    def __iter__(self) -> Iterator[Array]:
        return iter(self.array)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape


class _Pictured(_Batch):
    """Items (N, ...) of a model, which have a picture where they are images or points of the plane."""

    @property
    def is_image(self) -> bool:
        return self.array.dtype == np.uint8 and self.array.ndim >= 3

    @property
    def is_planar(self) -> bool:
        """Whether the items are points of the plane."""
        return self.array.shape[1:] == (2,) and self.array.dtype.kind == "f"

    def images(self) -> list[Image]:
        """An image of Pillow's for each item. Raises TypeError for vectors."""
        if not self.is_image:
            raise TypeError(f"items of shape {self.array.shape[1:]} are no images")
        return [to_image(pixels) for pixels in self.array]

    def image(self) -> Image:
        """All items as one picture: a grid of images, a scatter of points. Raises TypeError for other vectors."""
        if self.is_image:
            return to_image(grid(self.array))
        if self.is_planar:
            return scatter(self.array)
        raise TypeError(f"vectors of {self.array.shape[1:]} entries have no picture")

    def save(self, path: str | Path) -> None:
        """Write the picture as PNG, or the array where the path ends in .npy."""
        if Path(path).suffix.lower() == ".npy":
            np.save(path, self.array)
        else:
            Path(path).write_bytes(png(self.image()))

    def _repr_png_(self) -> bytes | None:
        if self.is_image:
            return shown(to_image(grid(self.array[:MOST_SHOWN])))
        return shown(scatter(self.array)) if self.is_planar else None

    def _repr_html_(self) -> str | None:
        if self.is_image or self.array.ndim != 2 or self.is_planar:
            return None  # the picture says more
        rows = "".join(
            "<tr>" + "".join(f"<td>{escape(_text(cell))}</td>" for cell in row) + "</tr>" for row in self.array[:_ROWS]
        )
        more = f"<p>… {len(self) - _ROWS} more</p>" if len(self) > _ROWS else ""
        return f"<p>{escape(repr(self))}</p><table>{rows}</table>{more}"


def _text(cell: Any) -> str:
    return f"{cell:.6g}" if isinstance(cell, float | np.floating) else str(cell)


@dataclass(frozen=True, eq=False)
class Samples(_Pictured):
    """Items (N, *S) that a model drew. The same ``seed`` draws them again."""

    array: Array = field(repr=False)
    model: str
    seed: int

    def __repr__(self) -> str:
        return f"Samples({self.model}, n={len(self)}, shape={self.array.shape[1:]}, seed={self.seed})"


@dataclass(frozen=True, eq=False)
class Decoded(_Pictured):
    """Items (N, *S) that latents stand for. ``log_abs_det`` (N,) in nats is None unless it was asked for."""

    array: Array = field(repr=False)
    model: str
    log_abs_det: Array | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        return f"Decoded({self.model}, n={len(self)}, shape={self.array.shape[1:]})"


@dataclass(frozen=True, eq=False)
class Latents(_Batch):
    """Latents (N, *Z) of items. ``log_abs_det`` (N,) in nats is None unless it was asked for."""

    array: Array = field(repr=False)
    model: str
    log_abs_det: Array | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        return f"Latents({self.model}, n={len(self)}, shape={self.array.shape[1:]})"


@dataclass(frozen=True, eq=False)
class Maps(_Batch):
    """For each of N images how strange it is at each pixel (N, H, W), float32."""

    array: Array = field(repr=False)
    model: str

    def image(self) -> Image:
        """All maps as one picture, from dark (least) to light (greatest): colours that the colour-blind tell apart."""
        return to_image(grid(coloured(self.array)))

    def _repr_png_(self) -> bytes:
        return shown(to_image(grid(coloured(self.array[:MOST_SHOWN]))))

    def __repr__(self) -> str:
        return f"Maps({self.model}, n={len(self)}, shape={self.array.shape[1:]})"


@dataclass(frozen=True, eq=False)
class Completions(_Pictured):
    """Completions (n, *S) of one item, the likeliest first. What was known is as it was sent."""

    array: Array = field(repr=False)
    model: str
    seed: int
    method: str
    state: str
    """`done`, or `stopped` where it was ended early."""
    documents: list[dict[str, Any]] = field(repr=False)
    """What the service says of each completion, without its pixels: `trace`, `gradient_norm`, `acceptance`, …"""
    columns: tuple[str, ...] = ()
    """The names of a row's cells, for a model that knows its columns; its array holds words as they are."""

    @property
    def log_likelihood(self) -> Array:
        """Nats (n,)."""
        return np.array([document["log_likelihood"] for document in self.documents])

    @property
    def steps(self) -> Array:
        """Steps taken (n,)."""
        return np.array([document["steps"] for document in self.documents])

    @property
    def converged(self) -> Array:
        """Whether each ended because nothing more was to be gained (n,)."""
        return np.array([document["converged"] for document in self.documents])

    def __repr__(self) -> str:
        best = f"{self.log_likelihood[0]:.6g} nats"
        return f"Completions({self.model}, n={len(self)}, best {best}, {self.method}, {self.state}, seed={self.seed})"


def completions_of(document: dict[str, Any]) -> Completions:
    """Completions from the service's JSON."""
    documents = [{name: value for name, value in item.items() if name != "pixels"} for item in document["items"]]
    array, columns = rows_of([item["pixels"] for item in document["items"]])
    return Completions(
        array=array,
        columns=columns,
        model=document["model"],
        seed=document["seed"],
        method=document["method"],
        state=document["state"],
        documents=documents,
    )
