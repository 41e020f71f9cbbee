"""Programs: an item's answer is its own, whoever shares the tick."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from flows import lattice
from flows.inpainting import METHODS
from model_store import Publication, publish
from service.device.programs import Decode, Encode, Inpaint, Sample, Score
from service.protocol.defaults import INPAINT_METHODS
from tests.service.helpers import NPY, Running, images, npy, ordinary, running

pytestmark = pytest.mark.anyio


@pytest.fixture
async def judge(calibrated_store: Path) -> AsyncIterator[Running]:
    async with running(calibrated_store, threads=1) as service:
        yield service


async def score(service: Running, items: np.ndarray, query: str = "") -> Any:
    return await service.post_json(f"/score?seed=4&{query}", content=npy(items), headers=NPY)


@pytest.mark.parametrize("model", ["digits", "points"])
async def test_a_verdict_alone_is_that_among_31_others_to_the_bit(judge: Running, model: str) -> None:
    items = ordinary(judge.model(model).flow, 32, seed=3)
    together = (await score(judge, items, f"model={model}"))["items"]
    for place in range(0, 32, 5):
        alone = await score(judge, items[place : place + 1], f"model={model}")
        assert alone["items"] == [together[place]]


async def test_a_groups_p_value_does_not_depend_on_who_shares_the_tick(judge: Running) -> None:
    items = ordinary(judge.model("digits").flow, 60, seed=5)
    groups = [items[start : start + 1 + start % 7] for start in range(0, 50, 5)]
    alone = [await score(judge, group) for group in groups]
    together = await asyncio.gather(*(score(judge, group) for group in groups))
    assert [answer["group"] for answer in together] == [answer["group"] for answer in alone]
    assert [answer["items"] for answer in together] == [answer["items"] for answer in alone]
    assert len({answer["group"]["p_value"] for answer in alone}) > 5


async def test_discoveries_are_those_of_the_request_alone(judge: Running) -> None:
    foreign, own = images(20) // 32 * 32, ordinary(judge.model("digits").flow, 20, seed=6)
    alone = await score(judge, own, "fdr=0.1")
    together, others, plain = await asyncio.gather(
        score(judge, own, "fdr=0.1"), score(judge, foreign, "fdr=0.1"), score(judge, foreign)
    )
    assert together == alone
    assert any(item["discovery"] for item in others["items"])
    assert {item["discovery"] for item in plain["items"]} == {None}


def test_the_methods_that_the_routes_offer_are_those_of_the_flows() -> None:
    assert sorted(INPAINT_METHODS) == list(INPAINT_METHODS) == sorted(METHODS)


@pytest.fixture(scope="module")
def large_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of 32x32 by a lattice flow, the default, and `small` ones of 24x24."""
    root = tmp_path_factory.mktemp("large")
    for name, side in (("large", 32), ("small", 24)):
        torch.manual_seed(0)
        arguments: dict[str, Any] = {"width": 4, "blocks": 1, "components": 2}
        flow = lattice((side, side), **arguments)
        items = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, side, side), dtype=np.uint8))
        publish(
            root,
            name,
            Publication(flow=flow, architecture="lattice", arguments=arguments, golden_items=items),
        )
    return root


async def test_a_larger_picture_is_drawn_and_filled_in_in_a_batch_of_its_own(large_store: Path) -> None:
    async with running(large_store, threads=1) as service:
        large, small = service.model("large"), service.model("small")
        runner = service.loop.scheduler._runner
        for program in (Sample(large), Decode(large), Inpaint(large, "langevin")):
            assert runner.sizes(program).fit(1) == runner.sizes(program).most() == 1
        # What encodes need not be: it is tried when the model is loaded.
        assert runner.sizes(Encode(large)).fit(1) == 1
        assert runner.sizes(Score(large)).fit(1) in (1, 2, 4, 8)
        assert runner.sizes(Sample(small)).fit(1) == 16
        several = (
            await service.http.post("/sample?model=large&n=3&seed=4", headers={"accept": "application/x-npy"})
        ).content
        alone = (
            await service.http.post("/sample?model=large&n=1&seed=4", headers={"accept": "application/x-npy"})
        ).content
        np.testing.assert_array_equal(np.load(io.BytesIO(several))[:1], np.load(io.BytesIO(alone)))
