"""What holds for every answer: methods, headers, names of the host, request ids."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from service.logs import JsonLines
from tests.service.helpers import JSON, Running, Start, assert_problem

pytestmark = pytest.mark.anyio

SECURITY = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics", "/models", "/openapi.json"])
async def test_head_is_get_without_a_body(service: Running, path: str) -> None:
    answer = await service.http.head(path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == (await service.http.get(path)).headers["content-type"]


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/health/live", "GET, HEAD, OPTIONS"),
        ("/models/digits", "GET, HEAD, OPTIONS"),
        ("/score", "POST, OPTIONS"),
        ("/inpaint", "POST, OPTIONS"),
        ("/inpaint/some", "GET, PUT, DELETE, OPTIONS"),
        ("/v2/repository/models/digits/load", "POST, OPTIONS"),
    ],
)
async def test_options_and_405_name_every_method_of_a_path(service: Running, path: str, methods: str) -> None:
    headers = {"origin": "https://elsewhere.example", "access-control-request-method": "POST"}
    answer = await service.http.options(path, headers=headers)
    assert (answer.status_code, answer.headers["allow"], answer.content) == (204, methods, b"")
    assert not [name for name in answer.headers if name.startswith("access-control")], "no other origin may read"
    for method in ("PATCH", "TRACE", "GET", "PUT", "POST", "DELETE", "HEAD", "BREW"):
        answer = await service.http.request(method, path, headers=JSON)
        if method not in methods:
            assert (answer.status_code, answer.headers["allow"]) == (405, methods)


async def test_options_of_an_unknown_path_is_404(service: Running) -> None:
    assert (await service.http.options("/nowhere")).status_code == 404
    assert (await service.http.head("/nowhere")).status_code == 404


async def test_every_answer_bears_security_headers(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [
        await service.http.request(method, path)
        for method, path in [
            ("GET", "/health/live"),
            ("GET", "/models"),
            ("GET", "/nowhere"),
            ("GET", "/score"),
            ("POST", "/sample"),
            ("POST", "/sample?n=0"),
            ("POST", "/score"),
            ("OPTIONS", "/score"),
            ("POST", "/v2/repository/models/digits/load"),
        ]
    ]

    async def fail(*_: object) -> None:
        raise ArithmeticError("secret")

    monkeypatch.setattr(service.device, "ask", fail)
    answers += [await service.http.get("/models/digits/card"), await service.http.post("/sample")]
    assert [answer.status_code for answer in answers[-2:]] == [500, 500]
    for answer in answers:
        assert {name: answer.headers.get(name) for name in SECURITY} == SECURITY, answer.url
        assert "access-control-allow-origin" not in answer.headers
        assert "secret" not in answer.text


async def test_only_requests_to_its_own_names_are_answered(start: Start) -> None:
    async with start(hosts="sluice.example, [::1],127.0.0.1") as service:
        for host in ("sluice.example", "SLUICE.example:8000", "[::1]:8000", "[::1]", "127.0.0.1:80"):
            assert (await service.http.get("/models", headers={"host": host})).status_code == 200, host
        for host in ("evil.example", "sluice.example.evil.example", "evil:sluice.example", "", "[::2]"):
            assert_problem(await service.http.get("/models", headers={"host": host}), 421, "Host")
            assert_problem(await service.http.post("/sample", headers={"host": host}), 421, "Host")
            for probe in ("/health/live", "/health/ready", "/metrics"):
                assert (await service.http.get(probe, headers={"host": host})).status_code == 200


async def test_metrics_are_told_on_a_port_of_their_own_and_nothing_else_is(start: Start) -> None:
    async with start(metrics_port=9100) as service:
        for path in ("/metrics", "/health/live", "/health/ready", "/v2/health/live"):
            assert (await service.http.get(f"http://sluice:9100{path}")).status_code == 200
        for path in ("/models", "/", "/docs", "/v2", "/score"):
            assert_problem(await service.http.get(f"http://sluice:9100{path}"), 404)
        assert_problem(await service.http.post("http://sluice:9100/sample"), 404)
        assert_problem(await service.http.get("/metrics"), 404)
        assert (await service.http.get("/health/live")).status_code == 200
        assert (await service.http.get("/models")).status_code == 200


async def test_an_answer_bears_the_id_that_the_log_names(
    service: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> None:
        raise ArithmeticError("at fault")

    lines: list[dict[str, Any]] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(json.loads(JsonLines("api").format(record)))

    handler = Kept()
    logging.getLogger("sluice").addHandler(handler)
    try:
        monkeypatch.setattr(service.device, "ask", fail)
        headers = {"authorization": "Bearer hush-hush", "x-request-id": "mine-1"}
        answer = await service.http.post("/sample?seed=77", headers=headers)
        assert (answer.status_code, answer.headers["x-request-id"]) == (500, "mine-1")
        for sent in ("", "a b", "x" * 65, "\n", "é"):
            given = (await service.http.get("/models", headers={b"x-request-id": sent.encode()})).headers
            assert len(given["x-request-id"]) == 16
        other = await service.http.get("/models/digits/card", headers={"authorization": "Bearer hush-hush"})
    finally:
        logging.getLogger("sluice").removeHandler(handler)
    assert [line["request"] for line in lines] == ["mine-1", other.headers["x-request-id"]]
    assert all("at fault" in line["error"] and line["level"] == "ERROR" for line in lines)
    assert "hush-hush" not in json.dumps(lines)
    assert "seed=77" not in json.dumps(lines)
