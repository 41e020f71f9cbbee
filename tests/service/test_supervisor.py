"""A real server process: clients that leave, SIGTERM, and the command line."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from service.cli import main
from tests.service.helpers import publish_small

WAIT = 60


@contextmanager
def serving(store: Path, **settings: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {f"SLUICE_{key.upper()}": value for key, value in settings.items()}
    command = [sys.executable, "-m", "service", "serve", "--store", str(store), "--port", str(port), "--device", "cpu"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: ready(address) == 200 and not httpx.get(f"{address}/models").json()["loading"])
        yield process, address
    finally:
        process.kill()
        process.wait(WAIT)


def ready(address: str) -> int:
    try:
        return httpx.get(f"{address}/health/ready", timeout=WAIT).status_code
    except httpx.TransportError:
        return 0


def wait_until(condition: object) -> None:
    end = time.monotonic() + WAIT
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)


def metric(address: str, line: str) -> float:
    found = [row for row in httpx.get(f"{address}/metrics").text.splitlines() if row.startswith(line)]
    return float(found[0].split()[-1]) if found else 0.0


LONG = "steps=1000000"


def test_a_client_that_hangs_up_frees_the_queue(store: Path) -> None:
    with serving(store, max_steps="1000000") as (_, address):
        points = {"json": {"image": [0.5, 0], "mask": [0, 1]}}
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{address}/inpaint?model=points&n=1&{LONG}", timeout=0.5, **points)
        wait_until(lambda: metric(address, "sluice_queue_item_ticks") == 0)
        wait_until(lambda: metric(address, 'sluice_requests_total{route="/inpaint",status="499"}') == 1)
        assert metric(address, 'sluice_cancelled_total{reason="client_left"}') == 1
        assert httpx.post(f"{address}/sample").status_code == 200


def test_sigterm_says_not_ready_finishes_everything_and_exits_0(store: Path) -> None:
    with serving(store, drain_delay="0.7") as (process, address):
        failures: list[str] = []
        answered = threading.Event()
        stop = threading.Event()

        def client(keep_alive: bool) -> None:
            with httpx.Client(timeout=WAIT) as http:
                while not stop.is_set():
                    headers = {} if keep_alive else {"connection": "close"}
                    answer = http.post(f"{address}/sample?n=4", headers=headers)
                    if answer.status_code != 200:
                        failures.append(answer.text)
                    answered.set()

        clients = [threading.Thread(target=client, args=(keep,)) for keep in (True, False)]
        for thread in clients:
            thread.start()
        assert answered.wait(WAIT)
        slow: list[int] = []

        def inpaint() -> None:
            body = {"image": [0.5, 0], "mask": [0, 1]}
            slow.append(httpx.post(f"{address}/inpaint?model=points&steps=2000", json=body, timeout=WAIT).status_code)

        climbing = threading.Thread(target=inpaint)
        climbing.start()
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: ready(address) == 503)
        stop.set()  # a load balancer has seen it: nothing new comes
        for thread in (*clients, climbing):
            thread.join(WAIT)
        assert process.wait(WAIT) == 0
        assert failures == []
        assert slow == [200]


def test_the_store_can_be_listed_and_verified(tmp_path: Path) -> None:
    for _ in range(2):
        publish_small(tmp_path, "points", (2,))
    runner = CliRunner()
    assert runner.invoke(main, ["models", "--store", str(tmp_path)]).output == "points@1\npoints@2  default\n"
    good = runner.invoke(main, ["verify", "--store", str(tmp_path)])
    assert good.exit_code == 0
    assert "points@1" in good.output
    weights = tmp_path / "points" / "2" / "model.safetensors"
    weights.write_bytes(b"x" + weights.read_bytes()[1:])
    assert runner.invoke(main, ["verify", "points@1", "--store", str(tmp_path)]).exit_code == 0
    bad = runner.invoke(main, ["verify", "--store", str(tmp_path)])
    assert bad.exit_code == 1
    assert "sha256" in bad.output
    assert runner.invoke(main, ["verify", "nobody", "--store", str(tmp_path)]).exit_code == 1


@pytest.mark.parametrize("arguments", [["serve", "--port", "99999"], ["serve", "--device", "abacus"]])
def test_a_wrong_option_is_refused_before_anything_starts(arguments: list[str]) -> None:
    assert CliRunner().invoke(main, arguments).exit_code == 2
