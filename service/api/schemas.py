"""OpenAPI of documents that are msgspec structs: their schemas go where FastAPI keeps those of pydantic models."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI
from msgspec import Struct

from service.media.types import JSON

_TEMPLATE = "#/components/schemas/{name}"
_known: list[type[Struct]] = []


def answered(kind: type[Struct], *binary: str) -> dict[str, Any]:
    """OpenAPI of an answer that is this document, or comes in one of the binary representations."""
    return {
        "description": "Successful Response",
        "content": {
            JSON: {"schema": schema_of(kind)},
            **{form: {"schema": {"type": "string", "format": "binary"}} for form in binary},
        },
    }


def schema_of(kind: type[Struct]) -> dict[str, Any]:
    """A reference to the schema of a struct; the schema itself is written by ``install``."""
    if kind not in _known:
        _known.append(kind)
    return {"$ref": _TEMPLATE.format(name=kind.__name__)}


def install(app: FastAPI) -> None:
    """Let the application's OpenAPI hold the schemas of all structs that its routes refer to."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = plain()
            _, components = msgspec.json.schema_components(_known, ref_template=_TEMPLATE)
            document.setdefault("components", {}).setdefault("schemas", {}).update(components)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
