"""What can go wrong, as exceptions. Every one of them is a ``SluiceError``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_NUMBERED = re.compile(r"\w+\[(\d+)\]")
"""The field of an item, such as ``items[3]``."""


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


@dataclass(frozen=True)
class HandedIn:
    """Which of the caller's items a request holds: those from the number ``first`` on, and their files' names."""

    first: int = 0
    names: Sequence[str] = ()

    def told(self, item: int | None) -> str:
        """What a message of the service's lacks, so that one knows which item it is about."""
        if item is None:
            return f" (items are counted from item {self.first} on)" if self.first else ""
        place = item - self.first
        name = self.names[place] if place < len(self.names) else ""
        if name:
            return f" (item {item}: {name})"
        return f" (item {item})" if self.first else ""


class ServiceError(SluiceError):
    """The service refused a request, or could not answer it. ``document`` is its problem document (RFC 9457).

    ``handed_in`` says which of the caller's items the request held: the service counts those of one request.
    """

    def __init__(
        self,
        status: int,
        document: dict[str, Any],
        retry_after: float | None = None,
        handed_in: HandedIn | None = None,
    ) -> None:
        self.status, self.document, self.retry_after = status, document, retry_after
        self.title: str = document.get("title", "")
        self.detail: str = document.get("detail", self.title)
        self.field: str | None = document.get("field")
        """The parameter or the part of the body at fault."""
        numbered = _NUMBERED.fullmatch(self.field or "") if handed_in else None
        self.item: int | None = None if numbered is None or handed_in is None else handed_in.first + int(numbered[1])
        """The number of the item at fault among all that were handed in, from 0; None where no item is named."""
        told = handed_in.told(self.item) if handed_in else ""
        super().__init__((f"{status} {self.title}: " if self.title else f"{status}: ") + self.detail + told)
