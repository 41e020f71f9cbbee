"""Files by their sha256 in a local directory, shared between processes and bounded in size.

A *version* is a directory of hard links to those files. A process that uses one holds a shared lock on it; what nobody
holds may be removed to make room, the longest unused first.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from model_store.errors import StoreError
from model_store.files import sync_directory
from model_store.manifest import FileEntry

_BLOBS, _LOCK, _IN_USE = "files", "lock", ".in-use"
_DOWNLOAD = ".download-"

Fetch = Callable[[str, FileEntry, Callable[[bytes], object]], None]
"""Brings the bytes of a file of a version: its name, what it should be, and what takes the bytes piece by piece."""


class DamagedDownload(StoreError):
    """What came from the storage is not what the manifest says."""


class Held:
    """Keeps a version in the cache for as long as this object lives. ``descriptor`` is what ``Cache.hold`` returned."""

    def __init__(self, descriptor: int) -> None:
        weakref.finalize(self, os.close, descriptor)


class Cache:
    """Belongs to a directory, which processes share. ``bound`` is in bytes of files, each counted once."""

    def __init__(self, root: Path, bound: int) -> None:
        self.root, self.bound = root, bound
        try:
            (root / _BLOBS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"the store's cache {root} cannot be written: {error.strerror}") from error

    def hold(self, directory: Path) -> int:
        """Keep a version from being removed, until the descriptor that this returns is closed."""
        with self._alone():  # so that it is not being removed
            directory.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(directory / _IN_USE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            os.utime(directory / _IN_USE)
        return descriptor

    def fill(self, directory: Path, files: Mapping[str, FileEntry], fetch: Fetch) -> None:
        """Bring all files into a version's directory, which is held. Raises StoreError where they find no room."""
        with self._alone():
            wanted = {name: entry for name, entry in files.items() if not self._linked(directory, name, entry)}
            missing = {entry.sha256: entry.size for entry in wanted.values() if not self._blob(entry).exists()}
            self._make_room(sum(missing.values()))
            for name, entry in wanted.items():
                if not self._blob(entry).exists():
                    self._download(name, entry, fetch)
                self._link(directory / name, entry)

    def forget(self, directory: Path) -> None:
        """Remove a version that the store no longer has, unless somebody uses it."""
        with self._alone():
            self._remove(directory)
            self._sweep()

    def _blob(self, entry: FileEntry) -> Path:
        return self.root / _BLOBS / entry.sha256

    def _linked(self, directory: Path, name: str, entry: FileEntry) -> bool:
        """Whether a file is there, with its size; its content is checked by whoever loads it."""
        with suppress(OSError):
            return (directory / name).lstat().st_size == entry.size and self._blob(entry).samefile(directory / name)
        return False

    def _link(self, path: Path, entry: FileEntry) -> None:
        path.unlink(missing_ok=True)
        os.link(self._blob(entry), path)

    def _download(self, name: str, entry: FileEntry, fetch: Fetch) -> None:
        """Under a hidden name, and renamed when the bytes are those of the hash: a killed download leaves no file."""
        descriptor, hidden = tempfile.mkstemp(prefix=_DOWNLOAD, dir=self.root / _BLOBS)
        try:
            digest, came = hashlib.sha256(), 0
            with os.fdopen(descriptor, "wb") as file:

                def piece(data: bytes) -> None:
                    nonlocal came
                    came += len(data)
                    digest.update(data)
                    file.write(data)

                fetch(name, entry, piece)
                file.flush()
                os.fsync(file.fileno())
            if came != entry.size:
                raise DamagedDownload(f"{name} has {came} bytes, not {entry.size}")
            if digest.hexdigest() != entry.sha256:
                raise DamagedDownload(f"the sha256 of {name} is not the manifest's")
            Path(hidden).chmod(0o444)
            Path(hidden).replace(self._blob(entry))
            sync_directory(self.root / _BLOBS)
        finally:
            Path(hidden).unlink(missing_ok=True)

    def forget_damaged(self, files: Mapping[str, FileEntry]) -> bool:
        """Remove files whose bytes are no longer those of their hash; whether there were any."""
        found = False
        with self._alone():
            for entry in files.values():
                blob = self._blob(entry)
                with suppress(OSError):
                    with blob.open("rb") as file:
                        sound = hashlib.file_digest(file, "sha256").hexdigest() == entry.sha256
                    if not sound:
                        blob.unlink()
                        found = True
        return found

    def _make_room(self, needed: int) -> None:
        self._sweep()
        used = self._used()
        for directory in self._versions():
            if used + needed <= self.bound:
                return
            if self._remove(directory):
                self._sweep()
                used = self._used()
        if used + needed > self.bound:
            raise StoreError(
                f"the store's cache {self.root} has no room for {needed:,} bytes: {used:,} of {self.bound:,} are in use"
            )

    def _used(self) -> int:
        return sum(path.stat().st_size for path in (self.root / _BLOBS).iterdir() if not path.name.startswith("."))

    def _versions(self) -> list[Path]:
        """Versions of all stores in the cache, the longest unused first."""
        return [
            path.parent for path in sorted(self.root.glob(f"*/*/*/{_IN_USE}"), key=lambda path: path.stat().st_mtime)
        ]

    def _remove(self, directory: Path) -> bool:
        """Remove a version's directory; False where somebody uses it."""
        try:
            descriptor = os.open(directory / _IN_USE, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(directory, ignore_errors=True)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True

    def _sweep(self) -> None:
        """Remove files that no version links to, and what killed downloads left: nobody else downloads now."""
        for path in (self.root / _BLOBS).iterdir():
            with suppress(OSError):
                if path.stat().st_nlink == 1:
                    path.unlink()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time: the others wait, and then find the files that the first one has brought."""
        descriptor = os.open(self.root / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
