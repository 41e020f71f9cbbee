"""Names of files in what is written: in UTF-8, whatever their bytes are."""

from __future__ import annotations

import re

_SURROGATES = re.compile("[\ud800-\udfff]")
"""As which Python keeps the bytes of a name that are not UTF-8. No UTF-8, JSON or Arrow can hold them."""


def printable(name: object) -> str:
    """The name, or a text that holds names, with U+FFFD for each byte that is not UTF-8."""
    return _SURROGATES.sub("\ufffd", str(name))
