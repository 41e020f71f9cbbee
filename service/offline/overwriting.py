"""Refusals of outputs that would replace what a command reads, or be read by the next run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from service.offline.sources import files_of
from service.offline.unusable import UnusableFile


def refuse_file_among_inputs(option: str, output: Path, given: Sequence[Path], known: tuple[str, ...] = ()) -> None:
    """Raises UnusableFile where a file to write is one that is read, or lies where a later run would read it.

    Of a folder in ``given`` the files are read whose names end as ``known``.
    """
    # What is read may be the name that was given, which can be a link, or the file that it leads to.
    places = {Path(os.path.realpath(output.parent), output.name), Path(os.path.realpath(output))}
    for path in given:
        if path.is_dir() and any(place.name.lower().endswith(known) and _is_seen(place, path) for place in places):
            raise UnusableFile(f"{option}: {output} lies in {path}, whose files are read; name another one, outside it")
    if not os.path.isfile(output):  # a device or a pipe replaces nothing
        return
    here = identity(output)
    if any(identity(file) == here for path in given for file in _read(path, known)):
        raise UnusableFile(f"{option}: {output} is a file that is read; name another one")


def refuse_folder_among_inputs(output: Path | str, given: Sequence[Path | str]) -> None:
    """Raises UnusableFile where a run into a folder would read its own parts when it goes on. A text is a URL."""
    for place in given:
        if isinstance(place, str) and isinstance(output, str):
            within = f"{output.rstrip('/')}/".startswith(f"{place.rstrip('/')}/")
        elif isinstance(place, Path) and isinstance(output, Path):
            within = place.is_dir() and _is_seen(output.resolve(), place)
        else:
            within = False
        if within:
            shown = output.rstrip("/") if isinstance(output, str) else output
            raise UnusableFile(
                f"--output: {shown} is or lies in {place}, whose files are read: a run that goes on would read its own "
                "parts; name a folder outside it"
            )


def identity(path: Path) -> tuple[int, int] | None:
    """The device and inode of a file; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _is_seen(place: Path, folder: Path) -> bool:
    """Whether a resolved path is or lies in a folder, and neither it nor a folder between is hidden."""
    whole = folder.resolve()
    return place.is_relative_to(whole) and not any(part.startswith(".") for part in place.relative_to(whole).parts)


def _read(given: Path, known: tuple[str, ...]) -> Iterator[Path]:
    if not given.is_dir():
        yield given
        return
    with suppress(UnusableFile):  # which is told when the files are to be read
        yield from files_of(given, known)
