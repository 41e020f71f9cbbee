"""/docs: every call, described and to be tried out. Its files ship with the service; no other host is asked for any."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Response

import service
from service.api.answers import Answer
from service.api.security_headers import PAGE_POLICY
from service.protocol.errors import Unknown

router = APIRouter(include_in_schema=False)

_FOLDER = Path(service.__file__).parent / "page" / "docs"
_TYPES = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "start.js": "text/javascript; charset=utf-8",
}


@router.get("/docs")
async def page() -> Response:
    """The page."""
    return _file("index.html", "text/html; charset=utf-8")


@router.get("/docs/{file}")
async def part(file: str) -> Response:
    """A script or a style of the page."""
    if file not in _TYPES:
        raise Unknown("there is no such file", "file")
    return _file(file, _TYPES[file])


def _file(name: str, media_type: str) -> Response:
    headers = {"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-cache"}
    return Answer((_FOLDER / name).read_bytes(), media_type, headers)
