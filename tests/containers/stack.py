"""The compose file, started as a user starts it, under a name and on ports of its own; or the image alone."""

from __future__ import annotations

import json
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

CONFINED = (
    *("--read-only", "--tmpfs", "/tmp:mode=1777,size=1g"),
    *("--cap-drop", "ALL", "--security-opt", "no-new-privileges:true"),
    *("--memory", "4g", "--pids-limit", "4096"),
)
"""What the compose file says of every container, as options of `docker run`."""

PROCESSES = """
import glob, json, os
found = []
for folder in glob.glob("/proc/[0-9]*"):
    try:
        command = open(f"{folder}/cmdline").read().split("\\0")
        status = dict(line.split(":\\t", 1) for line in open(f"{folder}/status").read().splitlines())
    except OSError:  # it has ended
        continue
    try:
        outputs = [os.readlink(f"{folder}/fd/{number}") for number in (1, 2)]
    except OSError:
        outputs = []
    found.append({"pid": int(folder[6:]), "command": command, "status": status, "outputs": outputs})
print(json.dumps(found))
"""
"""Prints every process of a container: its command, what /proc says of it, where its standard output and error go."""

KILL = "import os, sys; os.kill(int(sys.argv[1]), 9)"

CLIENT_KEY, METRICS_KEY = "/secrets/client/key", "/secrets/prometheus/key"

T = TypeVar("T")


def run(*command: str, cwd: Path = ROOT, env: dict[str, str] | None = None) -> str:
    """The command's output. Raises AssertionError with all that it said when it fails."""
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def base_argument() -> list[str]:
    """The build argument that names the base image, where the engine has a stand-in under its tag (with-engine.sh)."""
    base = os.environ.get("BASE_IMAGE")
    return ["--build-arg", f"BASE_IMAGE={base}"] if base else []


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
        self._keys: dict[str, str] = {}

    def compose(self, *arguments: str) -> str:
        return run(*self._compose, *arguments, env=self._environment)

    def up(self, *services: str) -> None:
        """Returns when the services are healthy and every model is loaded: one is enough for readiness."""
        try:
            self.compose("up", "--detach", "--wait", "--wait-timeout", "180", "--no-build", *services)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.compose('logs', '--no-color')[-8000:]}") from None
        eventually(self._loaded, 180)

    def _loaded(self) -> None:
        assert httpx.get(f"{self.base}/models", headers=self.key(), timeout=30).json()["loading"] == []

    def key(self, file: str = CLIENT_KEY) -> dict[str, str]:
        """The header of an API key that was made at the first start; without ``file``, of the user's."""
        if file not in self._keys:
            self._keys[file] = self.compose("run", "--rm", "-T", "--no-deps", "--entrypoint", "cat", "secrets", file)
        return {"X-API-Key": self._keys[file]}

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


class Container:
    """One container that runs `sluice serve`. ``base`` is the address that it publishes, where it publishes one."""

    def __init__(self, number: str, base: str = "") -> None:
        self.number, self.base = number, base

    @classmethod
    def start(cls, image: str, *options: str) -> Container:
        """The image alone, confined as the compose file confines it, open to all. ``remove`` it in the end."""
        port = free_port()
        publish = ("--publish", f"127.0.0.1:{port}:8000")
        return cls(
            run("docker", "run", "--detach", "--env", "SLUICE_OPEN=1", *CONFINED, *publish, *options, image).strip(),
            f"http://127.0.0.1:{port}",
        )

    def remove(self) -> None:
        run("docker", "rm", "--force", "--volumes", self.number)

    def inspect(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(run("docker", "inspect", self.number))[0]
        return found

    def log(self) -> str:
        """Standard output and standard error."""
        done = subprocess.run(("docker", "logs", self.number), capture_output=True, text=True, check=True)
        return done.stdout + done.stderr

    def python(self, code: str, *arguments: str) -> str:
        return run("docker", "exec", self.number, "python3", "-c", code, *arguments)

    def processes(self) -> list[dict[str, Any]]:
        """Process number 1 and what came from it. The health check, and the process that looks, have no parent."""
        found: list[dict[str, Any]] = json.loads(self.python(PROCESSES))
        return [each for each in found if each["pid"] == 1 or int(each["status"]["PPid"]) != 0]

    def device(self) -> int:
        """The device process's number. Raises AssertionError while there is none."""
        devices = [each["pid"] for each in self.processes() if "service.device" in each["command"]]
        assert len(devices) == 1, devices
        return int(devices[0])

    def kill_device(self) -> int:
        """SIGKILL, as the kernel sends it when memory runs out. Returns the number of the killed process."""
        device = eventually(self.device)
        self.python(KILL, str(device))
        return device

    def status(self, path: str) -> int:
        return httpx.get(f"{self.base}{path}", timeout=30).status_code

    def metric(self, series: str) -> float:
        """The value of one series, written as the service writes it. Raises AssertionError where there is none."""
        lines = httpx.get(f"{self.base}/metrics", timeout=30).text.splitlines()
        values = [float(line.split()[-1]) for line in lines if line.startswith(f"{series} ")]
        assert len(values) == 1, series
        return values[0]
