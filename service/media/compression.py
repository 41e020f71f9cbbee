"""gzip and deflate (RFC 9110, section 8.4.1), with a bound on what a compressed body may unfold into."""

from __future__ import annotations

import gzip
import zlib

from service.protocol.errors import Malformed, TooLarge, WrongType

CODINGS = ("gzip", "deflate")
_GZIP, _ZLIB, _RAW = 31, 15, -15
"""Values of zlib's ``wbits``."""
_LEVEL = 1
"""The fastest: numbers gain little from a slower one."""


def inflated(data: bytes, coding: str, limit: int) -> bytes:
    """The body that was compressed. Raises TooLarge beyond ``limit`` bytes, Malformed, or WrongType.

    What is called deflate is zlib's format or, as some programs send it, the bare stream.
    """
    if coding == "identity":
        return data
    if coding not in CODINGS:
        raise WrongType(f"a body may be compressed with {' or '.join(CODINGS)}", "Content-Encoding")
    if coding == "gzip":
        return _unfolded(data, _GZIP, limit)
    try:
        return _unfolded(data, _ZLIB, limit)
    except Malformed:
        return _unfolded(data, _RAW, limit)


def deflated(data: bytes, coding: str) -> bytes:
    """A body, compressed."""
    return gzip.compress(data, _LEVEL, mtime=0) if coding == "gzip" else zlib.compress(data, _LEVEL)


def wished(accept_encoding: str | None) -> str | None:
    """The coding that a client wants an answer in: one that it names alone.

    Browsers and HTTP libraries list all that they can read without a wish for it; compressing numbers costs more than
    it saves on most networks.
    """
    coding = (accept_encoding or "").strip().lower()
    return coding if coding in CODINGS else None


def _unfolded(data: bytes, wbits: int, limit: int) -> bytes:
    parts: list[bytes] = []
    room = limit + 1
    while data:  # a gzip file may have several members
        stream = zlib.decompressobj(wbits)
        try:
            parts.append(stream.decompress(data, room))
        except zlib.error as error:
            raise Malformed("the body is not compressed as Content-Encoding says", "Content-Encoding") from error
        room -= len(parts[-1])
        if room <= 0:
            raise TooLarge(f"a body may hold {limit} bytes, also once it is decompressed", "body")
        if not stream.eof:
            raise Malformed("the compressed body ends too early", "Content-Encoding")
        data = stream.unused_data
        if data and wbits != _GZIP:
            raise Malformed("bytes follow the compressed body", "Content-Encoding")
    return parts[0] if len(parts) == 1 else b"".join(parts)
