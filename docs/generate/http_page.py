"""The pages of the HTTP API and of its /v2 part, from the OpenAPI description of the application."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from docs.generate.markdown import Table, code, one_line
from model_store import Store, default_root
from service.api.app import create_app
from service.api.v2.signatures import OTHERS, SCORE, Called, Signature, TensorInfo, name_of
from service.device.descriptions import info_of

HEAD = """\
# HTTP API

Every call, as `/openapi.json` of a running service describes it. `/docs` of a service shows the same and lets you try
it. The calls of the Open Inference Protocol are on [a page of their own](v2.md).

- A model is named by `name`, `name@version` or `name@alias`.
- Errors are problem documents (`application/problem+json`, RFC 9457). `detail` says what is wrong, `field` names the
  field at fault, `error` repeats `detail` for clients of the Open Inference Protocol.
- A request with an API key bears it as `X-API-Key` or as `Authorization: Bearer`: [API keys](../keys.md).

| status | means |
|---|---|
| 400 | the body is malformed |
| 401, 403 | no key or token, an unknown or expired one; one without the scope |
| 404 | no such model, version, task or address |
| 406 | no representation that `Accept` allows |
| 408, 431 | the head or the body came too slowly; the head is too large |
| 409 | another inpainting has this id |
| 413 | too large: bytes, pixels or items |
| 415 | a media type or content encoding that is not read |
| 421 | a host name that the service does not answer to |
| 422 | the right form and a wrong value |
| 429 | too much waits, or a key has reached its limit; `Retry-After` says when to come back |
| 503 | not ready, or draining; with `Retry-After` nothing was done |
| 504 | the deadline has passed |

"""
HEAD_V2 = """\
# Open Inference Protocol v2

The calls under `/v2`, from the same OpenAPI description as the [HTTP API](http-api.md). What the protocol is for, with
examples for curl and for Triton's client: [protocol](../protocol.md).

## Functions of a model

Each model is listed once for each function. An extent of -1 is decided by the request. The tables show the tensors of
`mnist-nice`, a calibrated model of grey images of 28 by 28 pixels. A model of vectors takes and gives `FP32` items of
shape [-1, D] and has no `bits_per_dim`. A model of a table has its columns as inputs and outputs by name as well.

