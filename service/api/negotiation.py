"""Which representation a client wants: the Accept header against what a route can offer (RFC 9110, section 12.5.1)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from service.protocol.errors import NotAcceptable

_REMEMBERED = 256
"""Characters of a header whose meaning is kept for the next request that says the same."""


def negotiate(accept: str | None, offers: tuple[str, ...]) -> str:
    """The offer that the client likes best; between equals the first. Raises NotAcceptable."""
    if not accept:
        return offers[0]
    return _known(accept, offers) if len(accept) <= _REMEMBERED else _chosen(accept, offers)


def _chosen(accept: str, offers: tuple[str, ...]) -> str:
    ranges = [_range(part) for part in accept.split(",") if part.strip()]
    best = max(offers, key=lambda offer: _quality(offer, ranges))
    if _quality(best, ranges) <= 0:
        raise NotAcceptable(f"this answer comes as {', '.join(offers)}", "Accept")
    return best


_known = lru_cache(maxsize=1024)(_chosen)


def _range(text: str) -> tuple[str, float]:
    """A media range and its quality; an unreadable quality counts as 1."""
    media, *parameters = (part.strip().lower() for part in text.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return media, float(parameter[2:])
            except ValueError:
                break
    return media, 1.0


def _quality(offer: str, ranges: Sequence[tuple[str, float]]) -> float:
    """What the most specific range that matches says; 0 when none does."""
    for pattern in (offer, offer.split("/")[0] + "/*", "*/*"):
        found = [quality for media, quality in ranges if media == pattern]
        if found:
            return max(found)
    return 0.0
