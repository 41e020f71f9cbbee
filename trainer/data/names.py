"""Names of files in texts for people and in what is published."""

from __future__ import annotations

import unicodedata


def readable(text: str) -> str:
    """The text with U+FFFD for what names of files may hold and no terminal should get.

    These are bytes that are not UTF-8, and control characters other than the ends of lines.
    """
    text = text.encode(errors="surrogateescape").decode(errors="replace")
    return "".join("\ufffd" if unicodedata.category(sign) == "Cc" and sign != "\n" else sign for sign in text)
