"""An extension of griffe: examples in docstrings become code blocks, where Markdown would see quotations."""

from __future__ import annotations

from typing import Any

import griffe


def fenced(text: str) -> str:
    """A docstring whose runs of `>>>` lines, with the output below them, are fenced.

    An output ends with an empty line, as for doctest.
    """
    lines: list[str] = []
    indent = None
    for line in text.splitlines():
        if indent is None and line.lstrip().startswith(">>>"):
            indent = line[: len(line) - len(line.lstrip())]
            lines += ["", "```pycon"]
        elif indent is not None and not line.strip():
            indent = None
            lines.append("```")
            continue
        lines.append(line if indent is None else line.removeprefix(indent))
    return "\n".join(lines if indent is None else [*lines, "```"])


class Doctests(griffe.Extension):
    """Fences the examples of every object that is loaded."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:  # noqa: ARG002
        """Called by griffe."""
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)
