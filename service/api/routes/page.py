"""/: the web page, which speaks the same API as every client. Its files ship with the service."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header, Response

import service
from service.api.answers import Answer
from service.api.security_headers import STRICT_PAGE_POLICY
from service.protocol.errors import Unknown

router = APIRouter(include_in_schema=False)

_FOLDER = Path(service.__file__).parent / "page"
_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
_FOLDERS = (".", "tabs")
"""Where scripts and styles lie. `docs` has a route of its own."""

_Tag = Annotated[str | None, Header()]


@router.get("/")
async def page(if_none_match: _Tag = None) -> Response:
    """The page."""
    return _answer("index.html", "text/html; charset=utf-8", if_none_match)


@router.get("/page/{file:path}")
async def part(file: str, if_none_match: _Tag = None) -> Response:
    """A script or a style of the page."""
    if file not in _parts():
        raise Unknown("there is no such file", "file")
    return _answer(file, _TYPES[Path(file).suffix], if_none_match)


@cache
def _parts() -> frozenset[str]:
    """Paths of the scripts and styles below the folder: nothing else is served."""
    found = (path for folder in _FOLDERS for path in (_FOLDER / folder).iterdir() if path.suffix in _TYPES)
    return frozenset(path.relative_to(_FOLDER).as_posix() for path in found)


@cache
def _content(name: str) -> tuple[bytes, str]:
    """A file and its entity tag; read once, since the files change only with the service."""
    content = (_FOLDER / name).read_bytes()
    return content, f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def _answer(name: str, media_type: str, known: str | None) -> Response:
    content, tag = _content(name)
    headers = {"Content-Security-Policy": STRICT_PAGE_POLICY, "Cache-Control": "no-cache", "ETag": tag}
    if known is not None and tag in known:
        return Answer(b"", None, headers, status=304)
    return Answer(content, media_type, headers)
