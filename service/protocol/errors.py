"""The kinds of error that a request can meet. `service/api/problems.py` turns each kind into a status code."""

from __future__ import annotations

import errno
from typing import ClassVar

_MEMORY_RETRY_AFTER = 2
"""Seconds after which a request may come again that met too little memory: others that hold it are over by then."""


class Problem(Exception):
    """A request that cannot be answered.

    ``kind`` names the sort of problem, ``field`` the parameter or part at fault, ``retry_after`` the seconds after
    which the same request may succeed. The detail never holds a path or a traceback.
    """

    kind: ClassVar[str] = "unexpected"

    def __init__(self, detail: str, field: str | None = None, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.detail, self.field, self.retry_after = detail, field, retry_after


class Malformed(Problem):
    """Bytes that cannot be read as what they claim to be."""

    kind = "malformed"


class NotAuthenticated(Problem):
    """No token, or a wrong one. ``supplied`` tells which (RFC 6750, section 3)."""

    kind = "not_authenticated"

    def __init__(self, detail: str, supplied: bool = False) -> None:
        super().__init__(detail)
        self.supplied = supplied


class Forbidden(Problem):
    """Something that nobody may do in this service, or that the client's API key is not good for."""

    kind = "forbidden"


class Misdirected(Problem):
    """A request to a name that this service does not answer to."""

    kind = "misdirected"


class Unknown(Problem):
    """A model, a task or a file that does not exist."""

    kind = "unknown"


class NotAcceptable(Problem):
    """No representation that the client accepts."""

    kind = "not_acceptable"


class Conflict(Problem):
    """An identifier that stands for something else already."""

    kind = "conflict"


class TooLarge(Problem):
    """More than the limits of this service allow in one request."""

    kind = "too_large"


class WrongType(Problem):
    """A body of a type that the call does not take."""

    kind = "wrong_type"


class WrongValue(Problem):
    """The right form and a value that is not allowed."""

    kind = "wrong_value"


class QueueFull(Problem):
    """No room for the work now."""

    kind = "queue_full"

    def __init__(self, retry_after: int) -> None:
        super().__init__("the queue is full; try again later", retry_after=retry_after)


class Busy(Problem):
    """No room for the bytes of a request now."""

    kind = "queue_full"


class KeyLimit(QueueFull):
    """No room for the work now, for a reason of its own: more than the client's API key allows."""

    def __init__(self, detail: str, retry_after: int) -> None:
        super().__init__(retry_after)
        self.detail = detail
        self.args = (detail,)


class Unavailable(Problem):
    """No model or no device to compute with now."""

    kind = "unavailable"


class OutOfMemory(Unavailable):
    """Not enough memory for a request now. Not the client's fault, and over once others have been answered."""

    def __init__(self, detail: str = "there is not enough memory for this request now") -> None:
        super().__init__(detail, retry_after=_MEMORY_RETRY_AFTER)


def is_shortage(error: BaseException) -> bool:
    """Whether an error of Python or of the system means that the process got no memory.

    A thread needs memory too, for its stack; that it got none is told by a RuntimeError.
    """
    if isinstance(error, RuntimeError):
        return str(error) == "can't start new thread"
    return isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM


class DeadlinePassed(Problem):
    """The time that the request had is over."""

    kind = "deadline"

    def __init__(self) -> None:
        super().__init__("the deadline passed before the answer was ready")


class Unexpected(Problem):
    """A fault of the service itself. The log says more than the client is told."""

    kind = "unexpected"

    def __init__(self) -> None:
        super().__init__("an unexpected error; the log says more")


_ANY: tuple[type[Problem], ...] = (
    Malformed,
    Unknown,
    Conflict,
    TooLarge,
    WrongType,
    WrongValue,
    Unavailable,
)
_PLAIN = {problem.kind: problem for problem in _ANY}


def problem_of(kind: str, detail: str, field: str | None, retry_after: int | None) -> Problem:
    """The exception that a ``Failed`` message describes."""
    if kind == QueueFull.kind:
        return KeyLimit(detail, retry_after or 1)
    if kind == DeadlinePassed.kind:
        return DeadlinePassed()
    if kind in _PLAIN:
        return _PLAIN[kind](detail, field, retry_after)
    return Unexpected()
