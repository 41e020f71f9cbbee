"""Stores of small models, and a running service over them, reached through its ASGI door."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.service.helpers import DIGITS, POINTS, Running, Start, publish_calibrated, publish_small, running


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def _frugal() -> Iterator[None]:
    """Hundreds of services are started here, on a machine that others use too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.device.warm_up._SECONDS", 0.0)
        patch.setenv("SLUICE_THREADS", "1")
        yield


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models, `digits` (8x8 images, the default) and `points` (vectors of two)."""
    root = tmp_path_factory.mktemp("store")
    publish_small(root, "digits", DIGITS)
    publish_small(root, "points", POINTS)
    return root


@pytest.fixture(scope="session")
def calibrated_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`digits` and `points` with p-values, and `uncalibrated` images."""
    root = tmp_path_factory.mktemp("calibrated")
    publish_calibrated(root, "digits", DIGITS)
    publish_calibrated(root, "points", POINTS)
    publish_small(root, "uncalibrated", DIGITS)
    return root


@pytest.fixture
def start(store: Path) -> Start:
    """Starts a service over the two models; keyword arguments are settings."""
    return lambda store=store, **settings: running(store, **settings)


@pytest.fixture
async def service(store: Path) -> AsyncIterator[Running]:
    async with running(store) as started:
        yield started
