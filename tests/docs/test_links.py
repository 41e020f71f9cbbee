"""Every relative link of every page leads to a file that is there, and every anchor to a heading."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from docs.generate.links import anchors_of, links_of, relinked, resolved, slug
from tests.docs.blocks import ROOT, pages


@cache
def _anchors(path: Path) -> set[str]:
    return anchors_of(path.read_text("utf-8"))


@pytest.mark.parametrize("page", pages())
def test_the_links_of_a_page_lead_somewhere(page: str) -> None:
    broken = []
    for link in links_of((ROOT / page).read_text("utf-8")):
        if link.is_foreign:
            continue
        target = ROOT / (resolved(page.rpartition("/")[0], link.path) if link.path else page)
        if not target.exists() or (link.anchor and target.suffix == ".md" and link.anchor not in _anchors(target)):
            broken.append(f"{link.path}#{link.anchor}".rstrip("#"))
    assert not broken


def test_the_files_that_the_map_of_the_house_names_are_there() -> None:
    named = re.findall(r"`((?:[a-z_]+/)+[a-z_0-9]+\.py)`", (ROOT / "CONTRIBUTING.md").read_text("utf-8"))
    assert len(named) > 20
    assert [path for path in named if not (ROOT / path).is_file()] == []


def test_anchors_are_those_of_the_usual_forges() -> None:
    assert slug("The way of one `POST /score`") == "the-way-of-one-post-score"
    assert slug("What happens when …") == "what-happens-when-"
    assert slug("/v2 and [links](x.md)") == "v2-and-linksxmd"
    assert anchors_of("# A\n\n## A\n\n```\n# no heading\n```\n\n## [B](b.md)\n") == {"a", "a-1", "b"}


def test_links_in_code_are_none() -> None:
    page = "[one](a.md#x) `[two](b.md)`\n\n```\n[three](c.md)\n```\n\n![four](d.png)\n"
    assert [(link.text, link.path, link.anchor) for link in links_of(page)] == [
        ("one", "a.md", "x"),
        ("four", "d.png", ""),
    ]
    changed = relinked(page, lambda link: None if link.path == "d.png" else "z.md")
    assert changed == "[one](z.md) `[two](b.md)`\n\n```\n[three](c.md)\n```\n\nfour\n"
