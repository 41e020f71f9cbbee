"""Links and headings of Markdown: how a heading becomes an anchor, and where a relative link leads."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

_FENCE = re.compile(r"^(?P<fence> *(?:```+|~~~+))[^\n]*\n.*?^(?P=fence) *$", re.M | re.S)
_INLINE = re.compile(r"`+[^`\n]+`+")
_LINK = re.compile(r"(?P<mark>!?)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^()\s]+)\)")
_HEADING = re.compile(r"^(#{1,6}) +(.*?)(?: +#+)?$", re.M)


class Link(NamedTuple):
    """One link: where it stands, its text, its path and its anchor, either of which may be empty."""

    start: int
    text: str
    path: str
    anchor: str

    @property
    def is_foreign(self) -> bool:
        """Whether it leads to another host or to a mailbox."""
        return re.match(r"[a-z]+:", self.path) is not None


def links_of(page: str) -> Iterator[Link]:
    """The links of a page, code left out."""
    for found in _LINK.finditer(_without_code(page)):
        path, _, anchor = found["target"].partition("#")
        yield Link(found.start(), page[found.start("text") : found.end("text")], path, anchor)


def anchors_of(page: str) -> set[str]:
    """The anchors of a page's headings; a heading that comes again gets a number."""
    anchors: set[str] = set()
    for _, heading in _HEADING.findall(_without_fences(page)):
        anchor = slug(_LINK.sub(lambda link: link["text"], heading), "-")
        number = 0
        while anchor in anchors:
            number += 1
            anchor = f"{slug(heading, '-')}-{number}"
        anchors.add(anchor)
    return anchors


def slug(heading: str, separator: str = "-") -> str:
    """The anchor of a heading, as the usual forges make it: `What happens when …` is `what-happens-when-`."""
    text = re.sub(r"<[^>]+>", "", heading).replace("`", "").replace("*", "").strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", separator)


def relinked(page: str, change: Callable[[Link], str | None]) -> str:
    """A page whose links lead elsewhere. ``change`` gives the new target; None keeps the text without a link."""
    bare = _without_code(page)
    parts, place = [], 0
    for found in _LINK.finditer(bare):
        path, _, anchor = found["target"].partition("#")
        text = page[found.start("text") : found.end("text")]
        target = change(Link(found.start(), text, path, anchor))
        parts += [page[place : found.start()], text if target is None else f"{found['mark']}[{text}]({target})"]
        place = found.end()
    return "".join([*parts, page[place:]])


def resolved(folder: str, path: str) -> str:
    """The path of a relative link, seen from the root. ``folder`` is where the page lies."""
    return posixpath.normpath(posixpath.join(folder, path))


def _without_fences(page: str) -> str:
    """A page of the same length whose fenced blocks are blank."""
    return _FENCE.sub(lambda block: re.sub(r"[^\n]", " ", block[0]), page)


def _without_code(page: str) -> str:
    """The same without code in lines."""
    return _INLINE.sub(lambda code: "`" * len(code[0]), _without_fences(page))
