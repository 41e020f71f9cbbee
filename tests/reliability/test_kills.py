"""Processes that are killed under load: what they held fails, nothing else does, and all is well again soon."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.reliability.asks import INPAINT, SAMPLE, SCORE
from tests.reliability.figures import Proof
from tests.reliability.load import Surprise, load
from tests.reliability.markers import LONG, share_of
from tests.reliability.probing import processes, settled
from tests.service.servers import alive, serving, wait_until

pytestmark = [pytest.mark.skipif(sys.platform != "linux", reason="processes are watched through /proc"), LONG]

MOMENTS = share_of(20)
READY_AGAIN = 5.0
"""Seconds. On a machine that is so busy that the first start took long, one and a half times as long as that."""
ASKS = [SCORE, SAMPLE, INPAINT]

# The service ends when a process dies three times within a minute, which other tests prove. Here they may.
MAY_DIE = """
import sys
if "serve" in sys.orig_argv:
    import service.keeper
    service.keeper.WITHIN = 0.0
"""


@pytest.fixture
def server_that_may_die(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose sitecustomize lets processes die as often as they like."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(MAY_DIE)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return store


def since(surprises: list[Surprise], kills: list[tuple[float, float]], slack: float) -> list[Surprise]:
    """The surprises that no kill explains: each is the time of the kill, and when all was well again."""
    return [
        one for one in surprises if not any(killed <= one.ended and one.began <= well + slack for killed, well in kills)
    ]


def test_a_device_that_is_killed_costs_what_it_held(server_that_may_die: Path, tmp_path: Path, proof: Proof) -> None:
    moments = random.Random(1)
    kills: list[tuple[float, float]] = []
    began = time.monotonic()
    with (
        serving(server_that_may_die, tmp_path / "log", api_processes=2) as server,
        load(server, ASKS, clients=6, pause=0.01) as running,
    ):
        first = time.monotonic() - began
        for _ in range(MOMENTS):
            time.sleep(moments.uniform(0.05, 1.0))
            device = server.device()
            killed = time.monotonic()
            os.kill(device, signal.SIGKILL)
            proof.injected()
            wait_until(lambda dead=device: server.children("service.device") - {dead})  # type: ignore[misc]
            wait_until(server.ready)
            kills.append((killed, time.monotonic()))
        time.sleep(0.5)
        answers = running.stop()
        settled(server, proof)
    for one in since(answers.surprises, kills, slack=0.5):
        proof.expect(False, f"apart from any kill: {one}")
    for one in answers.surprises:
        proof.expect(one.status == 503, f"no 503: {one}")
    slowest = max(well - killed for killed, well in kills)
    proof.expect(slowest < max(READY_AGAIN, 1.5 * first), f"ready again after {slowest:.1f} s, at first {first:.1f} s")
    proof.measured["ready again, slowest"] = f"{slowest:.1f} s"
    proof.measured["answered 503 meanwhile"] = f"{len(answers.surprises):,}"
    proof.hold()


def test_an_api_process_that_is_killed_costs_its_connections(
    server_that_may_die: Path, tmp_path: Path, proof: Proof
) -> None:
    moments = random.Random(2)
    kills: list[tuple[float, float]] = []
    with (
        serving(server_that_may_die, tmp_path / "log", api_processes=2) as server,
        load(server, ASKS, clients=6, pause=0.005, keep_alive=False) as running,
    ):
        wait_until(lambda: len(server.children("service.api")) == 2)
        for _ in range(MOMENTS):
            time.sleep(moments.uniform(0.05, 1.0))
            before = server.children("service.api")
            victim = moments.choice(sorted(before))
            killed = time.monotonic()
            os.kill(victim, signal.SIGKILL)
            proof.injected()
            wait_until(lambda dead=victim: len(server.children("service.api") - {dead}) == 2)  # type: ignore[misc]
            proof.expect(server.get("/health/ready") == 200, "the other does not say that it is ready")
            kills.append((killed, time.monotonic()))
        time.sleep(0.5)
        answers = running.stop()
        settled(server, proof)
    for one in since(answers.surprises, kills, slack=0.0):
        proof.expect(False, f"apart from any kill: {one}")
    for one in answers.surprises:
        proof.expect(one.status == 0, f"more than a connection that was cut: {one}")
    proof.expect(len(answers.surprises) <= MOMENTS * 6, f"{len(answers.surprises)} connections were cut")
    proof.measured["connections cut"] = f"{len(answers.surprises):,}"
    proof.hold()


def test_a_supervisor_that_is_killed_leaves_no_process_and_can_be_started_again(
    store: Path, tmp_path: Path, proof: Proof
) -> None:
    moments = random.Random(3)
    for number in range(MOMENTS):
        with (
            serving(store, tmp_path / "log", ready=number % 4 == 0, api_processes=1) as server,
            load(server, ASKS, clients=2, pause=0.01),
        ):
            time.sleep(moments.uniform(0.0, 1.5))
            children = processes(server)
            server.process.kill()
            proof.injected()
            began = time.monotonic()
            wait_until(lambda pids=children: not any(map(alive, pids)), 30)  # type: ignore[misc]
            gone = time.monotonic() - began
            proof.expect(gone < READY_AGAIN, f"children outlive their parent by {gone:.1f} s")
    with serving(store, tmp_path / "log") as server:
        proof.expect(server.post("/sample").status_code == 200, "it cannot be started again")
    proof.hold()
