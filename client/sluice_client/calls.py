"""Requests and answers as plain values, so that one piece of logic serves both transports.

An *operation* is a generator. It yields lists of calls, is sent the list of what was read from their answers, in the
same order, or has the error thrown into it, and returns the result of the whole. It does no input or output: ``Client``
and ``AsyncClient`` do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sluice_client.errors import DeadlinePassed, HandedIn, ServiceError, SluiceError, UnreadableAnswer

T = TypeVar("T")

JSON = "application/json"
NPY = "application/x-npy"
EVENTS = "text/event-stream"


@dataclass(frozen=True)
class Body:
    """A request's body and its media type."""

    type: str
    data: bytes


@dataclass(frozen=True)
class Answer:
    """What came back. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        """The JSON document. Raises UnreadableAnswer."""
        try:
            return json.loads(self.content)
        except ValueError as error:
            raise UnreadableAnswer(f"the answer ({self.headers.get('content-type')}) is no JSON") from error

    def header(self, name: str) -> str:
        """A header that every answer of Sluice's has. Raises UnreadableAnswer where it is missing."""
        found = self.headers.get(name)
        if found is None:
            raise UnreadableAnswer(f"the answer lacks the header {name}: it does not come from Sluice")
        return found


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request, and how its answer is read."""

    method: str
    path: str
    read: Callable[[Answer], T]
    params: Mapping[str, Any] = field(default_factory=dict)
    """The query; a value of None is left out."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Callable[[], Body] | None = None
    """Makes the body when it is needed: of a long list of calls, few bodies are in memory."""
    repeatable: bool = False
    """Whether the same request may be sent again when nobody knows whether it was carried out."""
    expected: frozenset[int] = frozenset()
    """Statuses of errors that the operation deals with: it is sent the ServiceError in place of what was read."""

    handed_in: HandedIn | None = None
    """The items that it sends, of a call that sends some."""

    @property
    def query(self) -> dict[str, str]:
        """The parameters as they are written."""
        return {name: _written(value) for name, value in self.params.items() if value is not None}


Operation = Generator[Sequence[Call[Any]], list[Any], T]


def read(call: Call[T], answer: Answer) -> T | ServiceError:
    """What a call's answer says.

    Raises ServiceError or DeadlinePassed for a status of 400 and more, and UnreadableAnswer for what is not Sluice's.
    """
    if answer.status < 300:
        try:
            return call.read(answer)
        except SluiceError:
            raise
        except (LookupError, TypeError, AttributeError, ValueError) as fault:
            raise UnreadableAnswer(f"{call.path}: the answer is none of Sluice's: {fault!r}") from fault
    error = error_of(answer, call.handed_in)
    if isinstance(error, ServiceError) and error.status in call.expected:
        return error
    raise error


def error_of(answer: Answer, handed_in: HandedIn | None = None) -> ServiceError | DeadlinePassed | UnreadableAnswer:
    """The error that an answer of 300 and more describes, to a request that held these items."""
    if answer.status < 400:
        target = answer.headers.get("location", "another address")
        return UnreadableAnswer(f"the address redirects to {target}: give the service's own as url")
    document = _document(answer)
    if answer.status == 504 and "detail" in document:
        return DeadlinePassed(document["detail"], document)
    return ServiceError(answer.status, document, retry_after(answer.headers), handed_in)


def problem_error(document: dict[str, Any]) -> ServiceError | DeadlinePassed:
    """The error that a problem document describes, where it came without a status line."""
    status = document.get("status", 500)
    if status == 504:
        return DeadlinePassed(document.get("detail", ""), document)
    return ServiceError(status, document)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from the header Retry-After; None where it is missing or is a date."""
    text = headers.get("retry-after", "").strip()
    return float(text) if text.isascii() and text.isdigit() else None


def _document(answer: Answer) -> dict[str, Any]:
    try:
        found = json.loads(answer.content)
    except ValueError:
        found = None
    if isinstance(found, dict):
        return found
    # Another program's error, such as a proxy's page: its beginning is all that can be told.
    return {"detail": answer.content[:200].decode("utf-8", "replace").strip() or "an empty answer"}


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
