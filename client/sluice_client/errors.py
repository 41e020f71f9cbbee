"""What can go wrong, as exceptions. Every one of them is a ``SluiceError``."""

from __future__ import annotations

from typing import Any


class SluiceError(Exception):
    """The base of every error that this package raises on purpose."""


class UnusableInput(SluiceError, ValueError):
    """An argument cannot be sent. The message names it, and the item or the column at fault."""


class NotReached(SluiceError, ConnectionError):
    """No answer came: nobody listens at the address, or the connection broke."""


class UnreadableAnswer(SluiceError):
    """An answer came that is none of Sluice's: another program listens at the address, or a proxy answered."""


class DeadlinePassed(SluiceError, TimeoutError):
    """The time that the call had is over. ``document`` is the service's problem document, if the service said so."""

    def __init__(self, message: str, document: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.document = document or {}


class ServiceError(SluiceError):
    """The service refused a request, or could not answer it. ``document`` is its problem document (RFC 9457)."""

    def __init__(self, status: int, document: dict[str, Any], retry_after: float | None = None) -> None:
        self.status, self.document, self.retry_after = status, document, retry_after
        self.title: str = document.get("title", "")
        self.detail: str = document.get("detail", self.title)
        self.field: str | None = document.get("field")
        """The parameter or the part of the body at fault."""
        super().__init__(f"{status} {self.title}: {self.detail}" if self.title else f"{status}: {self.detail}")
