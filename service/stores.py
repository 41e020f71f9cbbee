"""The store that the settings name, which refuses models without a trusted signature where the settings ask for it."""

from __future__ import annotations

from pathlib import Path

from model_store import Store
from model_store.signatures import TrustedKeys
from service.settings import Settings


def store_of(settings: Settings, path: Path | None = None) -> Store:
    """The settings' store, or the one at ``path``. Raises UnusableKey where the trusted keys cannot be read."""
    trusted = None if settings.trusted_keys is None else TrustedKeys.read(settings.trusted_keys)
    return Store(path or settings.store, trusted)
