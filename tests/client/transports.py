"""Transports of httpx's that answer as a test says, and note what was sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import httpx
from sluice_client import Client

Reply = httpx.Response | Exception


class Scripted(httpx.BaseTransport):
    """Gives the replies one after another, the last one again and again; an exception is raised."""

    def __init__(self, *replies: Reply | Callable[[httpx.Request], Reply]) -> None:
        self.replies = list(replies)
        self.requests: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        found = reply(request) if callable(reply) else reply
        if isinstance(found, Exception):
            raise found
        return httpx.Response(found.status_code, headers=found.headers, content=found.content)

    @property
    def paths(self) -> list[str]:
        return [request.url.path for request in self.requests]


def problem(
    status: int, detail: str, *, field: str | None = None, headers: dict[str, str] | None = None
) -> httpx.Response:
    document = {
        "type": "about:blank",
        "title": "T",
        "status": status,
        "detail": detail,
        "error": detail,
        "field": field,
    }
    kind = {"content-type": "application/problem+json", **(headers or {})}
    return httpx.Response(status, headers=kind, content=json.dumps(document).encode())


def busy(seconds: int = 0, status: int = 429) -> httpx.Response:
    return problem(status, "the queue is full; try again later", headers={"retry-after": str(seconds)})


def scores(count: int = 1) -> httpx.Response:
    """An answer of `/score`."""
    items: Sequence[dict[str, Any]] = [
        {"log_likelihood": float(index), "bits_per_dim": None, "p_value": None, "anomalous": None, "tests": {}}
        for index in range(count)
    ]
    group = {"count": count, "log_likelihood": 0.0}
    document = {"model": "m@1", "calibrated": False, "alpha": 0.01, "items": items, "group": group}
    return httpx.Response(200, content=json.dumps(document).encode())


def client_of(transport: Scripted, **options: Any) -> Client:
    return Client("http://sluice", transport=transport, **options)
