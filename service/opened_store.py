"""The store of the settings, or one that a command was told of."""

from __future__ import annotations

from pathlib import Path

from model_store import Store, open_store
from service.settings import Settings


def store_of(settings: Settings, given: Path | str | None = None) -> Store:
    """The store at ``given``, or else that of the settings. Raises StoreError."""
    return open_store(given or settings.store, settings.store_cache, settings.store_cache_bytes)
