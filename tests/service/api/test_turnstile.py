"""Requests of several clients are begun in turns."""

from __future__ import annotations

import asyncio

import pytest

from service.api.turnstile import Turnstile

pytestmark = pytest.mark.anyio


class Begun:
    """The names of clients in the order in which their requests were begun."""

    def __init__(self) -> None:
        self.turnstile, self.names = Turnstile(), list[str]()

    async def ask(self, name: str) -> None:
        await self.turnstile.enter(name)
        self.names.append(name)

    def send(self, name: str, count: int) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self.ask(name)) for _ in range(count)]


async def test_one_client_alone_does_not_wait() -> None:
    begun = Begun()
    for _ in range(3):
        await asyncio.wait_for(begun.ask("alone"), 1)
    tasks = begun.send("alone", 5)
    await asyncio.sleep(0)
    assert len(begun.names) == 8
    await asyncio.gather(*tasks)


async def test_a_request_does_not_wait_behind_a_flood() -> None:
    begun = Begun()
    await begun.ask("steady")
    await begun.ask("flood")
    tasks = begun.send("flood", 50)
    await asyncio.sleep(0)  # they wait in line
    tasks += begun.send("steady", 3)
    await asyncio.gather(*tasks)
    places = [place for place, name in enumerate(begun.names[2:]) if name == "steady"]
    assert places[-1] <= 8
    assert begun.names.count("flood") == 51


async def test_a_request_that_is_given_up_takes_no_turn() -> None:
    begun = Begun()
    await begun.ask("a")
    await begun.ask("b")
    first, *others = begun.send("a", 3)
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(*others)
    assert first.cancelled()
    assert begun.names == ["a", "b", "a", "a"]
