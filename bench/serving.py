"""The service as its users run it, for as long as a benchmark needs it: a process of its own, reached over loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

PATIENCE = 120.0
"""Seconds until the models must be loaded."""


@contextmanager
def served(store: Path, **settings: str) -> Iterator[tuple[int, str]]:
    """Process id and address of `sluice serve` over a store; settings are those of SLUICE_ variables, in lower case."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {f"SLUICE_{key.upper()}": value for key, value in settings.items()}
    command = [sys.executable, "-m", "service", "serve", "--store", str(store), "--port", str(port)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(process, address)
        yield process.pid, address
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _wait_until_ready(process: subprocess.Popen[bytes], address: str) -> None:
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        if process.poll() is not None:
            raise RuntimeError(f"the service ended with exit code {process.returncode} before it was ready")
        try:
            if httpx.get(f"{address}/health/ready", timeout=5).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise TimeoutError(f"the service was not ready within {PATIENCE:.0f} s")
