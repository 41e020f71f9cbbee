"""How a request calls a model: `name`, `name@version` or `name@alias`."""

from __future__ import annotations

import re
from typing import NamedTuple

from model_store.errors import UnknownModel

NAME = r"[a-z0-9]+(?:[._-][a-z0-9]+)*"
ALIAS = r"[a-z][a-z0-9]*(?:[._-][a-z0-9]+)*"
VERSION = r"[1-9][0-9]{0,8}"
LARGEST_VERSION = 10**9 - 1
LONGEST_NAME = 64

_REFERENCE = re.compile(rf"(?P<name>{NAME})(?:@(?:(?P<version>{VERSION})|(?P<alias>{ALIAS})))?")


class Reference(NamedTuple):
    """A parsed reference. Without version and alias it means the alias `default`."""

    name: str
    version: int | None = None
    alias: str | None = None


def parse(text: str) -> Reference:
    """Parse a reference. Raises UnknownModel for text that cannot be one, before any path is made of it."""
    match = _REFERENCE.fullmatch(text) if len(text) <= 2 * LONGEST_NAME else None
    if match is None:
        raise UnknownModel(f"{text[:80]!r} is not a model reference: name, name@version or name@alias")
    version = match["version"]
    return Reference(match["name"], int(version) if version else None, match["alias"])


def is_name(text: str) -> bool:
    """Whether text may name a model."""
    return len(text) <= LONGEST_NAME and re.fullmatch(NAME, text) is not None
