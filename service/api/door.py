"""The outermost layer of the application, which every request passes."""

from __future__ import annotations

import time
from collections.abc import Sequence

from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.access_log import log_access
from service.api.answers import Answer
from service.api.methods import methods_of
from service.api.operations import OperationRoute
from service.api.problems import problem_answer, problem_of
from service.api.routes.v2 import infer
from service.api.security_headers import PROBES, check_host, check_listener, secure
from service.api.service import Service
from service.api.tracing import trace_id
from service.logs import REQUEST, TRACE, request_id
from service.protocol.tenants import TENANT, tenant_at


class Door:
    """Counts and times requests, names them in the log, and sends keep-alive clients elsewhere while draining.

    It answers OPTIONS and HEAD for every route, and what no route answers for. A request to a path without parameters
    goes straight to its operation. Plain ASGI on purpose: a BaseHTTPMiddleware would hide a client's departure from the
    handler.
    """

    def __init__(self, app: ASGIApp, service: Service, operations: Sequence[OperationRoute]) -> None:
        self._app, self._service = app, service
        self._hosts = frozenset(service.settings.host_names)
        self._metrics_port = service.settings.metrics_port
        self._logs = service.settings.access_log
        self._computing: tuple[BaseRoute, ...] = tuple(operations)
        self._operations = {
            (route.operation.method, route.operation.path): route for route in operations if "{" not in route.path
        }

    def direct(self, scope: Scope) -> OperationRoute | None:
        """The operation that answers a request, if it is found without asking every route."""
        return self._operations.get((scope["method"], scope["path"])) or infer.direct(scope)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method, status, began = scope["method"], 500, time.perf_counter()
        started = False
        authority, key = self._service.authority, None
        sent: dict[bytes, bytes] = dict(scope["headers"])
        name = request_id(sent.get(b"x-request-id"))
        tracing = self._service.tracing
        span = None if tracing is None else tracing.begin(sent)
        token = REQUEST.set(name)
        traced = TRACE.set(trace_id(sent.get(b"traceparent")) if tracing is None else tracing.trace_of(span))

        async def note(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                started, status = True, message["status"]
                headers = secure(message["headers"])
                headers.append((b"x-request-id", name.encode()))
                if status == 405:  # the framework names the methods of the first route alone
                    headers = [header for header in headers if header[0].lower() != b"allow"]
                    headers.append((b"allow", ", ".join(methods_of(scope, self._computing)).encode()))
                if self._service.draining:
                    headers.append((b"connection", b"close"))
                message["headers"] = headers
            elif method == "HEAD":
                message["body"] = b""
            await send(message)

        metrics = self._service.metrics
        metrics.in_flight.add(1)
        try:
            if self._hosts:
                check_host(sent.get(b"host"), scope["path"], self._hosts)
            if self._metrics_port is not None:
                check_listener(scope, self._metrics_port)
            if method in ("HEAD", "OPTIONS") and method in (methods := methods_of(scope, self._computing)):
                if method == "OPTIONS":
                    await Answer(b"", headers={"Allow": ", ".join(methods)}, status=204)(scope, receive, note)
                    return
                scope = {**scope, "method": "GET"}
            direct = self.direct(scope)
            if direct is not None:
                scope["route"] = direct
            if authority is not None:
                key = await authority.admitted(scope)
            else:
                client = scope.get("client")
                TENANT.set(tenant_at(client[0]) if client else None)
            if direct is not None:
                if (tenant := TENANT.get()) is not None:
                    await self._service.turnstile.enter(tenant.name)
                await direct.operation(scope, receive, note)
            else:
                await self._app(scope, receive, note)
        except Exception as error:
            problem = problem_of(error)
            if started:
                raise
            await problem_answer(problem)(scope, receive, note)
        finally:
            seconds = time.perf_counter() - began
            if authority is not None and key is not None:
                authority.leave(key)
                metrics.of_keys.labels(key.name, str(status)).inc()
            metrics.in_flight.add(-1)
            # The template, not the path: a crawler must not make a time series of every address it tries.
            route = getattr(scope.get("route"), "path", "unknown")
            metrics.answered(route, status, seconds)
            if self._logs and not scope["path"].startswith(PROBES):
                log_access(method, scope["path"], status, seconds, key)
            if tracing is not None:
                tracing.end(span, method, route, status, name)
            TRACE.reset(traced)
            REQUEST.reset(token)
