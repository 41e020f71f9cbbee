"""Counts that are written down together."""

from __future__ import annotations

import asyncio

import pytest

from service.api.tallies import Tallies

pytestmark = pytest.mark.anyio


async def test_sums_are_written_soon_and_once() -> None:
    tallies, written = Tallies(), list[float]()
    tally, other = tallies.of(written.append), tallies.of(written.append)
    for _ in range(5):
        tally.add()
    tally.add(0.5)
    other.add(1)
    other.add(-1)
    assert written == []
    await asyncio.sleep(0.2)
    assert written == [5.5]  # and nothing of what has added up to nothing
    tally.add(2)
    tallies.flush()
    assert written == [5.5, 2]
    tallies.flush()
    await asyncio.sleep(0.2)
    assert written == [5.5, 2]


async def test_what_is_counted_while_others_are_written_is_not_lost() -> None:
    tallies, written = Tallies(), list[float]()
    later = tallies.of(written.append)
    tallies.of(lambda amount: later.add(amount)).add(3)
    tallies.flush()
    tallies.flush()
    assert written == [3]
