"""The image's health check, as a program of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "docker" / "healthcheck.py"


class Ready(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/health/ready" else 404)
        self.end_headers()
        self.wfile.write(b"models are loading")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Ready) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server.server_address[1]
        server.shutdown()


def check(port: int, **environment: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SLUICE_PORT": str(port), **environment}
    return subprocess.run([sys.executable, PROGRAM], env=environment, capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize("proxy", [{}, {"http_proxy": "http://127.0.0.1:9", "no_proxy": ""}])
def test_a_service_that_is_ready_is_healthy_whatever_proxy_there_is(port: int, proxy: dict[str, str]) -> None:
    assert check(port, **proxy).returncode == 0


def test_why_it_is_not(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ready, "status", 503)
    found = check(port)
    assert found.returncode == 1
    assert found.stderr.strip() == "503: models are loading"


def test_nobody_listens() -> None:
    found = check(9)
    assert found.returncode == 1
    assert "refused" in found.stderr
