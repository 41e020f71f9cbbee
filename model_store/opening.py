"""A store by where it lies: a directory, or a URL with a local cache."""

from __future__ import annotations

from pathlib import Path

from model_store.remote.store import RemoteStore
from model_store.signatures import TrustedKeys
from model_store.store import Store


def open_store(location: Path | str, cache: Path, bound: int, trusted: TrustedKeys | None = None) -> Store:
    """The store in a directory, where ``location`` is a path, or at a URL of fsspec, where it is a text.

    ``cache`` is the directory for files of stores at URLs, ``bound`` the most bytes that it may hold. Where
    ``trusted`` keys are given, only versions that one of them signed can be loaded. Raises StoreError.
    """
    return RemoteStore(location, cache, bound, trusted) if isinstance(location, str) else Store(location, trusted)
