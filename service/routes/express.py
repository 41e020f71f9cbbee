"""The express lane: a plain `POST /score` without the general machinery.

To find the route and to resolve its dependencies takes FastAPI longer than everything else that the event loop does for
one picture, and the device's thread waits for the interpreter meanwhile. What decides the answer is shared with the
route: the lane calls the same functions with what a plain request says.
"""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import parse_qsl

from fastapi import Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from flows import FlowError
from service.engine import Engine
from service.errors import Problem, response_of
from service.negotiation import JPEG, NPY, PNG
from service.routes import score
from service.routes.common import admitted, items_sent
from service.watch import watched

_TYPES = frozenset(kind.encode() for kind in (PNG, JPEG, NPY))
_SEED, _ALPHA = re.compile(r"[0-9]{1,18}"), re.compile(r"0\.[0-9]{0,12}[1-9]")


class Asked(NamedTuple):
    """What the query of a plain request says."""

    model: str | None = None
    seed: int | None = None
    alpha: float = score.ALPHA


class Express:
    """Answers plain requests itself; all others, and whatever may be wrong with a query, go on to the application.

    Plain is a `POST /score` of one picture or one npy array, with a query of model, seed and alpha at most.
    """

    def __init__(self, app: ASGIApp, engine: Engine) -> None:
        self._app, self._engine = app, engine
        (self._route,) = score.router.routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = _plain(scope)
        if asked is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = self._route

        async def answered(request: Request) -> Response:
            return await self._score(request, asked)

        try:
            response = await watched(answered, Request(scope, receive))
        except (Problem, FlowError) as error:
            response = response_of(error)
        await response(scope, receive, send)

    async def _score(self, request: Request, asked: Asked) -> Response:
        model = self._engine.registry.get(asked.model)
        async with _admitted(request) as call:
            items = await items_sent(request, model, call)
            accept = request.headers.get("accept")
            return await score.score(self._engine, model, call, items, asked.seed, asked.alpha, accept=accept)


_admitted = asynccontextmanager(admitted)


def _plain(scope: Scope) -> Asked | None:
    """What is asked for, if plainly; None for anything else."""
    if scope["type"] != "http" or scope["path"] != "/score" or scope["method"] != "POST":
        return None
    types = [value for name, value in scope["headers"] if name == b"content-type"]
    if len(types) != 1 or types[0] not in _TYPES or any(name == b"x-deadline-ms" for name, _ in scope["headers"]):
        return None
    return _asked(scope["query_string"])


@lru_cache(maxsize=256)
def _asked(query: bytes) -> Asked | None:
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    values = dict(pairs)
    model, seed, alpha = (values.pop(name, None) for name in Asked._fields)
    if values or len(pairs) > len(Asked._fields) or len({name for name, _ in pairs}) < len(pairs):
        return None
    if (seed is not None and not _SEED.fullmatch(seed)) or (alpha is not None and not _ALPHA.fullmatch(alpha)):
        return None
    return Asked(model, None if seed is None else int(seed), score.ALPHA if alpha is None else float(alpha))
