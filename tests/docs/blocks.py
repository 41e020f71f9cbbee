"""The blocks of code in a page of Markdown, and which of them a reader would run."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SHELL = ("bash", "sh", "console", "shell")
_BLOCK = re.compile(
    r"^(?P<mark>(?: *|\d+\. +)<!-- *not run: *(?P<reason>[^\n]+?) *-->\n\n?)?"
    r"(?P<indent> *)```(?P<language>[\w-]*)[^\n]*\n(?P<text>.*?)^(?P=indent)```$",
    re.M | re.S,
)
_INDENTED = re.compile(r"(?P<before>^[^\n]*\n|\A)\n(?P<text>(?: {4}[^\n]*\n|\n(?= {4}))+)", re.M)
_COMMAND = re.compile(
    r"^(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/|\.venv-bench/bin/)?"
    r"(?:sluice(?:-train|-calibrate)?|curl|docker|kubectl|helm|make|pip|python3?|torchrun|tensorboard|cp|rsync|tar|export|"
    r"ssh|mkdir|aws|ray|serve|kill|systemctl)(?: |$)"
)

_IMPORT = re.compile(r"(?:from [\w.]+ )?import \w")


class Block(NamedTuple):
    """A block of code. ``line`` counts from 1; ``reason`` says why no test runs it, where the page says so."""

    page: str
    line: int
    language: str
    text: str
    reason: str | None

    @property
    def is_python(self) -> bool:
        """By its language, or by an import in its first line where it has none."""
        return self.language == "python" or (not self.language and _IMPORT.match(self.text) is not None)

    @property
    def is_shell(self) -> bool:
        """Whether it is for a shell: by its language, or by its lines where it has none."""
        if self.language in SHELL:
            return True
        return not self.language and any(_COMMAND.match(line) for line in self.text.splitlines())

    @property
    def place(self) -> str:
        """As an editor understands it."""
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """Every page for people, as a path from the root."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("client/*.md"), *ROOT.glob("docs/**/*.md")]
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def blocks_of(page: str) -> list[Block]:
    """The blocks of a page in their order: fenced ones, and indented ones that hold commands or Python."""
    text = (ROOT / page).read_text("utf-8")
    found = list(_fenced(page, text))
    bare = _BLOCK.sub(lambda block: re.sub(r"[^\n]", "", block[0]), text)
    return sorted([*found, *_indented(page, bare)], key=lambda block: block.line)


def _fenced(page: str, text: str) -> Iterator[Block]:
    for block in _BLOCK.finditer(text):
        line = text.count("\n", 0, block.start("indent")) + 1
        yield Block(page, line, block["language"], textwrap.dedent(block["text"]), block["reason"])


def _indented(page: str, text: str) -> Iterator[Block]:
    """Blocks that are indented by four spaces after an empty line. Only those with commands count."""
    for block in _INDENTED.finditer(text):
        if re.match(r" *(?:[-*]|\d+\.) ", block["before"]) or block["before"].startswith("  "):
            continue  # the second paragraph of an entry of a list
        mark = re.match(r"<!-- *not run: *(?P<reason>[^\n]+?) *-->$", block["before"].strip())
        found = Block(
            page,
            text.count("\n", 0, block.start("text")) + 1,
            "",
            textwrap.dedent(block["text"]),
            mark["reason"] if mark else None,
        )
        if found.is_shell or found.is_python:
            yield found
