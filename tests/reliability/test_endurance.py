"""Hundreds of thousands of mixed requests, clients that leave and clients that read slowly: nothing is left of them."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import threading
import time
from pathlib import Path
from statistics import median

import pytest

from tests.reliability.asks import BAD, GOOD, JSON, NPY, large_array
from tests.reliability.figures import Proof
from tests.reliability.load import Answers, Ask, load
from tests.reliability.markers import LONG, share_of
from tests.reliability.probing import memory, processes, settled, watching_memory
from tests.reliability.slow_readers import SlowAnswer, leave, read_slowly
from tests.service.helpers import Start
from tests.service.servers import Server, serving, wait_until

REQUESTS, LEAVERS, READERS = share_of(200_000), share_of(1_000), share_of(200)
GROWTH = 0.02
_WARM_UP = 4
"""Waves of a tenth before memory is measured for the first time: allocators keep what a wave needed at its height."""
_REST = 12.0
"""Seconds after which every process has given freed memory back; see service/heap.py."""

ENDLESS = Ask(
    "endless",
    "POST",
    "/inpaint?model=points&steps=1000000&method=nice",
    json.dumps({"image": [0.5, None]}).encode(),
    JSON,
)
EVENTS = Ask(
    "events",
    "POST",
    "/inpaint?model=digits&steps=4800&method=nice",
    json.dumps({"image": [[0] * 8] * 8, "mask": [[0] * 4 + [1] * 4] * 8}).encode(),
    JSON | {"Accept": "text/event-stream"},
)
"""An event every 100 steps, of a few hundred bytes."""


@pytest.mark.anyio
async def test_mixed_requests_and_clients_that_leave_leave_nothing_behind(start: Start, proof: Proof) -> None:
    moments = random.Random(0)
    async with start(max_steps=10**6, queue_item_ticks=10**9) as service:

        async def ask(one: Ask) -> None:
            answer = await service.http.request(one.method, one.path, content=one.body, headers=dict(one.headers))
            proof.expect(answer.status_code in one.expected, f"{one.name}: {answer.status_code} {answer.text[:200]}")

        async def leaver() -> None:
            waiting = asyncio.create_task(ask(ENDLESS if moments.random() < 0.5 else GOOD[0]))
            await asyncio.sleep(moments.uniform(0, 0.05))
            waiting.cancel()

        mixed = [ask(one) for one in (GOOD + BAD) * 4]
        await asyncio.gather(*mixed, *(leaver() for _ in range(20)))
        async with asyncio.timeout(20):
            while service.waiting or service.jobs:
                await asyncio.sleep(0.01)
    proof.hold()


@LONG
@pytest.mark.skipif(sys.platform != "linux", reason="processes are watched through /proc")
def test_two_hundred_thousand_requests_leave_nothing_behind(store: Path, tmp_path: Path, proof: Proof) -> None:
    with serving(store, tmp_path / "log", api_processes=2, max_steps=10**6, queue_item_ticks=10**9) as server:
        wait_until(lambda: len(processes(server)) == 3)
        children = processes(server)
        for _ in range(_WARM_UP):
            wave(server, proof, REQUESTS // 10 // _WARM_UP, LEAVERS // 10, READERS, 2.0)
        before = in_all(server)
        with watching_memory(server) as course:
            answers = wave(server, proof, REQUESTS, LEAVERS, READERS, 20.0)
        after = in_all(server)
        proof.expect(processes(server) == children, "a process was started again")
        settled(server, proof)
    growth = after / before - 1
    proof.expect(growth < GROWTH, f"memory grew by {growth:.1%}, from {before:,} to {after:,} bytes")
    quarters = [median(course[len(course) * place // 4 : len(course) * (place + 1) // 4]) for place in range(4)]
    # In the first, leavers and slow readers come too.
    proof.expect(quarters[3] < quarters[1] * (1 + GROWTH), f"memory went on growing under load: {quarters}")
    for name, bodies in answers.bodies.items():
        proof.expect(len(bodies) == 1, f"{name} had {len(bodies)} different answers")
    log = (tmp_path / "log").read_text()
    proof.expect("Traceback" not in log and "ERROR" not in log, f"the log says {log[-500:]}")
    proof.measured["requests a second"] = f"{answers.count / answers.seconds:,.0f}"
    proof.measured["memory in quarters of the load"] = ", ".join(f"{each / 2**20:,.0f} MiB" for each in quarters)
    proof.measured["growth of memory"] = f"{growth:+.2%} of {before / 2**20:,.0f} MiB"
    proof.hold()


def wave(server: Server, proof: Proof, requests: int, leavers: int, readers: int, seconds: float) -> Answers:
    """Mixed requests, beside them clients that leave and clients that read slowly."""
    large = Ask("large", "POST", "/encode", large_array(2000), NPY | {"Accept": "application/x-npy"})
    slow = [EVENTS if number % 2 else large for number in range(readers)]
    read: list[SlowAnswer] = []

    def others() -> None:
        leave(server, [ENDLESS, EVENTS, large, *GOOD], leavers, random.Random(leavers))
        read.extend(read_slowly(server, slow, seconds))

    beside = threading.Thread(target=others)
    with load(server, GOOD + BAD, clients=16, depth=4, total=requests) as running:
        beside.start()
        answers = running.finished()
        beside.join()
    for one in answers.surprises:
        proof.expect(False, str(one))
    proof.expect(answers.count >= requests, f"{answers.count} answers to {requests} requests")
    proof.expect(len(read) == readers, f"{len(read)} of {readers} slow readers asked")
    for answer in read:
        came = f"a slow reader of {answer.ask.name} got {answer.count} bytes: {answer.start[:500]!r}"
        proof.expect(answer.status == 200 and answer.begun and b"event: problem" not in answer.start, came)
    # Whatever those who left had asked for is given up before the next wave.
    wait_until(lambda: server.metric("sluice_queue_jobs") == 0)
    return answers


def in_all(server: Server) -> int:
    """Bytes of memory of all processes together, once they have come to rest and given back what they have freed."""
    time.sleep(_REST)
    return sum(memory(pid, "VmRSS") for pid in {server.process.pid, *processes(server)})
