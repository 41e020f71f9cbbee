"""A store by where it lies: a directory, or a URL with a local cache."""

from __future__ import annotations

from pathlib import Path

from model_store.remote.store import RemoteStore
from model_store.store import Store


def open_store(location: Path | str, cache: Path, bound: int) -> Store:
    """The store in a directory, where ``location`` is a path, or at a URL of fsspec, where it is a text.

    ``cache`` is the directory for files of stores at URLs, ``bound`` the most bytes that it may hold. Raises
    StoreError.
    """
    return RemoteStore(location, cache, bound) if isinstance(location, str) else Store(location)
