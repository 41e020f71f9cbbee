"""Without keys, an address is a client: what one floods the queue with leaves room and turns for the others."""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.reliability.markers import LONG
from tests.service.helpers import JSON, NPY, images, npy
from tests.service.servers import Server, serving, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is an address on Linux alone")

POINT = {"image": [0.5, 0], "mask": [0, 1]}
LONGEST = "/inpaint?model=points&n=1000&steps=2000&method=nice"


@pytest.fixture
def server(store: Path, tmp_path: Path) -> Iterator[Server]:
    with serving(store, tmp_path / "log", drain_delay=0) as started:
        yield started


def client_at(server: Server, address: str) -> httpx.Client:
    return httpx.Client(base_url=server.address, transport=httpx.HTTPTransport(local_address=address), timeout=60)


def test_one_client_that_fills_its_half_of_the_queue_leaves_room_for_others(server: Server) -> None:
    with client_at(server, "127.0.0.2") as flood, client_at(server, "127.0.0.3") as other:
        prefer = {"prefer": "respond-async"}
        statuses = [flood.post(LONGEST, json=POINT, headers=prefer).status_code for _ in range(5)]
        assert statuses == [202, 429, 429, 429, 429]
        refused = flood.post(LONGEST, json=POINT, headers=prefer)
        assert "half of the queue" in refused.json()["detail"]
        assert int(refused.headers["retry-after"]) >= 1
        for _ in range(5):
            assert other.post("/score", content=npy(images(50)), headers=NPY).status_code == 200
            assert other.post("/inpaint?model=points&n=10&steps=5", json=POINT).status_code == 200


@pytest.mark.parametrize("seconds", [pytest.param(10, marks=LONG)])
def test_the_latency_of_others_beside_a_flood_of_one(server: Server, seconds: int) -> None:
    """The bound is wide, since the clients of this test compete for the same CPUs."""
    body, stop = npy(images(4000)), threading.Event()

    def flood() -> None:
        with client_at(server, "127.0.0.2") as http:
            while not stop.is_set():
                http.post("/encode", content=body, headers={**NPY, "accept": NPY["content-type"]})

    def latencies() -> list[float]:
        found = []
        with client_at(server, "127.0.0.3") as http:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                began = time.monotonic()
                assert http.post("/score", json={"items": [[[0] * 8] * 8]}, headers=JSON).status_code == 200
                found.append(time.monotonic() - began)
        return found

    alone = latencies()
    floods = [threading.Thread(target=flood) for _ in range(4)]
    for thread in floods:
        thread.start()
    wait_until(lambda: server.metric("sluice_queue_jobs") > 0)
    beside = latencies()
    stop.set()
    for thread in floods:
        thread.join()
    p99 = [statistics.quantiles(found, n=100)[98] for found in (alone, beside)]
    assert p99[1] < 10 * p99[0] + 0.1, f"p99 alone and beside a flood, in seconds: {p99}"
