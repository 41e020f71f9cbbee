"""The compose file, started as a user starts it, under a name and on ports of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx

ROOT = Path(__file__).parents[2]
GPU_FILES = ("-f", "docker-compose.yml", "-f", "docker-compose.gpu.yml")

T = TypeVar("T")


def run(*command: str, cwd: Path = ROOT, env: dict[str, str] | None = None) -> str:
    """The command's output. Raises AssertionError with all that it said when it fails."""
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(look: Callable[[], T], seconds: float = 60) -> T:
    """What ``look`` returns once it neither raises nor fails an assertion; its last complaint if it never does."""
    end = time.monotonic() + seconds
    while True:
        try:
            return look()
        except (AssertionError, httpx.TransportError):
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


class Stack:
    """A project of the compose file. ``base`` and the others are the addresses that it publishes."""

    def __init__(self, project: str, files: Sequence[str] = ()) -> None:
        ports = {name: free_port() for name in ("SLUICE_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT")}
        self.base, self.prometheus, self.grafana = (f"http://127.0.0.1:{port}" for port in ports.values())
        self._environment = {name: str(port) for name, port in ports.items()}
        self._compose = ("docker", "compose", "--project-name", project, *files)

    def compose(self, *arguments: str) -> str:
        return run(*self._compose, *arguments, env=self._environment)

    def up(self, *services: str) -> None:
        try:
            self.compose("up", "--detach", "--wait", "--wait-timeout", "180", "--no-build", *services)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.compose('logs', '--no-color')[-8000:]}") from None

    def down(self) -> None:
        self.compose("--profile", "trainer", "down", "--volumes", "--timeout", "5")

    def container(self, service: str) -> str:
        return self.compose("ps", "--all", "--quiet", service).strip()

    def execute(self, service: str, *command: str) -> str:
        return self.compose("exec", "-T", service, *command)

    def admin_token(self) -> str:
        return self.execute("sluice", "cat", "/secrets/admin/token")

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Prometheus's instant vector."""
        answer = httpx.get(f"{self.prometheus}/api/v1/query", params={"query": expression}).json()
        assert answer["status"] == "success", f"{expression}: {answer}"
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result
