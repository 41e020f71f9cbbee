"""Trace context of requests (W3C Trace Context), and a span for each by OpenTelemetry where that is configured.

It is configured where one of OpenTelemetry's own variables names a collector, `OTEL_EXPORTER_OTLP_ENDPOINT` or
`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`. Without them its SDK is not imported. Spans hold methods, templates of paths,
status codes and request ids: no query, no header, no body, no key and no address.
"""

from __future__ import annotations

import logging
import os
import re
from typing import Any

from service.version import own_version

logger = logging.getLogger("sluice")

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SERVER_ERROR = 500
"""The least status that makes a span one of an error."""
_PATIENCE_MS = 2000
"""Milliseconds that spans may take to be sent when the service ends."""


def trace_id(parent: bytes | None) -> str | None:
    """The trace that a `traceparent` header names, in 32 hexadecimal digits; None where it is not a valid one."""
    found = None if parent is None else _PARENT.fullmatch(parent)
    if found is None:
        return None
    version, trace, span, _, more = found.groups()
    if version == b"ff" or (version == b"00" and more is not None) or not trace.strip(b"0") or not span.strip(b"0"):
        return None
    return trace.decode()


class Tracing:
    """Spans of requests, by a tracer provider of OpenTelemetry's SDK."""

    def __init__(self, provider: Any) -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider, self._tracer = provider, provider.get_tracer("sluice", own_version())
        self._server, self._failed = SpanKind.SERVER, Status(StatusCode.ERROR)
        self._propagator = TraceContextTextMapPropagator()

    @classmethod
    def from_environment(cls) -> Tracing | None:
        """What the environment asks for, or None. Where the SDK is not installed, that is logged."""
        if not any(os.environ.get(name) for name in _ENDPOINTS) or os.environ.get("OTEL_SDK_DISABLED") == "true":
            return None
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError:
            logger.error("a collector of spans is named, and OpenTelemetry is not there: pip install 'sluice[otel]'")
            return None
        named = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": "sluice"}
        provider = TracerProvider(resource=Resource.create({**named, "service.version": own_version()}))
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        return cls(provider)

    def begin(self, headers: dict[bytes, bytes]) -> Any:
        """The span of a request that has just come, a child of the one that `traceparent` names."""
        carrier = {
            name: headers[name.encode()].decode("latin-1")
            for name in ("traceparent", "tracestate")
            if name.encode() in headers
        }
        return self._tracer.start_span("request", self._propagator.extract(carrier), self._server)

    def end(self, span: Any, method: str, route: str, status: int, request: str) -> None:
        """The request has been answered."""
        span.update_name(f"{method} {route}")
        span.set_attribute("http.request.method", method)
        span.set_attribute("http.route", route)
        span.set_attribute("http.response.status_code", status)
        span.set_attribute("sluice.request_id", request)
        if status >= _SERVER_ERROR:
            span.set_status(self._failed)
        span.end()

    @staticmethod
    def trace_of(span: Any) -> str:
        """The trace of a span, in 32 hexadecimal digits."""
        return f"{span.get_span_context().trace_id:032x}"

    def stop(self) -> None:
        """Send what has not been sent."""
        self._provider.force_flush(_PATIENCE_MS)
        self._provider.shutdown()
