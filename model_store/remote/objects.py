"""Objects under a URL: read within bounds, written as a whole, and created only where there is none yet."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from model_store.errors import StoreError

logger = logging.getLogger("sluice")

T = TypeVar("T")

_ATTEMPTS = 6
_FIRST_PAUSE = 0.1
"""Seconds before the second attempt; each further pause is twice as long: about 3 s in all."""
_PIECE = 8 * 2**20
"""Bytes of one read: what is read again when a connection breaks."""
_S3 = {"connect_timeout": 5, "read_timeout": 20, "retries": {"max_attempts": 0}}
"""Of botocore, which would wait for a minute and retry on its own beside the attempts here."""


class Unreachable(StoreError):
    """The storage does not answer, or refuses; the message says which object, never the credentials."""


class Missing(StoreError):
    """There is no such object."""


class Stat(NamedTuple):
    size: int
    etag: str | None
    changed: str = ""
    """The time of its last change as the file system gives it; empty where it gives none."""


def is_url(text: str) -> bool:
    """Whether a text is a URL such as s3://bucket/folder, and no path."""
    return re.match(r"[a-z][a-z0-9+.-]*://", text) is not None


class Objects:
    """The objects whose keys begin with a URL's path. Keys are relative to it, with slashes.

    Credentials and endpoints come from where the file system's own library takes them: for S3 the environment, such as
    AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL, or its configuration files.
    """

    def __init__(self, url: str) -> None:
        try:
            import fsspec
        except ImportError as error:
            raise StoreError(f"to open {url}, fsspec is needed: pip install 'sluice[object-store]'") from error
        options: Mapping[str, Any] = {"config_kwargs": _S3} if url.startswith("s3://") else {}
        try:
            self._fs, root = fsspec.core.url_to_fs(url, skip_instance_cache=True, use_listings_cache=False, **options)
        except (ImportError, ValueError) as error:
            raise StoreError(f"{url} cannot be opened: {error}") from error
        if hasattr(self._fs, "retries"):
            self._fs.retries = 1  # of s3fs, which would try again on its own within each attempt
        self.url, self._root = url, str(root).rstrip("/")

    def below(self, prefix: str) -> dict[str, Stat]:
        """All objects below a prefix, which ends in a slash, or below the URL. Raises Unreachable."""
        where = f"{self._root}/{prefix}".rstrip("/")
        try:
            found = self._trying(prefix or "the listing", lambda: self._fs.find(where, detail=True, refresh=True))
        except Missing:
            return {}
        start = len(self._root) + 1
        return {str(path)[start:]: _stat(about) for path, about in found.items() if about.get("type") != "directory"}

    def read(self, key: str, size: int, piece: Callable[[bytes], object]) -> None:
        """Hand the first ``size`` bytes of an object to ``piece``, some at a time, each once.

        A connection that breaks, or that ends too early, is tried again from where it broke. Raises Missing or
        Unreachable.
        """
        for start in range(0, size, _PIECE):
            piece(self.read_range(key, start, min(start + _PIECE, size)))

    def read_range(self, key: str, start: int, stop: int) -> bytes:
        """Bytes ``start`` to ``stop`` of an object. Tried again like ``read``. Raises Missing or Unreachable."""
        return self._trying(key, lambda: self._range(key, start, stop))

    def read_small(self, key: str, largest: int) -> bytes:
        """A whole object of at most so many bytes. Raises Missing, Unreachable, or StoreError for a larger one."""
        about = self.stat(key)
        if about.size > largest:
            raise StoreError(f"{key} is larger than the {largest:,} bytes it may have")
        found = bytearray()
        self.read(key, about.size, found.extend)
        return bytes(found)

    def stat(self, key: str) -> Stat:
        """Size and ETag of an object. Raises Missing, Unreachable."""
        return _stat(self._trying(key, lambda: self._fs.info(self._path(key), refresh=True)))

    def create(self, key: str, data: bytes) -> bool:
        """Write an object if there is none of this key; False where there is, with other content. Raises Unreachable.

        The storage decides, so of several writers one succeeds. An answer that was lost on the way is found out by
        reading the object back.
        """

        def attempt() -> bool:
            try:
                self._create(self._path(key), data)
            except OSError as error:
                try:
                    return bytes(self._fs.cat_file(self._path(key))) == data
                except FileNotFoundError:
                    raise error from None
            return True

        return self._trying(key, attempt)

    def replace(self, key: str, data: bytes, etag: str | None = None) -> bool:
        """Write an object over what is there. Raises Unreachable.

        On S3, False where the object is no longer that of ``etag``; elsewhere the last writer wins.
        """
        conditional = {"IfMatch": etag} if etag is not None and self.url.startswith("s3://") else {}

        def attempt() -> bool:
            self._make_folder(self._path(key))
            try:
                self._fs.pipe_file(self._path(key), data, **conditional)
            except OSError as error:
                if conditional and "PreconditionFailed" in repr(getattr(error, "__cause__", None)):
                    return False
                raise
            return True

        return self._trying(key, attempt)

    def delete(self, key: str) -> None:
        """Remove an object, if there is one. Raises Unreachable."""
        with suppress(Missing):
            self._trying(key, lambda: self._fs.rm_file(self._path(key)))

    def _create(self, path: str, data: bytes) -> None:
        from fsspec.asyn import AsyncFileSystem
        from fsspec.implementations.local import LocalFileSystem

        if isinstance(self._fs, LocalFileSystem):
            self._make_folder(path)
            with self._fs.open(path, "xb") as file:
                file.write(data)
        elif isinstance(self._fs, AsyncFileSystem):
            self._fs.pipe_file(path, data, mode="create")
        else:
            raise StoreError(f"nothing can be written to {self.url}: its file system has no conditional writes")

    def _make_folder(self, path: str) -> None:
        """The folder of a path, where folders are more than beginnings of keys."""
        from fsspec.implementations.local import LocalFileSystem

        if isinstance(self._fs, LocalFileSystem):
            self._fs.makedirs(self._fs._parent(path), exist_ok=True)

    def _range(self, key: str, start: int, stop: int) -> bytes:
        data = bytes(self._fs.cat_file(self._path(key), start=start, end=stop))
        if len(data) != stop - start:
            raise OSError(f"{len(data)} bytes came where {stop - start} were asked for")
        return data

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    def _trying(self, what: str, act: Callable[[], T]) -> T:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return act()
            except FileNotFoundError as error:
                raise Missing(f"{self.url} has no {what}") from error
            except StoreError:
                raise
            except PermissionError as error:
                raise Unreachable(f"{self.url}: {what}: access is denied") from error
            except Exception as error:  # of fsspec, botocore, aiohttp: each has its own
                if attempt == _ATTEMPTS:
                    raise Unreachable(f"{self.url}: {what}: {type(error).__name__} after {attempt} attempts") from error
                pause = _FIRST_PAUSE * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)  # noqa: S311 - spreads clients
                logger.info("%s: %s: %s; trying again in %.1f s", self.url, what, type(error).__name__, pause)
                time.sleep(pause)
        raise AssertionError


def _stat(about: Mapping[str, Any]) -> Stat:
    changed = next((about[name] for name in ("LastModified", "last_modified", "mtime", "created") if name in about), "")
    return Stat(int(about["size"]), about.get("ETag"), str(changed))
