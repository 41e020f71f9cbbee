"""Which pages of docs/reference/ are made from the code, and by which function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from docs.generate import api_pages, command_page, http_page, metrics_page, settings_page, store_page

REFERENCE = Path(__file__).parents[1] / "reference"
PAGES: Mapping[str, Callable[[], str]] = {
    "http-api.md": http_page.page,
    "v2.md": http_page.page_v2,
    "client.md": api_pages.client_page,
    "command-line.md": command_page.page,
    "settings.md": settings_page.page,
    "flows.md": api_pages.flows_page,
    "store-format.md": store_page.page,
    "metrics.md": metrics_page.page,
}
"""The text of each page by its file name."""
