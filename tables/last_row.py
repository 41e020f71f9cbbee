"""The last row of a text file, which tells whether a quotation mark was never closed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tables.errors import TableError


class LastRow:
    """What is known of the last row: a mark that is not closed makes all that follows it one cell, without an error."""

    def __init__(self) -> None:
        self._place, self._text, self._is_cell = -1, "", False

    def good(self, place: int, cell: Any) -> None:
        """A row with so many fields as the others, and what was read of its last one."""
        if place > self._place:
            self._place, self._text, self._is_cell = place, cell if isinstance(cell, str) else "", True

    def bad(self, place: int, text: str | None) -> None:
        """A row with another number of fields, as it is written."""
        if place > self._place:
            self._place, self._text, self._is_cell = place, text or "", False

    def check(self, end_of_file: Callable[[], str]) -> None:
        """Raise TableError where a cell of the last row has several lines and no end.

        ``end_of_file`` is asked only where the row has several lines: a cell that was closed ends in a mark there.
        """
        lines = self._text.rstrip().split("\n")
        if len(lines) == 1:
            return
        is_open = end_of_file().rstrip().endswith(lines[-1]) if self._is_cell else self._text.count('"') % 2 == 1
        if is_open:
            raise TableError(
                f"row {self._place + 1} has a cell that goes on for {len(lines):,} lines, to the end of the file; "
                "is a quotation mark not closed?"
            )
