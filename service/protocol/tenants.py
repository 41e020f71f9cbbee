"""Whose request is being answered: the key of an API client, as the device needs to know it."""

from __future__ import annotations

from contextvars import ContextVar

from msgspec import Struct


class Tenant(Struct, frozen=True, array_like=True):
    """The name of a key and what it allows at once and in a minute."""

    name: str
    concurrent: int | None = None
    """The most jobs in the device at once."""
    item_ticks_per_minute: int | None = None


TENANT: ContextVar[Tenant | None] = ContextVar("tenant", default=None)
"""The tenant of the request that the running task answers; the client of the device puts it into what it sends."""
