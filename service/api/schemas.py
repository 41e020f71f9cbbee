"""OpenAPI of documents that are msgspec structs: their schemas go where FastAPI keeps those of pydantic models."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI
from msgspec import Struct

from service.api.authority import scope_of
from service.api.operations import problems
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


def install(app: FastAPI, asks_for_keys: bool) -> None:
    """Let the application's OpenAPI hold the schemas of all structs that its routes refer to, and tell of API keys."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = plain()
            _, components = msgspec.json.schema_components(_known, ref_template=_TEMPLATE)
            document.setdefault("components", {}).setdefault("schemas", {}).update(components)
            if asks_for_keys:
                _tell_of_keys(document)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _tell_of_keys(document: dict[str, Any]) -> None:
    """Say in every operation that is not public how a key is shown, and how a request without one is refused."""
    document["components"].setdefault("securitySchemes", {}).update(
        {
            "BearerKey": {"type": "http", "scheme": "bearer", "description": "An API key"},
            "HeaderKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
    )
    for path, operations in document["paths"].items():
        if scope_of(path) is None:
            continue
        for operation in operations.values():
            operation["security"] = [{"BearerKey": []}, {"HeaderKey": []}, *operation.get("security", [])]
            operation["responses"].update({str(status): problem for status, problem in problems(401, 403).items()})
