"""Pieces of Markdown that the generated pages share."""

from __future__ import annotations

import inspect


class Table:
    """A table, row by row.

    >>> table = Table("a", "b")
    >>> table.row("1", "x | y")
    >>> print(table.text(), end="")
    | a | b |
    |---|---|
    | 1 | x \\| y |
    """

    def __init__(self, *heads: str) -> None:
        self._rows = [heads]

    def __bool__(self) -> bool:
        return len(self._rows) > 1

    def row(self, *cells: str) -> None:
        """Add a row; bars and line breaks in cells are written so that they stay in their cell."""
        assert len(cells) == len(self._rows[0])
        self._rows.append(tuple(one_line(cell).replace("|", "\\|") for cell in cells))

    def text(self) -> str:
        """The table as Markdown."""
        heads, *rows = (f"| {' | '.join(row)} |" for row in self._rows)
        return "\n".join([heads, "|" + "---|" * len(self._rows[0]), *rows]) + "\n"


def code(text: str) -> str:
    """A text between backticks, or nothing for none."""
    return f"`{text}`" if text else ""


def one_line(text: str) -> str:
    """A text without line breaks, and with reStructuredText's double backticks as Markdown's."""
    return " ".join(text.replace("``", "`").split())


def first_line(documented: object) -> str:
    """The first paragraph of a docstring, in one line."""
    return one_line((inspect.getdoc(documented) or "").split("\n\n")[0])
