"""A wall clock that jumps: nothing is given up early, nothing hangs, and nothing but times of day changes."""

from __future__ import annotations

import asyncio
import os
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.reliability.asks import GOOD, INPAINT
from tests.reliability.figures import Proof
from tests.reliability.load import load
from tests.reliability.markers import LONG, share_of
from tests.reliability.probing import processes
from tests.service.helpers import Running, Start, until
from tests.service.servers import serving

YEARS = 10 * 365 * 86400

# A library that the dynamic linker puts in front of the C library's clock: the wall clock is that of the machine and as
# many seconds as a file says.
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

static long offset(void) {
    static volatile long *shared;
    if (!shared) {
        int file = open(getenv("CLOCK_OFFSET"), O_RDONLY);
        if (file < 0) return 0;
        shared = mmap(0, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
    }
    return *shared;
}

int clock_gettime(clockid_t clock, struct timespec *found) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(clock, found);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) found->tv_sec += offset();
    return status;
}

int gettimeofday(struct timeval *found, void *zone) {
    static int (*real)(struct timeval *, void *);
    if (!real) real = dlsym(RTLD_NEXT, "gettimeofday");
    int status = real(found, zone);
    found->tv_sec += offset();
    return status;
}

time_t time(time_t *into) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (into) *into = now.tv_sec;
    return now.tv_sec;
}
"""


@pytest.mark.anyio
async def test_a_clock_that_jumps_changes_nothing_for_what_is_under_way(
    start: Start, monkeypatch: pytest.MonkeyPatch, proof: Proof
) -> None:
    real, offset = time.time, 0
    monkeypatch.setattr(time, "time", lambda: real() + offset)
    async with start(max_steps=10**6) as service:
        expected = await inpainted(service)
        begun = await service.http.put("/inpaint/a?model=points&steps=1000000&method=nice", json={"image": [0.5, None]})
        assert begun.status_code == 202
        await until(lambda: service.jobs == 1)
        for offset in (YEARS, -YEARS, 3600, 0):
            proof.injected()
            proof.expect(await inpainted(service) == expected, f"an answer changed at {offset} s")
            state = (await service.http.get("/inpaint/a")).json()["state"]
            proof.expect(state == "running", f"an inpainting is {state} at {offset} s")
            for path in ("/health/live", "/health/ready", "/metrics"):
                proof.expect((await service.http.get(path)).status_code == 200, f"{path} at {offset} s")
        await service.http.delete("/inpaint/a")
        async with asyncio.timeout(20):
            while (await service.http.get("/inpaint/a")).status_code == 202:
                await asyncio.sleep(0.01)
    proof.hold()


async def inpainted(service: Running) -> bytes:
    answer = await service.http.post(INPAINT.path, content=INPAINT.body, headers=dict(INPAINT.headers))
    assert answer.status_code == 200, answer.text
    return answer.content


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that says by how many seconds the wall clock of processes that are started from now on is off."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("the clock of processes is moved by a compiled library, on Linux")
    (tmp_path / "clock.c").write_text(SHIM)
    library, offset = tmp_path / "clock.so", tmp_path / "offset"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(tmp_path / "clock.c"), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    offset.write_bytes(struct.pack("l", 0))
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("CLOCK_OFFSET", str(offset))
    return offset


@LONG
def test_processes_whose_clock_jumps_under_load_answer_as_before(
    store: Path, tmp_path: Path, clock: Path, proof: Proof
) -> None:
    def jump(seconds: int) -> None:
        with clock.open("r+b") as file:
            file.write(struct.pack("l", seconds))

    with (
        serving(store, tmp_path / "log", api_processes=2, deadline=10) as server,
        load(server, GOOD, clients=6, pause=0.002) as running,
    ):
        children = processes(server)
        asks_the_time = [sys.executable, "-c", "import time; print(time.time())"]
        for number in range(share_of(40)):
            jump((YEARS, -YEARS, 3600, -3600, 1, 0)[number % 6])
            proof.injected()
            if number == 0:
                told = subprocess.run(asks_the_time, env=dict(os.environ), capture_output=True, check=True)
                assert float(told.stdout) > time.time() + YEARS / 2, "the clock of processes is moved"
            time.sleep(0.2)
        answers = running.stop()
        proof.expect(processes(server) == children, "a process was started again")
        proof.expect(server.metric("sluice_queue_jobs") == 0, "jobs are left")
    for one in answers.surprises:
        proof.expect(False, str(one))
    for name, bodies in answers.bodies.items():
        proof.expect(len(bodies) == 1 or name == "live", f"{name} had {len(bodies)} answers")
    proof.hold()