"""
_TITLES = {
    "inference": "Computing",
    "models": "Models",
    "administration": "Administration",
    "operation": "Probes and metrics",
    "open inference protocol": "Metadata",
}


class _Operation(NamedTuple):
    method: str
    path: str
    document: dict[str, Any]


@cache
def _description() -> dict[str, Any]:
    return create_app().openapi()


def page() -> str:
    """The calls outside of /v2."""
    return HEAD + _calls(v2=False) + "## Documents\n\nObjects in JSON answers.\n\n" + _documents(v2=False)


def page_v2() -> str:
    """The calls under /v2, and what each function of a model takes and gives."""
    store = Store(default_root())
    model = info_of(store.load(*store.resolve("mnist-nice")), ())
    parts = [HEAD_V2]
    for kind in (SCORE, *OTHERS):
        called = Called(model, kind, name_of(model.name, kind))
        parts += [f"### `{called.name}`\n\n", _tensors(called.signature()), "\n"]
    return "".join(parts) + _calls(v2=True) + "## Documents\n\n" + _documents(v2=True)


def _tensors(found: Signature) -> str:
    table = Table("tensor", "", "datatype", "shape", "")
    for way, tensors in (("in", found.inputs), ("out", found.outputs)):
        for tensor in tensors:
            table.row(code(tensor.name), way, tensor.datatype, str(list(tensor.shape)), _remark(way, tensor))
    return table.text()


def _remark(way: str, tensor: TensorInfo) -> str:
    if not tensor.optional:
        return ""
    return "optional" if way == "in" else "when asked for"


def _operations(v2: bool) -> Iterator[_Operation]:
    for path, methods in _description()["paths"].items():
        if path.startswith("/v2") == v2:
            for method, document in methods.items():
                yield _Operation(method.upper(), path, document)


def _calls(v2: bool) -> str:
    """Every call, under the heading of its tag."""
    groups: dict[str, list[_Operation]] = {}
    for operation in _operations(v2):
        groups.setdefault(operation.document.get("tags", ["operation"])[0], []).append(operation)
    return "".join(
        f"## {_TITLES[tag]}\n\n" + "".join(_call(operation) for operation in operations)
        for tag, operations in groups.items()
    )


def _call(operation: _Operation) -> str:
    document = operation.document
    parts = [f"### `{operation.method} {operation.path}`\n\n"]
    if document.get("description"):
        parts.append(f"{document['description'].strip()}\n\n")
    parameters = Table("parameter", "in", "type", "default", "meaning")
    for each in document.get("parameters", ()):
        schema, (default, kind) = each["schema"], _of(each["schema"])
        parameters.row(
            code(each["name"]), each["in"], kind, default, each.get("description") or schema.get("description", "")
        )
    if parameters:
        parts += [parameters.text(), "\n"]
    body = document.get("requestBody", {}).get("content", {})
    if body:
        parts.append(f"Body: {', '.join(code(kind) for kind in body)}.\n\n")
    answers = [_answer(status, answer) for status, answer in document["responses"].items() if int(status) < 400]
    parts.append("Answers: " + "; ".join(answers) + ".")
    refusals = sorted(status for status in document["responses"] if int(status) >= 400)
    parts.append(f" Errors: {', '.join(refusals)}.\n\n" if refusals else "\n\n")
    return "".join(parts)


def _answer(status: str, answer: dict[str, Any]) -> str:
    kinds = []
    for kind, content in answer.get("content", {}).items():
        name = _reference(content.get("schema", {}))
        kinds.append(f"{code(kind)} ([{name}](#{name.lower()}))" if name else code(kind))
    words = answer["description"] if answer["description"] != "Successful Response" else ""
    return " ".join(each for each in (status, f"({words})" if words else "", ", ".join(kinds)) if each)


def _documents(v2: bool) -> str:
    """The schemas that the calls of a page answer with, and those inside them."""
    schemas = _description()["components"]["schemas"]
    wanted: list[str] = []
    for operation in _operations(v2):
        contents = [
            *operation.document.get("requestBody", {}).get("content", {}).values(),
            *(
                content
                for answer in operation.document["responses"].values()
                for content in answer.get("content", {}).values()
            ),
        ]
        for content in contents:
            wanted += _references(content.get("schema", {}))
    for name in wanted:  # grows while it is read
        wanted += [other for other in _references(schemas[name]) if other not in wanted]
    parts = []
    for name in sorted(set(wanted)):
        schema = schemas[name]
        parts.append(f"### {name}\n\n")
        if schema.get("description"):
            parts.append(f"{one_line(schema['description'])}\n\n")
        fields = Table("field", "type", "meaning")
        for field, kind in schema.get("properties", {}).items():
            optional = "" if field in schema.get("required", ()) else " (may be absent)"
            fields.row(code(field), _of(kind)[1] + optional, kind.get("description", ""))
        parts += [fields.text(), "\n"]
    return "".join(parts).rstrip() + "\n"


def _references(schema: Any) -> list[str]:
    """Names of the schemas that a schema mentions."""
    if isinstance(schema, dict):
        found = [schema["$ref"].rpartition("/")[2]] if "$ref" in schema else []
        return found + [name for value in schema.values() for name in _references(value)]
    return [name for value in schema for name in _references(value)] if isinstance(schema, list) else []


def _reference(schema: dict[str, Any]) -> str:
    return schema["$ref"].rpartition("/")[2] if "$ref" in schema else ""


def _of(schema: dict[str, Any]) -> tuple[str, str]:
    """The default and the type of a schema, in words."""
    default = schema.get("default")
    shown = code(str(default).lower() if isinstance(default, bool) else str(default)) if default is not None else ""
    return shown, _kind(schema)


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = _reference(schema)
        return f"[{name}](#{name.lower()})"
    if "const" in schema:
        return code(str(schema["const"]))
    if "enum" in schema:
        return " or ".join(code(str(each)) for each in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"])
    if schema.get("type") == "array":
        items = _kind(schema["items"]) if schema.get("items") else ""
        return f"array of {items}" if items else "array"
    if schema.get("type") == "object" and schema.get("additionalProperties") not in (None, False, True):
        return f"object of {_kind(schema['additionalProperties'])}"
    words = [str(schema.get("type", "any"))]
    for key, text in (
        ("minimum", "at least {}"),
        ("exclusiveMinimum", "above {}"),
        ("maximum", "at most {}"),
        ("exclusiveMaximum", "below {}"),
    ):
        if key in schema:
            words.append(text.format(schema[key]))
    return ", ".join(words)
