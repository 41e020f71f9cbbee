"""The aliases of one model: words that point at its versions, in ``aliases.json`` beside them."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from model_store.errors import UnknownModel
from model_store.files import find_object, read_object, replace_durably, versions_in
from model_store.reference import ALIAS, LARGEST_VERSION

logger = logging.getLogger("sluice")

DEFAULT = "default"
"""The alias that a reference without a version means. The same key of ``store.json`` names the default model."""

ALIASES = "aliases.json"
UNREADABLE = "aliases.json.unreadable"
"""What was found in place of ``aliases.json`` by somebody who had to write it."""


def read_aliases(directory: Path) -> dict[str, int]:
    """Every alias in a model's directory with the version that it points at, whether that version is there or not.

    Entries that are no alias or no version count as none, and so does a file that is no JSON object.
    """
    return {
        alias: version
        for alias, version in read_object(directory, ALIASES).items()
        if re.fullmatch(ALIAS, alias) and type(version) is int and 1 <= version <= LARGEST_VERSION
    }


def check_alias(alias: str) -> None:
    """Raise UnknownModel for a word that cannot be an alias."""
    if not re.fullmatch(ALIAS, alias):
        raise UnknownModel(f"{alias[:80]!r} cannot be an alias: it starts with a lower-case letter")


def write_alias(directory: Path, alias: str, version: int, only_newer: bool = False) -> None:
    """Point an alias at a version; all else in the file stays. Raises UnknownModel for a word that cannot be an alias.

    With ``only_newer``, an alias that points at a larger version that is there stays as it is. Writers wait for each
    other. A file that is no JSON object is kept beside the new one, since somebody wrote it.
    """
    check_alias(alias)
    path = directory / ALIASES
    with _locked(directory):
        at = read_aliases(directory).get(alias, 0)
        if only_newer and at > version and at in versions_in(directory):
            return
        data = with_alias(directory, alias, version)
        if not readable(directory):
            path.replace(directory / UNREADABLE)
            logger.warning("%s is no JSON object; it is kept as %s", path, UNREADABLE)
        replace_durably(path, data)


def largest_named(directory: Path) -> int:
    """The largest version that an alias points at, whether it is there or not; 0 where there is none.

    The largest number of all does not count: no other could follow it, so somebody mistyped it.
    """
    return max((at for at in read_aliases(directory).values() if at < LARGEST_VERSION), default=0)


def readable(directory: Path) -> bool:
    """Whether the file of a model's directory is a JSON object, or is not there."""
    return find_object(directory, ALIASES) is not None or not os.path.lexists(directory / ALIASES)


def with_alias(directory: Path, alias: str, version: int) -> bytes:
    """What the file holds, with an alias pointed at a version; entries that are no alias are kept too."""
    return (json.dumps({**read_object(directory, ALIASES), alias: version}, indent=1) + "\n").encode()


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Alone among the writers of a model's aliases, on file systems that have locks."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
