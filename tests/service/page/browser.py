"""A real browser for tests of the page: what it says, where it connects to, and what axe-core finds."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

AXE = Path(__file__).parent / "axe" / "axe.min.js"
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1100, "height": 900}
TOKEN = "a token of the administrator, of 32 characters and more"
PATIENCE = 30_000
"""Milliseconds that the page may take, on a machine that others use too."""


def executable() -> str | None:
    """Where Debian's Chromium, or another one, is installed."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


@contextmanager
def opened(
    browser: Browser, address: str, *, dark: bool = False, phone: bool = False, status: int | None = None
) -> Iterator[Page]:
    """A page in a fresh context. Afterwards nothing was logged as wrong, and no request had left the origin.

    Chromium logs an answer with an error status; one with the ``status`` that the test asks for is none.
    """
    context = browser.new_context(
        viewport=PHONE if phone else DESK,  # type: ignore[arg-type]
        color_scheme="dark" if dark else "light",
        has_touch=phone,
        accept_downloads=True,
    )
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    said: list[str] = []
    elsewhere: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    origin = address.split("/#")[0].rstrip("/") + "/"
    own = (origin, "data:", f"blob:{origin}")
    page.on("request", lambda request: None if request.url.startswith(own) else elsewhere.append(request.url))
    page.goto(address)
    yield page
    context.close()
    assert not elsewhere
    assert not [text for text in said if status is None or f"status of {status}" not in text]


def faults(page: Page) -> list[str]:
    """Serious and critical findings of axe-core, each with the element at fault."""
    page.evaluate(AXE.read_text())
    found: dict[str, Any] = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{finding['id']}: {node['html'][:200]}"
        for finding in found["violations"]
        if finding["impact"] in ("serious", "critical")
        for node in finding["nodes"]
    ]


def overflow(page: Page) -> int:
    """Pixels by which the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def press(page: Page, name: str) -> None:
    """Click the button of this name."""
    page.get_by_role("button", name=name, exact=True).click()


def read_status(page: Page, text: str) -> None:
    """Wait until the status line holds a text."""
    page.wait_for_function("text => document.getElementById('status').textContent.includes(text)", arg=text)
