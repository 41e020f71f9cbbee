"""What can be wrong with files that are to be scored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.protocol.errors import Problem


class UnusableFile(Exception):
    """A file cannot be scored; the message names it, and the item and the field at fault where there is one."""


@contextmanager
def named(path: Path | str) -> Iterator[None]:
    """Turns a refusal by the service's own checks into one that names the file."""
    try:
        yield
    except Problem as problem:
        raise UnusableFile(f"{path}: {in_options(problem.detail)}") from problem


def in_options(text: str) -> str:
    """What the service says of a request, with the option of a command in place of a parameter."""
    return text.replace("fit=true", "--fit")


def missing_extra(purpose: str, package: str, extra: str) -> UnusableFile:
    """The error of a package that is not installed because few need it."""
    return UnusableFile(f"{purpose}, {package} is needed: pip install 'sluice[{extra}]'")
