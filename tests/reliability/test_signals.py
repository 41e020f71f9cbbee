"""SIGTERM under clients that connect anew for each request: none that was connected is cut."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

import httpx
import pytest

from tests.reliability.figures import Proof
from tests.reliability.markers import LONG
from tests.service.servers import serving, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a backlog can be taken on Linux")

CLIENTS = 12


@pytest.mark.parametrize("round_", [0, *(pytest.param(number, marks=LONG) for number in range(1, 5))])
@pytest.mark.parametrize("processes", [2, pytest.param(1, marks=LONG)])
def test_no_request_is_cut_when_the_listeners_close(
    store: Path, tmp_path: Path, processes: int, round_: int, proof: Proof
) -> None:
    with serving(store, tmp_path / "log", drain_delay=0, api_processes=processes) as server:
        wait_until(lambda: len(server.children("service.api")) == processes)
        cut: list[str] = []
        answered = [0] * CLIENTS

        def client(place: int) -> None:
            while True:
                try:
                    answer = httpx.post(f"{server.address}/sample", timeout=30)
                except httpx.ConnectError:
                    return  # refused: no request was sent
                except httpx.TransportError as error:
                    cut.append(repr(error))
                    return
                if answer.status_code != 200:
                    cut.append(answer.text)
                answered[place] += 1

        clients = [threading.Thread(target=client, args=(place,)) for place in range(CLIENTS)]
        for thread in clients:
            thread.start()
        wait_until(lambda: all(count > 1 for count in answered))
        server.process.send_signal(signal.SIGTERM)
        proof.injected()
        for thread in clients:
            thread.join(60)
        assert server.exit_code() == 0
        assert cut == []
