"""The stores of the service's tests."""

from __future__ import annotations

from tests.service.conftest import anyio_backend, store

__all__ = ["anyio_backend", "store"]
