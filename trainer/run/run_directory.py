"""Where a run keeps its state: a directory, or a URL of an object store behind a directory of this machine.

At a URL the state is written in an order that no reader can mistake: the file under a name that holds its sha256, then
the pointer `state.json`, which names it, on the condition that nobody else has moved the pointer meanwhile. A run that
is killed in between leaves the state before it.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

import msgspec

from model_store import StoreError
from model_store.remote.objects import Missing, Objects, Unreachable, is_url
from trainer.errors import RunStateError
from trainer.run.state import FILE

logger = logging.getLogger("sluice")

POINTER = "state.json"
_BEGINS, _ENDS = "state-", ".safetensors"
_LARGEST_POINTER = 4096
_PICTURES = "*.png"
_DOWNLOADS = 3
"""How often a state is asked for that another run replaces while it comes."""


class _Pointer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The document that names the current state."""

    file: str
    size: int
    sha256: str


class RunDirectory:
    """A directory of this machine, or of a network that all machines of the run see."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def below(self, name: str) -> RunDirectory:
        """The run directory of a part of the run, such as one of several flows."""
        return RunDirectory(self.path / name)

    def forget(self) -> None:
        """Remove the state, if there is one, and the directory where it is empty then. Other files stay.

        Raises RunStateError, or StoreError, where the state cannot be removed.
        """
        try:
            (self.path / FILE).unlink(missing_ok=True)
        except OSError as error:
            raise RunStateError(
                f"{self.path / FILE}: the state of the run cannot be removed: {error.strerror}"
            ) from error
        with suppress(OSError):  # it is not there, or holds files that are not the run's
            self.path.rmdir()

    def bring(self) -> None:
        """Have the last state in ``path``, if there is one. Raises RunStateError or StoreError."""

    def holds_state(self) -> bool:
        """Whether there is a state, which is in ``path`` then. Raises RunStateError or StoreError."""
        self.bring()
        return (self.path / FILE).exists()

    def keep(self) -> str | None:
        """Keep the state that was written into ``path``; what went wrong, where the run may go on."""
        return None

    def settle(self) -> None:
        """Make sure that the last state is kept. Raises RunStateError or StoreError where it is not."""


class RemoteRunDirectory(RunDirectory):
    """What lies below a URL, with a copy in ``path``. Belongs to the rank that leads.

    Storage that does not answer for a while ends no run: the next state is kept instead. A run into whose URL another
    run has written is ended.
    """

    def __init__(self, url: str, path: Path) -> None:
        super().__init__(path)
        self._url = url.rstrip("/")
        self._objects = Objects(self._url)
        self._there = False
        """Whether there is a pointer, as far as this run knows."""
        self._etag: str | None = None
        """That of the pointer."""
        self._kept, self._known = True, False
        self._sent: dict[str, int] = {}

    def __str__(self) -> str:
        return self._url

    def below(self, name: str) -> RunDirectory:
        return RemoteRunDirectory(f"{self._url}/{name}", self.path / name)

    def forget(self) -> None:
        super().forget()
        self._objects.delete(POINTER)

    def bring(self) -> None:
        for attempt in range(1, _DOWNLOADS + 1):
            pointer = self._pointer()
            if pointer is None:
                return
            try:
                self._download(pointer)
                return
            except Missing as error:  # another run has replaced it since the pointer was read
                if attempt == _DOWNLOADS:
                    raise RunStateError(f"{self._url}: {POINTER} names a state that is not there") from error

    def keep(self) -> str | None:
        self._kept = False
        try:
            self._upload()
        except Unreachable as error:
            return f"{error}; the run goes on, and its next state is kept there instead"
        self._kept = True
        return None

    def settle(self) -> None:
        if not self._kept:
            self._upload()
            self._kept = True
        with suppress(Unreachable):  # a picture is no reason to fail
            self._upload_pictures()

    def _pointer(self) -> _Pointer | None:
        """The pointer that there is, whose ETag is remembered."""
        self._known = True
        try:
            self._etag = self._objects.stat(POINTER).etag
            data = self._objects.read_small(POINTER, _LARGEST_POINTER)
        except Missing:
            self._there = False
            return None
        self._there = True
        try:
            return msgspec.json.decode(data, type=_Pointer)
        except msgspec.DecodeError as error:
            raise RunStateError(f"{self._url}/{POINTER}: names no state: {error}") from error

    def _download(self, pointer: _Pointer) -> None:
        if "/" in pointer.file or not pointer.file.startswith(_BEGINS):
            raise RunStateError(f"{self._url}/{POINTER}: {pointer.file[:80]!r} is no name of a state")
        if (size := self._objects.stat(pointer.file).size) != pointer.size:
            raise RunStateError(f"{self._url}/{pointer.file}: has {size:,} bytes, not {pointer.size:,}")
        self.path.mkdir(parents=True, exist_ok=True)
        hidden, digest = self.path / f".{FILE}.download", hashlib.sha256()
        with hidden.open("wb") as file:

            def piece(data: bytes) -> None:
                digest.update(data)
                file.write(data)

            self._objects.read(pointer.file, pointer.size, piece)
        if digest.hexdigest() != pointer.sha256:
            hidden.unlink()
            raise RunStateError(f"{self._url}/{pointer.file}: its sha256 is not that of {POINTER}")
        hidden.replace(self.path / FILE)

    def _upload(self) -> None:
        data = (self.path / FILE).read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        name = f"{_BEGINS}{digest[:16]}{_ENDS}"
        if not self._known:  # a run that began from the beginning
            with suppress(RunStateError):  # a damaged pointer is replaced
                self._pointer()
        self._objects.replace(name, data)
        self._point(msgspec.json.encode(_Pointer(name, len(data), digest)))
        for key in self._objects.below(""):
            if key != name and "/" not in key and key.startswith(_BEGINS) and key.endswith(_ENDS):
                self._objects.delete(key)
        self._upload_pictures()

    def _point(self, data: bytes) -> None:
        """Write the pointer, unless another run has done so since it was read."""
        write = self._objects.create if not self._there else partial(self._objects.replace, etag=self._etag)
        moved = write(POINTER, data)
        if not moved:
            with suppress(Missing):  # the answer to a write that succeeded may have been lost
                moved = self._objects.read_small(POINTER, _LARGEST_POINTER) == data
        if not moved:
            raise RunStateError(f"{self._url}: another run writes its state there; this one ends")
        self._there, self._etag = True, self._objects.stat(POINTER).etag

    def _upload_pictures(self) -> None:
        for path in sorted(self.path.glob(_PICTURES)):
            changed = path.stat().st_mtime_ns
            if self._sent.get(path.name) != changed:
                self._objects.replace(path.name, path.read_bytes())
                self._sent[path.name] = changed


@contextmanager
def run_directory(where: Path | str, *, alone: bool = True) -> Iterator[RunDirectory]:
    """The run directory at a path or, where it is a text, at a URL, whose copy lasts as long as the context.

    Raises StoreError for a URL that cannot be opened, and RunStateError where another run uses the path. Of several
    ranks, which share it, one looks after that: the others are not ``alone``.
    """
    if isinstance(where, Path):
        with _held(where) if alone else nullcontext():
            yield RunDirectory(where)
        return
    if not is_url(where):
        raise StoreError(f"{where}: is no URL")
    with TemporaryDirectory(prefix="sluice-run-") as scratch:
        yield RemoteRunDirectory(where, Path(scratch))


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Keep other runs on this machine out of a directory. Where that cannot be known, they are not kept out.

    Raises RunStateError where no state could be written, unless there is one: a run that is finished needs no other.
    """
    descriptor, made = None, not path.exists()
    try:
        try:
            path.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=path):
                pass
        except OSError as error:
            if not (path / FILE).exists() and not any(path.glob(f"*/{FILE}")):
                raise RunStateError(
                    f"{path}: the state of the run cannot be written there: {error.strerror}; "
                    "name another with --run-dir"
                ) from error
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        if descriptor is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunStateError(
                    f"{path}: another run writes its state there; wait for its end, or name another with --run-dir"
                ) from error
            except OSError as error:
                logger.debug("%s cannot be locked: %s", path, error)  # some network file systems have no locks
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)
        if made:
            with suppress(OSError):  # the run has left something in it
                path.rmdir()
