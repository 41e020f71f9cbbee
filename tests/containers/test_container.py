"""The image alone: its process number 1, what the service does when its device is killed, and limits it must notice."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.containers.stack import Container, eventually, run


@pytest.fixture
def started(cpu_image: str, request: pytest.FixtureRequest) -> Iterator[Container]:
    """A container; the test's parameter, where it has one, is a tuple of options of `docker run`."""
    container = Container.start(cpu_image, *getattr(request, "param", ()))
    try:
        yield container
    finally:
        container.remove()


def ready(container: Container) -> None:
    assert container.status("/health/ready") == 200


def test_a_killed_device_is_replaced_within_the_container(started: Container) -> None:
    eventually(lambda: ready(started), 120)
    since = started.inspect()["State"]["StartedAt"]
    killed = started.kill_device()

    def down() -> None:
        assert (started.status("/health/live"), started.status("/health/ready")) == (503, 503)

    eventually(down, 10)
    eventually(lambda: ready(started), 120)
    assert started.device() != killed
    assert started.metric("sluice_device_restarts_total") == 1
    state = started.inspect()
    assert (state["RestartCount"], state["State"]["StartedAt"]) == (0, since)
    assert not [each for each in started.processes() if each["status"]["State"].startswith("Z")]
    log = started.log()
    assert " supervisor: the device process has died (signal 9)" in log
    assert " device: loaded " in log.partition("has died")[2]


def test_the_processes_share_the_log_and_have_no_privileges(started: Container) -> None:
    eventually(lambda: ready(started), 120)
    processes = started.processes()
    of = {name: [each for each in processes if name in each["command"]] for name in ("service.api", "service.device")}
    first = next(each for each in processes if each["pid"] == 1)
    assert "serve" in first["command"]
    assert len(of["service.device"]) == 1
    assert len(processes) == 2 + len(of["service.api"]) > 2, [each["command"] for each in processes]
    assert [each["outputs"] for each in processes] == [first["outputs"]] * len(processes)
    for status in (each["status"] for each in processes):
        assert (status["NoNewPrivs"], int(status["CapEff"], 16), int(status["CapBnd"], 16)) == ("1", 0, 0)
        assert set(status["Uid"].split()) == {"10001"}


@pytest.mark.parametrize("started", [(), ("--init",)], ids=["alone", "behind an init"], indirect=True)
def test_a_device_that_dies_three_times_within_a_minute_ends_the_container(started: Container) -> None:
    for _ in range(3):
        killed = started.kill_device()

        def gone(killed: int = killed) -> None:
            assert not started.inspect()["State"]["Running"] or started.device() != killed

        eventually(gone)

    def exited() -> None:
        assert started.inspect()["State"]["Status"] == "exited"

    eventually(exited)
    assert started.inspect()["State"]["ExitCode"] == 1
    assert " CRITICAL supervisor: " in started.log()


@pytest.mark.parametrize("started", [(), ("--init",)], ids=["alone", "behind an init"], indirect=True)
def test_it_can_be_stopped_while_it_starts(started: Container) -> None:
    def listening() -> None:
        assert "listening on" in started.log()

    eventually(listening)
    began = time.monotonic()
    run("docker", "stop", "--time", "60", started.number)
    assert time.monotonic() - began < 30
    assert started.inspect()["State"]["ExitCode"] == 0


@pytest.mark.parametrize("started", [("--cpus", "1", "--cgroupns", to) for to in ("host", "private")], indirect=True)
def test_limits_of_cpu_and_memory_are_noticed(started: Container) -> None:
    def look() -> None:
        assert started.metric("sluice_device_threads_bound") == 1
        assert started.metric('sluice_device_memory_bytes{kind="total"}') == 4 * 2**30

    eventually(look, 120)
