"""The page of the store's format, whose tables come from the classes of the manifest."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from docs.generate.fields import docstrings
from docs.generate.markdown import Table, code, first_line, one_line
from flows import ARCHITECTURES
from model_store.manifest import FORMAT, Manifest

HEAD = """\
# Store format

A model store is a directory, or a folder of an [object store](../object-store.md) with the same layout. Nothing in it
is ever executed: weights are safetensors, everything else is JSON, Markdown and PNG.

```text
<store>/<name>/<version>/       version: 1, 2, 3 …; immutable once published
    model.safetensors           weights and buffers: tensors only, never pickle
    golden.safetensors          a few held-out items and their log-likelihoods, for the self-test
    calibration.safetensors     what p-values rest on, where the model was calibrated
    map.safetensors             what maps of pictures rest on, where there are maps
    draws.png                   items that the flow drew, for the initial points of inpaintings: a flow with sharp modes
    README.md, *.png            the model card and its pictures
    manifest.json               describes the version and lists the other files with sha256 and size; written last
<store>/<name>/aliases.json     {{"default": 3, …}}
<store>/store.json              {{"default": "mnist"}}: the model of a request that names none
```

A version is whole when its directory has a number for its name: it is written under a hidden name on the same file
system, synced, and renamed. To back a store up, copy it with any tool that copies files; copy `aliases.json` and
`store.json` after the versions. [Production](../guides/production.md#back-up-the-store) has the commands, and
[architecture](../architecture.md#a-published-model) says what is checked when a version is loaded.

The format is number {format}. A reader refuses another number, unknown keys, wrong types and numbers that are not
finite. Fields that may be absent were added later; versions without them stay readable.

"""


def page() -> str:
    """The page as Markdown."""
    parts = [HEAD.format(format=FORMAT), "## manifest.json\n\n"]
    for record in _reached(Manifest):
        if record is not Manifest:
            parts.append(f"### {record.__name__}\n\n")
        parts += [f"{_words(record)}\n\n", _table(record), "\n"]
    names = ", ".join(code(name) for name in ARCHITECTURES)
    return "".join(parts) + f"## Architectures\n\nThe allow-list of `architecture.name`: {names}.\n"


def _words(record: type) -> str:
    """Its docstring without the example."""
    return one_line((record.__doc__ or "").split(">>>")[0])


def _fields(record: type) -> Iterator[tuple[str, Any, bool]]:
    """Name in the JSON, type, and whether it must be there."""
    if issubclass(record, BaseModel):
        for name, field in record.model_fields.items():
            yield field.alias or name, field.annotation, field.is_required()
    else:
        hints = typing.get_type_hints(record)
        for each in dataclasses.fields(typing.cast(Any, record)):
            yield each.name, hints[each.name], each.default is dataclasses.MISSING


def _reached(record: type) -> list[type]:
    """A record and those that its fields hold, each once, from the outside in."""
    found = [record]
    for each in found:  # grows while it is read
        for _, annotation, _ in _fields(each):
            found += [inner for inner in _records(annotation) if inner not in found]
    return found


def _records(annotation: Any) -> list[type]:
    """The records inside a type."""
    if isinstance(annotation, type) and (issubclass(annotation, BaseModel) or dataclasses.is_dataclass(annotation)):
        return [annotation]
    return [record for argument in get_args(annotation) for record in _records(argument)]


def _table(record: type) -> str:
    meanings = docstrings(record)
    if issubclass(record, BaseModel):
        meanings |= {field.alias: meanings.get(name, "") for name, field in record.model_fields.items() if field.alias}
    table = Table("field", "type", "meaning")
    for name, annotation, required in _fields(record):
        inner = _records(annotation)
        meaning = meanings.get(name) or (first_line(inner[0]) if inner else "")
        table.row(code(name), _kind(annotation) + ("" if required else " (may be absent)"), meaning)
    return table.text()


def _kind(annotation: Any) -> str:
    """A type in words, with links to the tables of other models."""
    if annotation is type(None):
        return "null"
    if annotation is Any:
        return "any"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is typing.Annotated:
        return _kind(arguments[0])
    if origin is Literal:
        return " or ".join(code(str(each)) for each in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_kind(each) for each in arguments)
    if origin in (list, tuple):
        return f"array of {_kind(arguments[0])}"
    if origin is dict:
        return f"object of {_kind(arguments[1])}"
    if _records(annotation):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    return {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}[annotation.__name__]
