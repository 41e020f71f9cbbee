"""What the log of every process looks like. All of them write to the same standard error.

No line holds a body, a query, a key or another header: the request's id leads from an answer to its lines.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
from contextvars import ContextVar
from datetime import UTC, datetime

REQUEST: ContextVar[str | None] = ContextVar("request", default=None)
"""The id of the request that is being answered."""
TRACE: ContextVar[str | None] = ContextVar("trace", default=None)
"""The trace that it is a part of, where its client or OpenTelemetry names one."""
FIELDS = "fields"
"""The attribute of a log record that holds further members of its JSON object."""
FORMAT = "SLUICE_LOG_FORMAT"

_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


def request_id(sent: bytes | None) -> str:
    """The id that the client gave its request, if it is one that a log can hold; a new one otherwise."""
    if sent is not None and _ID.fullmatch(sent):
        return sent.decode()
    return secrets.token_hex(8)


def log_as(process: str) -> None:
    """Log messages of level INFO and above to standard error, each with the name of this process.

    Where SLUICE_LOG_FORMAT is `json`, each is a JSON object on a line of its own.
    """
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s %(levelname)s {process}: %(message)s")
    if os.environ.get(FORMAT) == "json":
        for handler in logging.getLogger().handlers:
            handler.setFormatter(JsonLines(process))


class JsonLines(logging.Formatter):
    """A JSON object for each message: time, level, process, message; request, trace and error where there are such."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "process": self._process,
            "message": record.getMessage(),
        }
        request = REQUEST.get()
        if request is not None:
            line["request"] = request
        trace = TRACE.get()
        if trace is not None:
            line["trace"] = trace
        line |= getattr(record, FIELDS, {})
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line)
