"""What can be wrong with files that are to be scored, and with those that are written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.offline.printable import printable
from service.protocol.errors import Problem


class UnusableFile(Exception):
    """A file cannot be scored or written; the message names it, and the item and the field at fault if there is one.

    The message can be written anywhere, whatever the name of the file.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


@contextmanager
def named(path: Path | str) -> Iterator[None]:
    """Turns a refusal by the service's own checks into one that names the file."""
    try:
        yield
    except Problem as problem:
        raise UnusableFile(f"{path}: {in_options(problem.detail)}") from problem


class UnwritableFile(UnusableFile):
    """The system refused to write."""


@contextmanager
def writable(name: Path | str) -> Iterator[None]:
    """Turns what the system raises of a write into an UnwritableFile that names the file or stream.

    A pipe without a reader stays one: the command ends then without a word.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UnwritableFile(f"{name}: cannot be written: {error.strerror or error}") from error


def in_options(text: str) -> str:
    """What the service says of a request, with the option of a command in place of a parameter."""
    return text.replace("fit=true", "--fit")


def missing_extra(purpose: str, package: str, extra: str) -> UnusableFile:
    """The error of a package that is not installed because few need it."""
    return UnusableFile(f"{purpose}, {package} is needed: pip install 'sluice[{extra}]'")
