"""The page of the settings, from the fields of `Settings` and the docstrings below them."""

from __future__ import annotations

import re
from typing import Any

import annotated_types
from pydantic.fields import FieldInfo
from sluice_client import sending

from docs.generate.fields import docstrings
from docs.generate.markdown import Table, code, one_line
from model_store import signatures
from service import logs, settings
from service.settings import Settings

HEAD = """\
# Settings

Every setting is an environment variable. `sluice serve` and the other commands read them when they start; an empty
variable counts as unset. Options of a command, such as `--port`, win over the environment: [command
line](command-line.md).

A value that a setting refuses ends the command with a line that names the variable.

"""
TAIL = f"""
## Read elsewhere

| variable | read by | meaning |
|---|---|---|
| `{logs.FORMAT}` | every process of the service | `json`: each line of the log is a JSON object |
| `{signatures.SIGNING_KEY}` | commands that publish | \
the private key that signs each new version: [security](../security.md#signed-models) |
| `{sending.URL}` | the [Python client](../client.md) | the address of the service |
| `{sending.KEY}` | the Python client | the API key |

[Docker](../docker.md) lists what Compose reads.
"""
_BOUNDS = {
    annotated_types.Ge: ("ge", "at least {}"),
    annotated_types.Gt: ("gt", "more than {}"),
    annotated_types.Le: ("le", "at most {}"),
    annotated_types.Lt: ("lt", "less than {}"),
}
_MADE: dict[Any, str] = {settings.shipped_store: "the store that ships", settings.cache_folder: code("~/.cache/sluice")}
"""What functions that make a default give."""
_KINDS = {"int": "whole number", "float": "number", "bool": "true or false", "str": "text", "Path": "path"}


def page() -> str:
    """The page as Markdown."""
    meanings = docstrings(Settings)
    table = Table("variable", "default", "values", "meaning")
    for name, field in Settings.model_fields.items():
        table.row(
            code(f"SLUICE_{name.upper()}"), _default(field), _values(field), _linked(one_line(meanings.get(name, "")))
        )
    return HEAD + table.text() + TAIL


def undocumented() -> list[str]:
    """Settings without a docstring."""
    return sorted(set(Settings.model_fields) - set(docstrings(Settings)))


def _linked(text: str) -> str:
    """Pages that a docstring names become links."""
    return re.sub(r"\bdocs/([\w-]+)\.md\b", r"[\1](../\1.md)", text)


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return _MADE[field.default_factory]
    value: Any = field.default
    if value is None or value == "":
        return "unset"
    if isinstance(value, bool):
        return code(str(value).lower())
    if isinstance(value, int) and value >= 2**20 and value % 2**20 == 0:
        return f"{code(str(value))} ({value // 2**20} Mi)"
    return code(f"{value:g}" if isinstance(value, float) else str(value))


def _values(field: FieldInfo) -> str:
    """The type and the bounds, in words."""
    arguments = getattr(field.annotation, "__args__", None)
    if arguments and all(isinstance(each, str) for each in arguments):
        return " or ".join(code(each) for each in arguments)
    kinds, bounds = [], list(field.metadata)
    for kind in arguments or (field.annotation,):
        bounds += getattr(kind, "__metadata__", ())
        name = getattr(getattr(kind, "__origin__", kind), "__name__", "")
        if name != "NoneType":
            kinds.append(_KINDS[name])
    words = [text.format(getattr(bound, attribute)) for bound, (attribute, text) in _pairs(bounds)]
    return ", ".join([*kinds, *words])


def _pairs(bounds: list[Any]) -> list[tuple[Any, tuple[str, str]]]:
    """Each bound, and how it is read and written; pydantic keeps several in one object."""
    flat = [each for bound in bounds for each in getattr(bound, "metadata", None) or [bound]]
    return [(bound, _BOUNDS[type(bound)]) for bound in flat if type(bound) in _BOUNDS]
