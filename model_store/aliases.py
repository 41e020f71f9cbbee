"""The aliases of one model: words that point at its versions, in ``aliases.json`` beside them."""

from __future__ import annotations

import json
import re
from pathlib import Path

from model_store.errors import UnknownModel
from model_store.files import read_object, replace_durably
from model_store.reference import ALIAS, LARGEST_VERSION

DEFAULT = "default"
"""The alias that a reference without a version means. The same key of ``store.json`` names the default model."""

ALIASES = "aliases.json"


def read_aliases(directory: Path) -> dict[str, int]:
    """Every alias in a model's directory with the version that it points at, whether that version is there or not.

    Entries that are no alias or no version count as none, and so does a file that is no JSON object.
    """
    return {
        alias: version
        for alias, version in read_object(directory, ALIASES).items()
        if re.fullmatch(ALIAS, alias) and type(version) is int and 1 <= version <= LARGEST_VERSION
    }


def write_alias(directory: Path, alias: str, version: int) -> None:
    """Point an alias at a version and keep the others. Raises UnknownModel for a word that cannot be an alias."""
    if not re.fullmatch(ALIAS, alias):
        raise UnknownModel(f"{alias[:80]!r} cannot be an alias: it starts with a lower-case letter")
    changed = {**read_aliases(directory), alias: version}
    replace_durably(directory / ALIASES, (json.dumps(changed, indent=1) + "\n").encode())
