"""Whoever waits for a job on the event loop gets what the device's thread made of it."""

from __future__ import annotations

import asyncio
import threading
import time
from unittest.mock import Mock

import pytest
import torch

from service.admission import Admission
from service.arrivals import Arrivals
from service.columns import Columns
from service.gathering import Gathering
from service.jobs import Job

pytestmark = pytest.mark.anyio


def waiting_room(loop: asyncio.AbstractEventLoop | None = None) -> Arrivals:
    loop = loop or asyncio.get_running_loop()
    return Arrivals(loop, Gathering(loop, Mock()))


def job() -> Job:
    return Job(Mock(), Columns(value=torch.zeros(1)), Admission(100).admit(1), time.monotonic() + 60)


def deliver(to: Job, value: float) -> None:
    to.deliver(torch.zeros(1, dtype=torch.int64), Columns(value=torch.tensor([value])))


async def test_many_jobs_of_many_threads_all_arrive() -> None:
    arrivals = waiting_room()
    jobs = [job() for _ in range(400)]
    waiting = [asyncio.create_task(arrivals.of(one)) for one in jobs]
    await asyncio.sleep(0)

    def work(first: int) -> None:
        for index in range(first, len(jobs), 4):
            deliver(jobs[index], index)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    async with asyncio.timeout(20):
        found = await asyncio.gather(*waiting)
    assert [int(columns["value"]) for columns in found] == list(range(400))


async def test_what_ended_before_anybody_waited_is_there() -> None:
    done = job()
    deliver(done, 7)
    assert float((await waiting_room().of(done))["value"]) == 7


async def test_a_failure_is_raised_where_it_is_waited_for() -> None:
    failed = job()
    failed.fail(ValueError("it broke"))
    with pytest.raises(ValueError, match="it broke"):
        await waiting_room().of(failed)


async def test_who_gives_up_takes_the_job_along_and_nobody_else() -> None:
    arrivals = waiting_room()
    left, stays = job(), job()
    leaving, staying = (asyncio.create_task(arrivals.of(one)) for one in (left, stays))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert left.future.cancelled()
    deliver(stays, 1)
    assert float((await staying)["value"]) == 1


def test_a_job_that_ends_when_the_loop_has_closed_disturbs_nobody() -> None:
    loop = asyncio.new_event_loop()
    orphan = job()
    waiting = waiting_room(loop).of(orphan)
    waiting.send(None)
    loop.close()
    deliver(orphan, 1)
    assert orphan.future.done()
    waiting.close()
