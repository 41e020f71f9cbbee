"""Where a model is published: the store in a directory, at a URL, or the one that ships with Sluice."""

from __future__ import annotations

import os
from pathlib import Path

from model_store import Store, default_root, open_store

_CACHE_BYTES = 20 * 2**30


def store_at(location: Path | str | None) -> Path | Store:
    """The store to publish to: a directory, the one that ships with Sluice, or a store at a URL. Raises StoreError.

    A store at a URL has the cache that the service would give it.
    """
    if not isinstance(location, str):
        return location or default_root()
    below = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sluice"
    bound = int(os.environ.get("SLUICE_STORE_CACHE_BYTES") or _CACHE_BYTES)
    return open_store(location, Path(os.environ.get("SLUICE_STORE_CACHE") or below), bound)
