"""The stores of small models that the tests of the service use."""

from __future__ import annotations

from tests.service.conftest import calibrated_store, store

__all__ = ["calibrated_store", "store"]
