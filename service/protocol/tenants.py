"""Whose request is being answered, as the device needs to know it: an API key, or where there are none an address."""

from __future__ import annotations

import ipaddress
from contextvars import ContextVar
from functools import lru_cache

from msgspec import Struct

_ADDRESS = "@"
"""Begins the name of a tenant that is an address. No key's name does."""


class Tenant(Struct, frozen=True, array_like=True):
    """The name of a key and what it allows at once and in a minute; or an address, which has a share and no limits."""

    name: str
    concurrent: int | None = None
    """The most jobs in the device at once."""
    item_ticks_per_minute: int | None = None


TENANT: ContextVar[Tenant | None] = ContextVar("tenant", default=None)
"""The tenant of the request that the running task answers; the client of the device puts it into what it sends."""


@lru_cache(maxsize=4096)
def tenant_at(address: str) -> Tenant:
    """The tenant of requests from an address, where there are no keys."""
    return Tenant(_ADDRESS + network_of(address))


def is_address(name: str) -> bool:
    """Whether a tenant's name is that of an address."""
    return name.startswith(_ADDRESS)


def network_of(address: str) -> str:
    """What counts as one client: an IPv4 address, or the 64 bits of an IPv6 address that one host gets."""
    try:
        whole = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if whole.version == 4:
        return str(whole)
    return str(whole.ipv4_mapped) if whole.ipv4_mapped else str(ipaddress.IPv6Network((whole, 64), strict=False))
