"""The stores and services of the service's tests, for tests that try to break it."""

from __future__ import annotations

from tests.service.conftest import _frugal, anyio_backend, calibrated_store, service, start, store

__all__ = ["_frugal", "anyio_backend", "calibrated_store", "service", "start", "store"]
