"""Every refusal as a problem document (RFC 9457), in one place; none tells a path or a traceback."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import ClassVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from flows import FlowError

logger = logging.getLogger("sluice")

MEDIA_TYPE = "application/problem+json"
_UNEXPECTED = "an unexpected error; the log says more"


class Problem(Exception):
    """A request that cannot be answered, with its status; ``field`` names the parameter or part at fault."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR

    def __init__(self, detail: str, field: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.detail, self.field, self.headers = detail, field, headers


class Malformed(Problem):
    status = HTTPStatus.BAD_REQUEST


class NotAuthenticated(Problem):
    """No token, or a wrong one; ``supplied`` tells which (RFC 6750, section 3)."""

    status = HTTPStatus.UNAUTHORIZED

    def __init__(self, supplied: bool) -> None:
        challenge = 'Bearer realm="sluice"' + (', error="invalid_token"' if supplied else "")
        detail = "the token is not that of the administrator" if supplied else "administration asks for a bearer token"
        super().__init__(detail, headers={"WWW-Authenticate": challenge})


class Forbidden(Problem):
    status = HTTPStatus.FORBIDDEN


class Unknown(Problem):
    status = HTTPStatus.NOT_FOUND


class NotAcceptable(Problem):
    status = HTTPStatus.NOT_ACCEPTABLE


class Conflict(Problem):
    status = HTTPStatus.CONFLICT


class Rejected(Problem):
    """A request for which there is no room or no model; ``reason`` is what the metrics call it."""

    reason: ClassVar[str]


class TooLarge(Rejected):
    reason = "too_large"
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class WrongType(Problem):
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class WrongValue(Problem):
    status = HTTPStatus.UNPROCESSABLE_ENTITY


class QueueFull(Rejected):
    """``retry_after``: seconds until, at the measured pace, the queue has room."""

    reason = "queue_full"
    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, retry_after: int) -> None:
        super().__init__("the queue is full; try again later", headers={"Retry-After": str(retry_after)})


class Unavailable(Rejected):
    reason = "unavailable"
    status = HTTPStatus.SERVICE_UNAVAILABLE


class DeadlinePassed(Problem):
    status = HTTPStatus.GATEWAY_TIMEOUT

    def __init__(self) -> None:
        super().__init__("the deadline passed before the answer was ready")


class ProblemDocument(BaseModel):
    """The body of every error answer."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    error: str
    """The same as ``detail``, for clients that look for this member."""
    field: str | None = None


def problem_of(error: Exception) -> ProblemDocument:
    """The document of an error that is told within an answer, when its status has long been sent."""
    if isinstance(error, Problem):
        return _document(error.status, error.detail, error.field)
    if isinstance(error, FlowError):
        return _document(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
    logger.error("an answer broke off", exc_info=error)
    return _document(HTTPStatus.INTERNAL_SERVER_ERROR, _UNEXPECTED)


def _document(status: int, detail: str, field: str | None = None) -> ProblemDocument:
    return ProblemDocument(title=HTTPStatus(status).phrase, status=status, detail=detail, error=detail, field=field)


def problem_response(
    status: int, detail: str, field: str | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    return JSONResponse(
        _document(status, detail, field).model_dump(exclude_none=True),
        status,
        headers=dict(headers or {}),
        media_type=MEDIA_TYPE,
    )


def response_of(error: Problem | FlowError) -> JSONResponse:
    """The answer that tells what was wrong with a request."""
    if isinstance(error, Problem):
        return problem_response(error.status, error.detail, error.field, error.headers)
    return problem_response(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))


def install(app: FastAPI) -> None:
    """Answer every exception that leaves a handler with a problem document."""
    app.add_exception_handler(Problem, _refusal)
    app.add_exception_handler(FlowError, _refusal)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(Exception, _unexpected)


async def _refusal(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem | FlowError)
    return response_of(error)


async def _http_exception(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return problem_response(error.status_code, str(error.detail), headers=error.headers)


async def _validation_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:]) or None
    return problem_response(HTTPStatus.UNPROCESSABLE_ENTITY, f"{field}: {first['msg']}", field)


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem_response(HTTPStatus.INTERNAL_SERVER_ERROR, _UNEXPECTED)
