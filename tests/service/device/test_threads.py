"""How threads share the processor."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading

import pytest
import torch

from service.device.threads import compute_alone
from tests.service.helpers import Start

_COUNT = """
import os, torch
before = set(os.listdir("/proc/self/task"))
import service.api.app, service.api.server, service.device.main, service.supervisor
print(len(set(os.listdir("/proc/self/task")) - before))
"""


@pytest.mark.skipif(sys.platform != "linux" or (os.cpu_count() or 1) < 2, reason="threads are counted as Linux does")
def test_importing_the_service_computes_nothing_in_parallel() -> None:
    # Its workers would stay, be more than there are cores beside those of the device's thread, and slow each kernel.
    started = subprocess.run([sys.executable, "-c", _COUNT], capture_output=True, text=True, check=True, timeout=120)
    assert int(started.stdout) == 0


def test_a_thread_computes_alone_when_it_is_told_to_and_the_others_as_before() -> None:
    before, found = torch.get_num_threads(), []

    def work() -> None:
        compute_alone()
        found.append(torch.get_num_threads())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [1]
    assert torch.get_num_threads() == before


@pytest.mark.anyio
async def test_the_device_computes_in_no_more_threads_than_the_settings_say(start: Start) -> None:
    async with start(threads=1) as service:
        assert await service.still_good()
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        here = asyncio.get_running_loop()

        def count() -> None:
            here.call_soon_threadsafe(found.set_result, torch.get_num_threads())

        service.loop.call(count)
        assert await asyncio.wait_for(found, 20) == 1
