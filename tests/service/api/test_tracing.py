"""Trace context, spans and the access log: what they tell of a request, and what they never tell."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from service import keys
from service.api.tracing import Tracing, trace_id
from service.logs import TRACE, JsonLines
from tests.service.helpers import JSON, Start, running

pytestmark = pytest.mark.anyio

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"


@pytest.mark.parametrize(
    ("header", "trace"),
    [
        (PARENT, TRACE_ID),
        (f"cc-{TRACE_ID}-{SPAN_ID}-01-what-the-future-will-be-like", TRACE_ID),
        (None, None),
        ("", None),
        (f"00-{TRACE_ID}-{SPAN_ID}-01-more", None),
        (f"ff-{TRACE_ID}-{SPAN_ID}-01", None),
        (f"00-{'0' * 32}-{SPAN_ID}-01", None),
        (f"00-{TRACE_ID}-{'0' * 16}-01", None),
        (PARENT.upper(), None),
        (f"{PARENT}\n", None),
    ],
)
def test_only_a_valid_parent_names_a_trace(header: str | None, trace: str | None) -> None:
    assert trace_id(None if header is None else header.encode()) == trace


class Kept(logging.Handler):
    """The lines of the access log as JSON."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(JsonLines("api").format(record)))


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    handler = Kept()
    access = logging.getLogger("sluice.access")
    monkeypatch.setattr(access, "handlers", [handler])
    monkeypatch.setattr(access, "level", logging.INFO)
    return handler


async def test_the_access_log_tells_who_asked_for_what_and_no_more(store: Path, tmp_path: Path, kept: Kept) -> None:
    file = tmp_path / "keys.json"
    secret = keys.create(file, "line", ["infer"])
    async with running(store, keys_file=file, access_log=True) as service:
        headers = {"x-api-key": secret, "x-request-id": "mine", "traceparent": PARENT, "cookie": "hush"}
        body = {"items": [[[123] * 8] * 8]}
        answer = await service.http.post("/score?seed=77&x=hush", json=body, headers={**JSON, **headers})
        assert answer.status_code == 200
        await service.http.get("/nowhere%0Aforged line/%1b[2J", headers={"x-api-key": secret})
        await service.http.get("/health/live")
        await service.http.get("/metrics")
    scored, unknown = kept.lines
    assert {name: scored[name] for name in ("method", "path", "status", "key", "request", "trace")} == {
        "method": "POST", "path": "/score", "status": 200, "key": "line", "request": "mine", "trace": TRACE_ID,
    }  # fmt: skip
    assert 0 < scored["seconds"] < 60
    assert (unknown["status"], unknown["path"]) == (403, "/nowhere%0Aforged%20line/%1B%5B2J")
    told = json.dumps(kept.lines)
    for hidden in ("hush", "seed", "items", secret, secret.split("_", 2)[-1], "forged line"):
        assert hidden not in told
    assert TRACE.get() is None


async def test_without_the_setting_nothing_is_logged_of_a_request(start: Start, kept: Kept) -> None:
    async with start() as service:
        await service.http.post("/sample")
    assert kept.lines == []


async def test_a_span_is_a_child_of_the_clients_and_holds_nothing_that_is_secret(start: Start, kept: Kept) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with start(access_log=True) as service:
        service.service.tracing = Tracing(provider)
        headers = {"traceparent": PARENT, "x-request-id": "mine", "authorization": "Bearer hush"}
        await service.http.get("/models/digits?hush=1", headers=headers)
        await service.http.get("/models/nobody")
        service.loop.stop()
        await service.http.get("/models/digits/card", headers={"traceparent": "nonsense"})
    described, unknown, *_ = exporter.get_finished_spans()
    assert described.parent is not None
    assert (f"{described.context.trace_id:032x}", f"{described.parent.span_id:016x}") == (TRACE_ID, SPAN_ID)
    assert described.name == "GET /models/{name}"
    assert dict(described.attributes or {}) == {
        "http.request.method": "GET",
        "http.route": "/models/{name}",
        "http.response.status_code": 200,
        "sluice.request_id": "mine",
    }
    assert unknown.parent is None
    assert (unknown.attributes or {})["http.response.status_code"] == 404
    assert "hush" not in "".join(span.to_json() for span in exporter.get_finished_spans())
    assert [line["trace"] for line in kept.lines[:2]] == [f"{s.context.trace_id:032x}" for s in (described, unknown)]


def test_the_sdk_is_imported_only_where_a_collector_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import sys; from service.api.tracing import Tracing; found = Tracing.from_environment(); "
        "import service.api.app; print(found is not None, 'opentelemetry.sdk' in sys.modules); "
        "found and found.stop()"
    )
    for endpoint, said in (("", "False False"), ("http://127.0.0.1:9/", "True True")):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert told.stdout.strip() == said, told.stderr
