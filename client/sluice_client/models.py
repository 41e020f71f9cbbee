"""What the service tells of its models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any


@dataclass(frozen=True)
class Model:
    """One served model. ``document`` is what the service says of it, whole."""

    name: str
    version: int
    reference: str
    default: bool
    """Whether a request that names no model gets this one."""
    architecture: str
    item_shape: tuple[int, ...]
    item_dtype: str
    """`uint8` of images, `float32` of vectors."""
    quality: dict[str, dict[str, float]] = field(repr=False)
    document: dict[str, Any] = field(repr=False)

    @property
    def is_image(self) -> bool:
        return self.item_dtype == "uint8"

    @property
    def columns(self) -> tuple[dict[str, Any], ...]:
        """The columns of a table's model, in the order of a vector's entries; empty where it does not know them."""
        schema = self.document.get("schema") or {}
        return tuple(schema.get("columns", ()))

    def _repr_html_(self) -> str:
        rows = {
            key: value
            for key, value in self.document.items()
            if not isinstance(value, dict | list) or key == "item_shape"
        }
        return _html_table(["", self.reference], [[key, str(value)] for key, value in rows.items()])


class Models(Sequence[Model]):
    """The models of a service: those that serve, by place or by name, and those that do not."""

    def __init__(self, models: Sequence[Model], refused: dict[str, str], loading: Sequence[str]) -> None:
        self._models = list(models)
        self.refused = refused
        """`name@version` and the reason."""
        self.loading = list(loading)
        """Names that are still to be loaded."""

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, str):
            return self._models[key]
        for model in self._models:
            if key in (model.name, model.reference):
                return model
        raise KeyError(key)

    def __len__(self) -> int:
        return len(self._models)

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models)

    @property
    def names(self) -> list[str]:
        return [model.name for model in self._models]

    def __repr__(self) -> str:
        rows = self._rows()
        widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines += [f"{reference}: refused: {reason}" for reference, reason in self.refused.items()]
        lines += [f"{name}: still being loaded" for name in self.loading]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head, *rows = self._rows()
        return _html_table(head, rows)

    def _rows(self) -> list[list[str]]:
        rows = [
            [
                m.reference,
                "x".join(map(str, m.item_shape)),
                m.item_dtype,
                m.architecture,
                "default" if m.default else "",
            ]
            for m in self._models
        ]
        return [["model", "item", "dtype", "architecture", ""], *rows]


def model_of(document: dict[str, Any]) -> Model:
    """A model from the service's JSON."""
    return Model(
        name=document["name"],
        version=document["version"],
        reference=document["reference"],
        default=document["default"],
        architecture=document["architecture"],
        item_shape=tuple(document["item_shape"]),
        item_dtype=document["item_dtype"],
        quality=document["quality"],
        document=document,
    )


def models_of(document: dict[str, Any]) -> Models:
    """All models from the service's JSON."""
    return Models(
        [model_of(model) for model in document["models"]],
        {f"{refused['name']}@{refused['version']}": refused["reason"] for refused in document["refused"]},
        document.get("loading", []),
    )


@dataclass(frozen=True)
class Limits:
    """What one request may hold. The defaults are those of a service that does not tell."""

    max_items: int = 10_000
    max_n: int = 1024
    max_body_bytes: int = 64 * 2**20


def limits_of(document: dict[str, Any]) -> Limits:
    """The limits in the answer of `GET /models`."""
    told = document.get("limits", {})
    return Limits(**{name: int(told[name]) for name in Limits.__dataclass_fields__ if name in told})


def _html_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return f"<table>{line(head, 'th')}{''.join(line(row, 'td') for row in rows)}</table>"
