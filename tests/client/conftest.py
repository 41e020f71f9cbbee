"""A real service, in processes of its own, and clients of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sluice_client import Client

from tests.service.helpers import DIGITS, POINTS, publish_calibrated, publish_small
from tests.service.servers import Server, serving
from tests.service.tables import publish_homes

TOKEN = "a-token-of-the-tests-" + "0" * 20
MAX_ITEMS, MAX_N = 600, 100


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`digits` (8x8 images, the default) and `points` (vectors) with p-values, `plain` images without, rows `homes`."""
    root = tmp_path_factory.mktemp("client-store")
    publish_calibrated(root, "digits", DIGITS)
    publish_calibrated(root, "points", POINTS)
    publish_small(root, "plain", DIGITS)
    publish_homes(root)
    return root


@pytest.fixture(scope="session")
def server(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`sluice serve` over the store, with small limits and an administrator."""
    folder = tmp_path_factory.mktemp("client-server")
    token = folder / "token"
    token.write_text(TOKEN)
    log = folder / "log"
    with serving(store, log, max_items=MAX_ITEMS, max_n=MAX_N, admin_token_file=token) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(server.address, timeout=60) as made:
        yield made
