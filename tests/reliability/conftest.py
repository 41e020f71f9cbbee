"""The stores and services of the service's tests, for tests that try to break it; and what each of these counted."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.reliability import figures
from tests.service.conftest import _frugal, anyio_backend, calibrated_store, service, start, store

__all__ = ["_frugal", "anyio_backend", "calibrated_store", "service", "start", "store"]

_ROWS = pytest.StashKey[dict[str, figures.Row]]()
_PROOF = pytest.StashKey[figures.Proof]()


@pytest.fixture(autouse=True)
def proof(request: pytest.FixtureRequest) -> figures.Proof:
    """What this test counts. Requests through httpx and ``raw`` are counted by themselves, probes included."""
    found = figures.begin()
    request.node.stash[_PROOF] = found
    return found


@pytest.fixture(scope="session", autouse=True)
def _count_requests() -> Iterator[None]:
    blocking, waiting = httpx.Client.send, httpx.AsyncClient.send

    def send(self: httpx.Client, *arguments: Any, **options: Any) -> httpx.Response:
        figures.current().sent()
        return blocking(self, *arguments, **options)

    async def send_async(self: httpx.AsyncClient, *arguments: Any, **options: Any) -> httpx.Response:
        figures.current().sent()
        return await waiting(self, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx.Client, "send", send)
        patch.setattr(httpx.AsyncClient, "send", send_async)
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call" and report.outcome != "skipped":
        rows = item.config.stash.setdefault(_ROWS, {})
        name = item.nodeid.partition("[")[0].removeprefix("tests/reliability/")
        row = rows.setdefault(name, figures.Row())
        row.add(item.stash.get(_PROOF, figures.Proof()), report.outcome == "passed", call.duration)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    rows = session.config.stash.get(_ROWS, {})
    if rows and figures.FILE in os.environ:
        figures.save(rows, Path(os.environ[figures.FILE]))
