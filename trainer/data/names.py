"""Names of files in texts for people and in what is published."""

from __future__ import annotations


def readable(text: str) -> str:
    """The text with U+FFFD for bytes of file names that are not UTF-8, which no file of a model could hold."""
    return text.encode(errors="surrogateescape").decode(errors="replace")
