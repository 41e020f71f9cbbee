"""A line in the log for each answered request, where the settings ask for it."""

from __future__ import annotations

import logging
from urllib.parse import quote

from service.keys import Key
from service.logs import FIELDS

logger = logging.getLogger("sluice.access")

_LONGEST = 200
"""Characters of a path."""


def log_access(method: str, path: str, status: int, seconds: float, key: Key | None) -> None:
    """Method, path without the query, status, time, and the name of the key. Never a header, a query or a body."""
    path, method = quote(path)[:_LONGEST], quote(method)[:_LONGEST]  # nothing that a client sends begins a new line
    fields: dict[str, object] = {"method": method, "path": path, "status": status, "seconds": round(seconds, 6)}
    if key is not None:
        fields["key"] = key.name
    logger.info("%s %s %d in %.1f ms", method, path, status, 1000 * seconds, extra={FIELDS: fields})
