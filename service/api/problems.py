"""Kinds of error to status codes and problem documents (RFC 9457): the only file that knows both."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from msgspec import UNSET, Struct, UnsetType
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from service.api.answers import Answer
from service.media.documents import to_json
from service.protocol.errors import NotAuthenticated, OutOfMemory, Problem, Unexpected, is_shortage

logger = logging.getLogger("sluice")

MEDIA_TYPE = "application/problem+json"
STATUS = {
    "malformed": 400,
    "not_authenticated": 401,
    "forbidden": 403,
    "unknown": 404,
    "not_acceptable": 406,
    "conflict": 409,
    "too_large": 413,
    "wrong_type": 415,
    "misdirected": 421,
    "wrong_value": 422,
    "queue_full": 429,
    "unexpected": 500,
    "unavailable": 503,
    "deadline": 504,
}
REJECTED = frozenset({"too_large", "queue_full", "unavailable"})
"""Kinds that mean: for want of room or of a model. The metrics count them by reason."""


class ProblemDocument(BaseModel):
    """The body of every error answer."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    error: str
    """The same as ``detail``, for clients that look for this member."""
    field: str | None = None


class _Document(Struct):
    """``ProblemDocument`` as it is written."""

    title: str
    status: int
    detail: str
    error: str
    field: str | UnsetType = UNSET
    type: str = "about:blank"


def document_of(error: BaseException) -> Any:
    """The problem document of an error, for an answer whose status was sent long ago."""
    problem = problem_of(error)
    return _document(STATUS[problem.kind], problem.detail, problem.field)


def problem_of(error: BaseException) -> Problem:
    """The error itself, or Unexpected for one that nobody foresaw; the log then says more."""
    if isinstance(error, Problem):
        return error
    if is_shortage(error):
        return OutOfMemory()
    logger.error("a request failed", exc_info=error)
    return Unexpected()


def problem_answer(problem: Problem) -> Answer:
    """The answer that tells what is wrong with a request."""
    headers: dict[str, str] = {}
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    if isinstance(problem, NotAuthenticated):
        challenge = 'Bearer realm="sluice"' + (', error="invalid_token"' if problem.supplied else "")
        headers["WWW-Authenticate"] = challenge
    return _answer(STATUS[problem.kind], problem.detail, problem.field, headers)


def body_of(status: int, detail: str, field: str | None = None) -> bytes:
    """A problem document, for an answer that no route makes."""
    return to_json(_document(status, detail, field))


def invalid(error: ValidationError | RequestValidationError) -> tuple[str, str | None]:
    """Detail and field of the first thing that a validation found wrong."""
    first = error.errors()[0]
    place = first["loc"][1:] if isinstance(error, RequestValidationError) else first["loc"]
    field = ".".join(str(part) for part in place) or None
    return f"{field}: {first['msg']}", field


def install(app: FastAPI) -> None:
    """Answer every exception that leaves a handler with a problem document."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(Exception, _unexpected)


async def _problem(_: Request, error: Exception) -> Answer:
    return problem_answer(problem_of(error))


async def _http_exception(_: Request, error: Exception) -> Answer:
    assert isinstance(error, HTTPException)
    return _answer(error.status_code, str(error.detail), None, dict(error.headers or {}))


async def _validation_error(_: Request, error: Exception) -> Answer:
    assert isinstance(error, RequestValidationError)
    return _answer(422, *invalid(error), {})


async def _unexpected(request: Request, error: Exception) -> Answer:
    if is_shortage(error):
        return problem_answer(OutOfMemory())
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem_answer(Unexpected())


def _document(status: int, detail: str, field: str | None) -> _Document:
    return _Document(HTTPStatus(status).phrase, status, detail, detail, UNSET if field is None else field)


def _answer(status: int, detail: str, field: str | None, headers: Mapping[str, str]) -> Answer:
    return Answer(body_of(status, detail, field), MEDIA_TYPE, headers, status)
