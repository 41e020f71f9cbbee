"""Small requests are held back while the event loop brings more of them, and not a moment longer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from service.gathering import Gathering

pytestmark = pytest.mark.anyio


@dataclass
class Calls:
    """What a scheduler was told, in order."""

    told: list[str] = field(default_factory=list)

    def hold(self) -> None:
        self.told.append("hold")

    def release(self) -> None:
        self.told.append("release")


def gathering(calls: Calls) -> Gathering:
    return Gathering(asyncio.get_running_loop(), cast("Any", calls))


async def passes(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_lone_request_is_released_after_a_few_passes() -> None:
    calls = Calls()
    gathering(calls).stir()
    assert calls.told == ["hold"]
    await passes(10)
    assert calls.told == ["hold", "release"]


async def test_requests_that_keep_coming_are_released_once_after_the_last() -> None:
    calls = Calls()
    door = gathering(calls)
    for _ in range(30):
        door.stir()
        await passes(2)
        assert calls.told == ["hold"]
    await passes(10)
    assert calls.told == ["hold", "release"]


async def test_the_next_request_begins_anew() -> None:
    calls = Calls()
    door = gathering(calls)
    for _ in range(2):
        door.stir()
        await passes(10)
    assert calls.told == ["hold", "release"] * 2


async def test_answers_on_their_way_hold_at_once_and_release_when_they_have_arrived() -> None:
    calls = Calls()
    door = gathering(calls)
    await asyncio.to_thread(door.hold)
    assert calls.told == ["hold"]
    door.stir()
    await passes(10)
    assert calls.told == ["hold", "hold", "release"]
