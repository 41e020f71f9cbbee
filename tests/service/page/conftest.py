"""A service and a browser for the tests of a file. Playwright runs an event loop, which no other file may meet."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.service.page.browser import TOKEN, executable
from tests.service.pictures import publish_pictures
from tests.service.servers import ROOT, Server, serving
from tests.service.tables import publish_homes

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; without one, or without playwright, the test is skipped."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright (pip)")
    if executable() is None:
        pytest.skip("no browser is installed: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        # A container has no user namespaces for Chromium's sandbox; the page is our own.
        launched = playwright.chromium.launch(executable_path=executable(), args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service of `mnist-nice` (the default) and `moons`, which ship, a table, pictures and aligned parts."""
    folder = tmp_path_factory.mktemp("page")
    publish_homes(folder / "store", calibrated=True)
    publish_pictures(folder / "store")
    publish_pictures(folder / "store", "parts", aligned=True)
    for name in ("mnist-nice", "moons"):
        shutil.copytree(ROOT / "model_store" / "models" / name, folder / "store" / name)
    token = folder / "token"
    token.touch(0o600)
    token.write_text(TOKEN)
    with serving(folder / "store", folder / "log", default_model="mnist-nice", admin_token_file=token) as started:
        yield started
