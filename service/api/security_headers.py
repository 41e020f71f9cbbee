"""Headers that every answer bears, and the check of the Host that a request was sent to."""

from __future__ import annotations

from starlette.types import Scope

from service.protocol.errors import Misdirected, Unknown

_POLICY = b"content-security-policy"
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_NOTHING = (_POLICY, b"default-src 'none'; frame-ancestors 'none'")
"""What an answer that is no page may load and run in a browser, and where it may be framed."""
PAGE_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""The policy of a page of Sluice: scripts come from the service itself, and from nowhere else."""
STRICT_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The policy of a page without inline styles. Pictures may be `data:` and `blob:`: previews of an inpainting, drops."""
METRICS = "/metrics"
PROBES = ("/health/", "/v2/health/", METRICS)
"""Paths that an orchestrator calls, by the address of a container and however busy the service is."""


def secure(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers of an answer with those of security. An answer's own content security policy stays."""
    own = any(name.lower() == _POLICY for name, _ in headers)
    return [*headers, *_HEADERS] if own else [*headers, *_HEADERS, _NOTHING]


def check_listener(scope: Scope, metrics_port: int) -> None:
    """Raises Unknown for metrics on any other port than their own, and there for all that is no probe."""
    server = scope.get("server")
    if server is not None and server[1] == metrics_port:
        if not scope["path"].startswith(PROBES):
            raise Unknown("this port answers metrics and probes alone")
    elif scope["path"] == METRICS:
        raise Unknown("metrics are told on a port of their own")


def check_host(host: bytes | None, path: str, allowed: frozenset[str]) -> None:
    """Raises Misdirected for a request to another name than those allowed. Without names any is, and so are probes."""
    if not allowed or path.startswith(PROBES):
        return
    name = (host or b"").decode("latin-1").lower()
    if not name.endswith("]"):  # an IPv6 address without a port
        name = name.rpartition(":")[0] or name
    if name not in allowed:
        raise Misdirected("Host: this service does not answer to that name", "Host")
