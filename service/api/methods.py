"""Which methods a path takes: for OPTIONS, for HEAD, and for the Allow header of a 405."""

from __future__ import annotations

from starlette.routing import BaseRoute, Match
from starlette.types import Scope

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def methods_of(scope: Scope, computing: tuple[BaseRoute, ...]) -> list[str]:
    """The methods of the request's path, in a fixed order; an empty list where no route has this path.

    HEAD is answered wherever GET is, but for ``computing`` routes, whose answer is work or a stream.
    """
    routes: list[BaseRoute] = scope["app"].router.routes
    found = {method: route for method in _METHODS for route in routes if _takes(route, scope, method)}
    if "GET" in found and found["GET"] not in computing:
        found.setdefault("HEAD", found["GET"])
    return [*(method for method in _METHODS if method in found), "OPTIONS"] if found else []


def _takes(route: BaseRoute, scope: Scope, method: str) -> bool:
    return route.matches({**scope, "method": method})[0] is Match.FULL
