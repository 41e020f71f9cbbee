"""What both transports share: settings of a connection, requests as httpx takes them, and what its errors mean.

httpx is imported when the first client is made: it takes as long as all the rest of this package.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sluice_client.calls import Answer, Call
from sluice_client.errors import NotReached, SluiceError, UnreadableAnswer
from sluice_client.patience import Patience

if TYPE_CHECKING:
    import httpx

URL, KEY = "SLUICE_URL", "SLUICE_API_KEY"
DEFAULT_URL = "http://127.0.0.1:8000"
_CONNECT = 10.0
"""Seconds until a connection must stand."""
_KEPT = 4.0
"""Seconds that an idle connection is kept: the service keeps it longer, and so do most proxies."""
STREAM_SILENCE = 60.0
"""Seconds without a byte after which a stream of events counts as broken: the service sends one every 15."""


@dataclass(frozen=True)
class Connection:
    """Where the service is, and how patient its client."""

    url: str
    key: str | None = field(repr=False)
    timeout: float | None
    retry_for: float
    parallel: int

    def options(self) -> dict[str, Any]:
        """Arguments of a client of httpx's."""
        import httpx

        headers = {"User-Agent": f"sluice-client/{_version()}"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        limits = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=_KEPT)
        return {"base_url": self.url, "headers": headers, "follow_redirects": False, "limits": limits}

    def patience(self, timeout: float | None) -> Patience:
        """The patience of one call, whose own timeout wins over the client's."""
        return Patience(self.timeout if timeout is None else timeout, self.retry_for)


def connection(url: str | None, key: str | None, timeout: float | None, retry_for: float, parallel: int) -> Connection:
    """A connection; what is not given comes from the environment. Raises ValueError."""
    url = url or os.environ.get(URL) or DEFAULT_URL
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"url must begin with http:// or https://, not {url[:40]!r}")
    if parallel < 1:
        raise ValueError(f"parallel must be at least 1, not {parallel}")
    if timeout is not None and not timeout > 0:
        raise ValueError(f"timeout must be above 0 seconds, not {timeout}")
    return Connection(url.rstrip("/"), key or os.environ.get(KEY) or None, timeout, retry_for, parallel)


def request_of(call: Call[Any], patience: Patience) -> dict[str, Any]:
    """Arguments of httpx's ``request``. Raises DeadlinePassed."""
    import httpx

    headers = {**call.headers, **patience.headers()}
    content = None
    if call.body is not None:
        body = call.body()
        headers["Content-Type"], content = body.type, body.data
    return {
        "method": call.method,
        "url": call.path,
        "params": call.query,
        "headers": headers,
        "content": content,
        "timeout": httpx.Timeout(patience.silence(), connect=_CONNECT),
    }


def stream_of(call: Call[Any], patience: Patience) -> dict[str, Any]:
    """Arguments of httpx's ``stream``. Raises DeadlinePassed."""
    import httpx

    left = patience.remaining()
    silence = STREAM_SILENCE if left is None else min(left, STREAM_SILENCE)
    timeout = httpx.Timeout(silence, connect=_CONNECT)
    return {"method": call.method, "url": call.path, "headers": dict(call.headers), "timeout": timeout}


def answer_of(response: httpx.Response) -> Answer:
    """An answer that has been read whole."""
    return Answer(response.status_code, _headers(response), response.content)


def pause_after(error: httpx.TransportError, call: Call[Any], patience: Patience, address: str) -> float:
    """Seconds until a request whose connection failed is sent again. Raises the error where it must not be."""
    import httpx

    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        raise _not_reached(address, error) from error
    if isinstance(error, httpx.TimeoutException):
        patience.remaining()
        raise patience.passed() from error
    pause = patience.pause_after_breaking(call)
    if pause is None:
        raise _not_reached(address, error) from error
    return pause


def stream_pause_after(error: httpx.TransportError, call: Call[Any], patience: Patience, address: str) -> float:
    """The same of a stream of events, where silence means that the connection broke."""
    import httpx

    patience.remaining()
    if isinstance(error, httpx.TimeoutException):
        error = httpx.ReadError("the stream of events fell silent")
    return pause_after(error, call, patience, address)


def undecodable(error: Exception) -> UnreadableAnswer:
    """The error of an answer whose compression is damaged."""
    return UnreadableAnswer(f"the answer cannot be unpacked: {error}")


def _not_reached(address: str, error: Exception) -> SluiceError:
    return NotReached(f"{address}: {error or type(error).__name__}")


def _headers(response: httpx.Response) -> Mapping[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("sluice-client")
    except PackageNotFoundError:
        return "unknown"
