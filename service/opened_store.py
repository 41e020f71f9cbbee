"""The store of the settings, or one that a command was told of, with the keys that must have signed its models."""

from __future__ import annotations

from pathlib import Path

from model_store import Store, open_store
from model_store.signatures import TrustedKeys
from service.settings import Settings


def store_of(settings: Settings, given: Path | str | None = None) -> Store:
    """The store at ``given``, or else that of the settings. Raises StoreError, UnusableKey."""
    trusted = None if settings.trusted_keys is None else TrustedKeys.read(settings.trusted_keys)
    return open_store(given or settings.store, settings.store_cache, settings.store_cache_bytes, trusted)
