"""A plugin of pytest: tests that run a service run it with two replicas behind Ray Serve's proxy.

    python -m pytest -p tests.scale.through_ray tests/service/api/routes

A test that asks for other settings, or another store, than the one before costs the start of two replicas.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator
from contextlib import ExitStack, asynccontextmanager

import pytest

from service.settings import Settings
from tests.scale.ray_cluster import RayCluster, ray_cluster
from tests.service import helpers

ONE_DEVICE = {
    "test_inpaintings_that_come_together_begin_together": "counts the ticks of one device",
    "test_what_runs_finishes_on_the_version_it_began_with": "60 steps are over before metrics tell of them",
    "test_the_oldest_that_has_ended_makes_room_and_none_that_runs_does": "fills one device with tasks",
    "test_a_task_that_runs_may_be_put_again_when_the_queue_is_full": "fills the queue of one device",
    "test_a_refused_version_leaves_the_old_one_serving": "counts the failure of one device",
}
"""Tests of what several replicas do not promise, and why."""

_open = ExitStack()
_cluster: RayCluster | None = None
_deployed: Settings | None = None


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[str]:
    """The URL of the proxy, behind which replicas with these settings run."""
    if settings.drift_dir is not None or settings.metrics_port is not None:
        pytest.skip("a replica of Ray's has no such setting")
    yield await asyncio.to_thread(_deploy, settings)


def _deploy(settings: Settings) -> str:
    global _deployed
    assert _cluster is not None
    # With very many steps, a task of the test before may still run.
    if settings != _deployed or settings.max_steps != Settings.model_fields["max_steps"].default:
        if _deployed is not None:
            _cluster.delete()
        _cluster.deploy(settings)
        _deployed = settings
    return _cluster.url


def pytest_configure() -> None:
    global _cluster
    _cluster = _open.enter_context(ray_cluster())  # Ray's processes end with the thread that starts them
    helpers.elsewhere = served


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the same fixtures after one another, so that replicas are started less often."""
    items.sort(key=_turn)
    for item in items:
        reason = ONE_DEVICE.get(getattr(item, "originalname", ""))
        if "monkeypatch" in getattr(item, "fixturenames", ()):
            reason = "changes the process of the service"
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_runtest_setup() -> None:
    helpers.RunningElsewhere.looked_for = None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test is skipped as well where one of its tasks, and not itself, looked into the process of the service."""
    report = yield
    looked_for = helpers.RunningElsewhere.looked_for
    if report.failed and looked_for is not None:
        report.outcome = "skipped"
        report.longrepr = (str(item.path), 0, f"Skipped: looks into the process of the service: {looked_for}")
    return report


def _turn(item: pytest.Item) -> tuple[int, str, list[str]]:
    names = sorted(getattr(item, "fixturenames", ()))
    if "start" in names:  # with settings of its own
        return 2, str(item.path), names
    return (0, "", []) if "service" in names else (1, str(item.path), names)


def pytest_unconfigure() -> None:
    helpers.elsewhere = None
    _open.close()
