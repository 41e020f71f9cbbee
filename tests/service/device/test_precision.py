"""Nets of bfloat16 in the service: where they are used, and that they tell nobody apart by his company."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.service.helpers import DIGITS, Running, Start, publish_small

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def half_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`digits` with a note that nets of bfloat16 are harmless to it, and `plain` without one."""
    root = tmp_path_factory.mktemp("half")
    publish_small(root, "digits", DIGITS, bfloat16=True)
    publish_small(root, "plain", DIGITS)
    return root


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that multiplies in bfloat16; one that emulates it gives the same answers, later."""
    monkeypatch.setattr("service.device.hardware.multiplies_bfloat16", lambda device: True)


def picture(number: int) -> list[list[int]]:
    return [[(7 * number + 31 * row + 13 * column) % 256 for column in range(8)] for row in range(8)]


async def log_likelihoods(service: Running, items: list[list[list[int]]], model: str = "digits") -> list[float]:
    found = await service.post_json("/score", params={"model": model, "seed": 5}, json={"items": items})
    return [item["log_likelihood"] for item in found["items"]]


async def test_it_is_used_where_publishing_found_it_harmless_and_can_be_forbidden(
    start: Start, half_store: Path, fast: None
) -> None:
    answers = {}
    for setting in ("auto", "float32"):
        async with start(half_store, precision=setting) as service:
            used = {name: (await service.http.get(f"/models/{name}")).json() for name in ("digits", "plain")}
            assert used["plain"]["precision"] == "float32"
            assert used["plain"]["bfloat16"] is None
            assert used["digits"]["precision"] == ("bfloat16" if setting == "auto" else "float32")
            assert 0 < used["digits"]["bfloat16"]["worst"] < 1
            answers[setting] = await log_likelihoods(service, [picture(1)])
    assert answers["auto"] != answers["float32"]
    assert answers["auto"] == pytest.approx(answers["float32"], abs=0.1)


async def test_a_machine_that_would_emulate_it_computes_in_float32(
    start: Start, half_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.device.hardware.multiplies_bfloat16", lambda device: False)
    async with start(half_store) as service:
        assert service.model("digits").precision == "float32"


async def test_an_item_gets_the_same_answer_alone_and_in_any_company(
    start: Start, half_store: Path, fast: None
) -> None:
    async with start(half_store) as service:
        items = [picture(number) for number in range(37)]
        together = await log_likelihoods(service, items)
        alone = await asyncio.gather(*(log_likelihoods(service, [item]) for item in items))
        assert [answer for answers in alone for answer in answers] == together
        assert await log_likelihoods(service, items[::-1]) == together[::-1]


async def test_latents_go_there_and_back_in_float32(start: Start, half_store: Path, fast: None) -> None:
    async with start(half_store) as service:
        items = [picture(number) for number in range(3)]
        latents = await service.post_json("/encode", params={"model": "digits", "seed": 5}, json={"items": items})
        back = await service.post_json("/decode", params={"model": "digits"}, json={"latents": latents["latents"]})
        assert back["items"] == items
