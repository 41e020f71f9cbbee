"""Bodies that are as large as they may be: the probes are answered beside them, and memory stays bounded."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.reliability.markers import LONG
from tests.reliability.probing import memory, probing
from tests.service.helpers import JSON
from tests.service.servers import Server, serving

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are watched through /proc")

PATIENCE = 0.5
"""Seconds within which a probe is answered, whatever is parsed beside it."""


@pytest.fixture(scope="module")
def server(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(store, tmp_path_factory.mktemp("large") / "log", api_processes=1) as started:
        yield started


def hostile(size: int) -> dict[str, bytes]:
    return {
        "numbers": b'{"items":[' + b"0," * (size // 2) + b"0]}",
        "members": b"{" + b",".join(b'"%d":0' % number for number in range(size // 11)) + b',"items":[0]}',
        "text, then numbers": b'{"items":["[[[[",' + b"0," * (size // 2) + b"0]}",
        "one item": b'{"items":[[' + b"0," * (size // 2) + b"0]]}",
        "one text": b'{"items":["' + b"a" * size + b'"]}',
    }


@pytest.mark.parametrize("megabytes", [16, pytest.param(63, marks=LONG)])
def test_probes_are_answered_beside_large_json_bodies(server: Server, megabytes: int) -> None:
    (api,) = server.children("service.api")
    before = memory(api, "VmRSS")
    bodies = hostile(megabytes * 2**20)
    with probing(server) as idle:
        time.sleep(1)
    with probing(server) as probes, ThreadPoolExecutor(2) as clients:
        answers = list(clients.map(lambda body: server.post("/score", content=body, headers=JSON), bodies.values()))
    assert [answer.status_code for answer in answers] == [413, 413, 413, 413, 413], [a.text for a in answers]
    assert probes.failures == []
    assert probes.slowest < PATIENCE + idle.slowest, "idle: what the machine itself adds at the moment"
    assert memory(api) - before < 6 * megabytes * 2**20 + 2**26
    assert server.post("/sample").status_code == 200
