"""One bad item among 63 good ones: it fails alone, and the others get the bits that they get alone."""

from __future__ import annotations

import asyncio
from itertools import cycle
from typing import Any

import numpy as np
import pytest

from service.device.inpaintings import Inpainting
from service.device.replies import Outbox
from service.device.runner import Runner
from tests.reliability.figures import Proof
from tests.reliability.markers import LONG, share_of
from tests.service.helpers import NPY, Start, images, npy

pytestmark = pytest.mark.anyio

COUNT = 64
GOOD = np.random.default_rng(0).normal(size=(COUNT, 1, 2)).astype(np.float32)
# What the flow cannot represent is answered, with the reason in the place of a likelihood.
BAD = {
    "NaN": (np.full((1, 2), np.nan, np.float32), 422),
    "infinite": (np.full((1, 2), np.inf, np.float32), 422),
    "of another shape": (np.zeros((1, 3), np.float32), 422),
    "beyond the flow's reach": (np.full((1, 2), 3e38, np.float32), 200),
}


@pytest.mark.parametrize("rounds", [len(BAD), pytest.param(share_of(100), marks=LONG)])
async def test_a_bad_item_fails_alone(start: Start, rounds: int, proof: Proof) -> None:
    places = np.random.default_rng(1)
    async with start() as service:

        async def ask(items: np.ndarray) -> tuple[int, bytes]:
            answer = await service.http.post("/score?model=points", content=npy(items), headers=NPY)
            return answer.status_code, answer.content

        alone = [await ask(items) for items in GOOD]
        for (item, status), _ in zip(cycle(BAD.values()), range(rounds), strict=False):
            place = int(places.integers(COUNT))
            sent = [item if at == place else items for at, items in enumerate(GOOD)]
            found = await asyncio.gather(*map(ask, sent))
            proof.injected()
            for at, answer in enumerate(found):
                if at == place:
                    proof.expect(answer[0] == status, f"the bad one got {answer[0]} {answer[1]!r}")
                else:
                    proof.expect(answer == alone[at], f"{at} got {answer!r} beside it, and {alone[at]!r} alone")
    proof.hold()


@pytest.mark.parametrize("rounds", [1, pytest.param(share_of(50), marks=LONG)])
async def test_an_item_that_breaks_its_tick_fails_alone(
    start: Start, rounds: int, monkeypatch: pytest.MonkeyPatch, proof: Proof
) -> None:
    good, poison = images(COUNT), np.full((1, 8, 8), 255, np.uint8)
    places, original = np.random.default_rng(2), Runner.exactly

    def exactly(self: Runner, program: Any, columns: Any) -> Any:
        items = columns["items"]
        if bool((items.reshape(len(items), -1) == 255).all(1).any()):
            raise RuntimeError("this item breaks the kernel")
        return original(self, program, columns)

    async with start() as service:

        async def ask(items: np.ndarray) -> tuple[int, bytes]:
            answer = await service.http.post("/score", content=npy(items), headers=NPY)
            return answer.status_code, answer.content

        alone = [await ask(good[at : at + 1]) for at in range(COUNT)]
        with monkeypatch.context() as patch:
            patch.setattr(Runner, "exactly", exactly)
            for _ in range(rounds):
                place = int(places.integers(COUNT))
                sent = [poison if at == place else good[at : at + 1] for at in range(COUNT)]
                found = await asyncio.gather(*map(ask, sent))
                proof.injected()
                for at, answer in enumerate(found):
                    if at == place:
                        proof.expect(answer[0] == 500, f"the item at fault got {answer[0]}")
                    else:
                        proof.expect(answer == alone[at], f"{at} got another answer beside it")
        proof.expect(service.jobs == 0, "a job is left")
    proof.hold()


@pytest.mark.parametrize("owner", [(Outbox, "results"), (Inpainting, "rank")])
async def test_an_answer_that_cannot_be_made_fails_alone_and_the_device_goes_on(
    start: Start, owner: tuple[type[Any], str], monkeypatch: pytest.MonkeyPatch, proof: Proof
) -> None:
    def fail(*_: object) -> None:
        proof.injected()
        raise shortages.pop()

    inpainting = {"image": [0.5, 0], "mask": [0, 1]}
    # A service warms up larger batches beside its first requests: they would take a fault that is meant for a request.
    monkeypatch.setattr("service.device.served_models.warm_up_sizes", lambda *_: None)
    async with start() as service:

        async def ask() -> tuple[int, int]:
            score = await service.http.post("/score?model=points", content=npy(GOOD[0]), headers=NPY)
            inpaint = await service.http.post("/inpaint?model=points&steps=3", json=inpainting)
            return score.status_code, inpaint.status_code

        assert await ask() == (200, 200)
        shortages = [MemoryError(), ValueError("no answer")]
        with monkeypatch.context() as patch:
            patch.setattr(*owner, fail)
            found = [await ask() for _ in range(2)]
        assert found in ([(500, 200), (503, 200)], [(200, 500), (200, 503)])
        assert proof.faults == 2
        assert await ask() == (200, 200)
        assert service.waiting == service.jobs == 0
