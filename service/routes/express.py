"""The express lane: what is asked most, without the general machinery.

To find a route and to resolve its dependencies takes FastAPI longer than everything else that the event loop does for
one picture, and the device's thread waits for the interpreter meanwhile. What decides the answer is shared with the
routes: the lane calls the same functions with what a plain request says.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import parse_qsl

from fastapi import Request, Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from flows import FlowError
from service.engine import Engine
from service.errors import Problem, response_of
from service.routes import asked, inpaint, score
from service.routes.common import admit, items_sent
from service.watch import watched

Said = Mapping[str, str]
"""What a query says, by name, each in the form that its route takes without a word."""


class Lane(NamedTuple):
    route: BaseRoute
    fields: Mapping[str, re.Pattern[str]]
    """What a plain query may say."""
    answer: Callable[[Engine, Request, Said], Awaitable[Response]]


class Express:
    """Answers plain requests itself; all others, and whatever may be wrong with a query, go on to the application."""

    def __init__(self, app: ASGIApp, engine: Engine) -> None:
        self._app, self._engine = app, engine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        plain = _plain(scope)
        if plain is None:
            await self._app(scope, receive, send)
            return
        lane, said = plain
        scope["route"] = lane.route

        async def answered(request: Request) -> Response:
            return await lane.answer(self._engine, request, said)

        try:
            response = await watched(answered, Request(scope, receive))
        except (Problem, FlowError) as error:
            response = response_of(error)
        await response(scope, receive, send)


async def _score(engine: Engine, request: Request, said: Said) -> Response:
    model = engine.registry.get(said.get("model"))
    call = admit(request, engine)
    with call.ticket:
        items = await items_sent(request, model, call)
        alpha, accept = float(said.get("alpha", score.ALPHA)), request.headers.get("accept")
        return await score.score(engine, model, call, items, _seed(said), alpha, accept=accept)


async def _inpaint(engine: Engine, request: Request, said: Said) -> Response:
    model = engine.registry.get(said.get("model"))
    form = await inpaint.acceptable(model, request.headers.get("accept"))
    call = admit(request, engine)
    with call.ticket:
        n, steps = int(said.get("n", asked.DEFAULT_N)), int(said.get("steps", asked.DEFAULT_STEPS))
        wanted = await asked.asked_for(request, engine, model, call, n, steps, seed=_seed(said))
        return await inpaint.inpaint(request, engine, form, call, wanted)


def _seed(said: Said) -> int | None:
    return int(said["seed"]) if "seed" in said else None


_TEXT, _COUNT, _SEED = re.compile(r"(?s).+"), re.compile(r"[0-9]{1,9}"), re.compile(r"[0-9]{1,18}")
_SHARE = re.compile(r"0\.[0-9]{0,12}[1-9]")
_LANES = {
    "/score": Lane(score.router.routes[0], {"model": _TEXT, "seed": _SEED, "alpha": _SHARE}, _score),
    "/inpaint": Lane(inpaint.router.routes[0], {"model": _TEXT, "seed": _SEED, "n": _COUNT, "steps": _COUNT}, _inpaint),
}


def _plain(scope: Scope) -> tuple[Lane, Said] | None:
    """A request's lane and what its query says; None where that, or a header, is more than the lane knows of."""
    if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in _LANES:
        return None
    for name, value in scope["headers"]:
        if name in (b"x-deadline-ms", b"prefer") or (name == b"accept" and b"event-stream" in value):
            return None
    said = _said(scope["path"], scope["query_string"])
    return (_LANES[scope["path"]], said) if said is not None else None


@lru_cache(maxsize=256)
def _said(path: str, query: bytes) -> Said | None:
    pairs, fields = parse_qsl(query.decode("latin-1"), keep_blank_values=True), _LANES[path].fields
    said = dict(pairs)
    plain = all(name in fields and fields[name].fullmatch(value) for name, value in pairs)
    return said if plain and len(said) == len(pairs) else None
