"""An operation is a route that computes. Frequent requests and unusual ones take the same short way through it.

FastAPI describes an operation (its parameters, bodies and answers stand in `/docs`) and is not asked to resolve
anything: an operation is a plain ASGI application, which validates the query by the same pydantic model that FastAPI
documents, runs its handler under the guard and sends the answer.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import parse_qsl

from fastapi import Header, Path, Query
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.api.answers import Answer
from service.api.guard import CLIENT_LEFT, ClientLeft, Exchange
from service.api.problems import MEDIA_TYPE as PROBLEM_TYPE
from service.api.problems import REJECTED, STATUS, ProblemDocument, invalid, problem_answer, problem_of
from service.protocol.errors import WrongValue

ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What the id of an inpainting may be."""

_REMEMBERED = 512
"""Bytes of a query whose parameters are kept for the next request that says the same."""


class Parameters(BaseModel):
    """The query of an operation."""

    model_config = ConfigDict(frozen=True, extra="ignore")


P = TypeVar("P", bound=Parameters)
Handler = Callable[[Exchange, P], Awaitable[Response]]


class Operation(Generic[P]):
    """An ASGI application: query, guard, handler, answer."""

    def __init__(self, method: str, path: str, parameters: type[P], handler: Handler[P]) -> None:
        self.method, self.path, self.parameters = method, path, parameters
        self._handler = handler
        self._parsed = lru_cache(maxsize=256)(self._parse)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        service = scope["app"].state.service
        exchange = Exchange(service, scope, receive)
        try:
            answer = await exchange.run(lambda: self._answer(exchange))
        except ClientLeft:
            service.metrics.cancelled.labels("client_left").inc()
            answer = Answer(b"", status=CLIENT_LEFT)
        except Exception as error:
            problem = problem_of(error)
            if problem.kind == "deadline":
                service.metrics.cancelled.labels("deadline").inc()
            elif problem.kind in REJECTED:
                service.metrics.rejected.labels(problem.kind).inc()
            answer = problem_answer(problem)
        await answer(scope, receive, send)

    async def _answer(self, exchange: Exchange) -> Response:
        query = exchange.scope["query_string"]
        parameters = self._parsed(query) if len(query) <= _REMEMBERED else self._parse(query)
        return await self._handler(exchange, parameters)

    def _parse(self, query: bytes) -> P:
        try:
            return self.parameters.model_validate(dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)))
        except ValidationError as error:
            raise WrongValue(*invalid(error)) from error


class Described(BaseModel):
    """Headers that every operation reads."""

    x_deadline_ms: Annotated[
        int | None, Header(ge=1, le=86_400_000, description="Give up after this many milliseconds, if that is sooner")
    ] = None
    accept: Annotated[str | None, Header(description="Which representation of the answer")] = None


class OperationRoute(APIRoute):
    """An operation as FastAPI describes it; requests go straight to the operation."""

    def __init__(self, operation: Operation[Any], name: str, doc: str | None, **description: Any) -> None:
        self.operation = operation
        super().__init__(
            operation.path,
            _signature(operation.parameters, _PART.findall(operation.path), name, doc),
            methods=[operation.method],
            response_class=Response,
            **description,
        )
        self.app = operation


def operation(
    method: str,
    path: str,
    parameters: type[P],
    *,
    responses: dict[int | str, dict[str, Any]],
    body: dict[str, Any] | None = None,
    refusals: Sequence[int] = (),
) -> Callable[[Handler[P]], OperationRoute]:
    """Make a route of a handler. ``refusals`` are the status codes of problems beyond those of every operation."""

    def made(handler: Handler[P]) -> OperationRoute:
        return OperationRoute(
            Operation(method, path, parameters, handler),
            handler.__name__,
            handler.__doc__,
            tags=["inference"],
            responses={**problems(400, 406, *refusals), **responses},
            openapi_extra=body,
        )

    return made


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI of the refusals that a route may answer with."""
    content = {PROBLEM_TYPE: {"schema": ProblemDocument.model_json_schema()}}
    every = sorted({*statuses, STATUS["unknown"], STATUS["wrong_value"], STATUS["queue_full"], 503, 504})
    return {status: {"content": content} for status in every}


_PART = re.compile(r"{(\w+)}")
"""A named part of a path."""
_KINDS: dict[str, Any] = {"id": Annotated[str, Path(pattern=rf"^{ID.pattern}$")]}
"""Parts that may not be any text."""


def _signature(parameters: type[Parameters], parts: list[str], name: str, doc: str | None) -> Callable[..., Any]:
    """A function that nobody calls: FastAPI reads the parameters of an operation from its signature."""

    async def described(**_: Any) -> None: ...

    fields = [
        inspect.Parameter("query", inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[parameters, Query()]),
        inspect.Parameter("headers", inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[Described, Header()]),
    ]
    fields += [
        inspect.Parameter(part, inspect.Parameter.KEYWORD_ONLY, annotation=_KINDS.get(part, str)) for part in parts
    ]
    described.__signature__ = inspect.Signature(fields)  # type: ignore[attr-defined]
    described.__name__, described.__doc__ = name, doc
    return described
