"""What makes a site of the pages: the navigation, links to what lies elsewhere, and no foreign hosts.

`make docs` builds the site itself, strictly; `.ci/run` does so after the tests.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from docs.generate import site_hooks
from docs.generate.doctests import fenced
from tests.docs.blocks import ROOT


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example/x.js"></script>',
        "<script src=//cdn.example/x.js></script>",
        '<link rel="stylesheet" href="https://fonts.example/css">',
        '<link rel="preconnect" href="https://fonts.example">',
        '<img alt="" src="https://example.org/x.png">',
        "@import url(https://example.org/x.css);",
        "body { background: url('https://example.org/x.png') }",
    ],
)
def test_what_is_loaded_from_another_host_is_found(text: str) -> None:
    assert site_hooks.LOADED.search(text)


@pytest.mark.parametrize(
    "text",
    [
        '<a href="https://example.org">a link</a>',
        '<link rel="stylesheet" href="assets/site.css">',
        '<link rel="canonical" href="https://example.org/">',
        '<img src="grid.png">',
        "body { background: url(grid.png) }",
    ],
)
def test_links_and_own_files_are_not(text: str) -> None:
    assert not site_hooks.LOADED.search(text)


class _Config(dict[str, Any]):
    """As much of MkDocs' configuration as the hooks read."""

    def __getattr__(self, name: str) -> Any:
        return self[name]

    __setattr__ = dict.__setitem__


def test_the_navigation_lists_every_page_and_none_that_is_not_there(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    (docs / "gallery").mkdir(parents=True)
    for name in ("here.md", "unlisted.md", "gallery/README.md", "gallery/script.py", "gallery/_helper.py"):
        (docs / name).write_text("# A page\n")
    nav = ["here.md", {"Gone": ["gone.md"]}, {"Gallery": ["gallery/README.md"]}, {"One": "gone-too.md"}]
    config = _Config(docs_dir=str(docs), nav=nav, mdx_configs={"toc": {"permalink": True}})
    site_hooks.on_config(config)  # type: ignore[arg-type]
    assert config.nav == [
        "here.md",
        {"Gallery": ["gallery/README.md", "gallery/script.md"]},
        {"More": [*sorted(site_hooks.INSIDE), "unlisted.md"]},
    ]
    assert config.mdx_configs["toc"]["permalink"] is True


def test_the_navigation_of_the_site_has_the_four_parts_and_every_page() -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
    parts = [next(iter(part)) for part in config["nav"]]
    assert parts[:4] == ["Start", "Guides", "Understanding", "Reference"]
    assert config["theme"]["font"] is False


def test_examples_of_docstrings_become_code() -> None:
    text = "Adds.\n\n>>> add(1, 2)\n3\n\nMore words.\n\n    >>> add(\n    ...     1, 2)\n    3"
    assert fenced(text).splitlines() == [
        "Adds.",
        "",
        "",
        "```pycon",
        ">>> add(1, 2)",
        "3",
        "```",
        "More words.",
        "",
        "",
        "```pycon",
        ">>> add(",
        "...     1, 2)",
        "3",
        "```",
    ]
