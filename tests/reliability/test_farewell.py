"""Streams at the end of the service: whoever follows an inpainting is told why it ends."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.reliability.asks import SAMPLE, SCORE
from tests.reliability.figures import Proof
from tests.reliability.load import load
from tests.reliability.markers import LONG
from tests.service.helpers import EVENTS, Start, events_in, until
from tests.service.servers import serving, wait_until

ENDLESS = "/inpaint/endless?model=points&steps=1000000&method=nice"
HALF_POINT = {"image": [0.5, None]}


@pytest.mark.anyio
async def test_a_stream_is_told_that_the_service_ends(start: Start) -> None:
    async with start(max_steps=10**6) as service:
        begun = await service.http.put(ENDLESS, json=HALF_POINT)
        assert begun.status_code == 202, begun.text
        following = asyncio.create_task(service.http.get("/inpaint/endless", headers=EVENTS))
        await until(lambda: service.loop.account.jobs == 1)
        await asyncio.sleep(0.05)
        service.service.device.dismiss()
        name, problem = events_in((await following).text)[-1]
    assert name == "problem"
    assert (problem["status"], problem["detail"]) == (503, "the service is shutting down")


@LONG
@pytest.mark.skipif(sys.platform != "linux", reason="processes are watched through /proc")
def test_sigterm_under_load_ends_every_stream_with_an_event_and_cuts_nothing(
    store: Path, tmp_path: Path, proof: Proof
) -> None:
    streams: list[str] = []
    with serving(store, tmp_path / "log", max_steps=10**6, deadline=3, drain_delay=1.0, api_processes=2) as server:

        def follow() -> None:
            try:
                streams.append(httpx.get(f"{server.address}/inpaint/endless", headers=EVENTS, timeout=60).text)
            except httpx.TransportError as error:
                streams.append(repr(error))

        assert httpx.put(f"{server.address}{ENDLESS}", json=HALF_POINT).status_code == 202
        followers = [threading.Thread(target=follow) for _ in range(20)]
        for thread in followers:
            thread.start()
        with load(server, [SCORE, SAMPLE], clients=6, keep_alive=False) as running:
            wait_until(lambda: running.progress() > 100)
            proof.injected()
            server.process.send_signal(signal.SIGTERM)
            told = time.monotonic()
            for thread in followers:
                thread.join(60)
            assert server.exit_code() == 0
            answers = running.stop()
    for text in streams:
        events = events_in(text)
        proof.expect(bool(events) and events[-1][0] == "problem", f"a stream ended with {text[-200:]!r}")
        proof.expect("shutting down" in text, f"a stream was not told why it ended: {text[-200:]!r}")
    for one in answers.surprises:
        proof.expect(one.status == 0 and "refused" in one.said and one.began > told, str(one))
    proof.measured["streams"] = f"{len(streams)}"
    proof.hold()
