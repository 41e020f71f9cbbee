"""POST /sample."""

from __future__ import annotations

import asyncio
import io

import numpy as np
import pytest
from PIL import Image

from tests.service.helpers import Running, Start, assert_problem

pytestmark = pytest.mark.anyio
NPY = {"accept": "application/x-npy"}


async def samples(service: Running, query: str) -> np.ndarray:
    answer = await service.http.post(f"/sample?{query}", headers=NPY)
    assert answer.status_code == 200, answer.text
    found: np.ndarray = np.load(io.BytesIO(answer.content), allow_pickle=False)
    return found


async def test_the_first_of_many_are_the_few_at_the_same_seed(service: Running) -> None:
    many, few, one = [await samples(service, f"n={n}&seed=11") for n in (64, 16, 1)]
    assert many.shape == (64, 8, 8)
    assert many.dtype == np.uint8
    np.testing.assert_array_equal(many[:16], few)
    np.testing.assert_array_equal(many[:1], one)
    assert len(np.unique(many.reshape(64, -1), axis=0)) == 64


async def test_a_seeded_answer_does_not_depend_on_who_shares_the_batch(start: Start) -> None:
    async with start() as service:
        queries = [f"n={1 + i % 5}&seed={i}&temperature={0.5 + i / 40}" for i in range(40)]
        alone = [await samples(service, query) for query in queries]
        together = await asyncio.gather(*(samples(service, query) for query in queries))
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one, other)


async def test_without_a_seed_one_is_drawn_and_told(service: Running) -> None:
    first, second = [await service.http.post("/sample?n=3", headers=NPY) for _ in range(2)]
    assert first.headers["x-sluice-seed"] != second.headers["x-sluice-seed"]
    again = await service.http.post(f"/sample?n=3&seed={first.headers['x-sluice-seed']}", headers=NPY)
    assert again.content == first.content


async def test_a_tag_tells_the_same_answer_from_another(service: Running) -> None:
    async def tag(query: str, accept: str = "application/x-npy") -> str | None:
        answer = await service.http.post(f"/sample?{query}", headers={"accept": accept})
        found: str | None = answer.headers.get("etag")
        return found

    first = await tag("n=3&seed=7")
    assert first is not None
    assert first == await tag("seed=7&n=3&model=digits")
    others = [
        *[await tag(query) for query in ("n=4&seed=7", "n=3&seed=8", "n=3&seed=7&temperature=0.5")],
        await tag("n=3&seed=7", accept="image/png"),
        await tag("n=3&seed=7&model=points"),
    ]
    assert len({first, *others}) == 6
    assert await tag("n=3") is None, "nobody can ask for these again by the same words"


async def test_the_picture_is_a_grid_of_the_images(service: Running) -> None:
    answer = await service.http.post("/sample?n=4&seed=1")
    assert answer.headers["content-type"] == "image/png"
    sheet = np.asarray(Image.open(io.BytesIO(answer.content)))
    images = await samples(service, "n=4&seed=1")
    assert sheet.shape == (18, 18)
    np.testing.assert_array_equal(sheet[:8, :8], images[0])
    np.testing.assert_array_equal(sheet[10:, 10:], images[3])


async def test_points_in_the_plane_come_as_a_scatter(service: Running) -> None:
    answer = await service.http.post("/sample?n=50&seed=1&model=points")
    assert Image.open(io.BytesIO(answer.content)).size == (512, 512)


async def test_json_samples_can_be_scored_as_they_come(service: Running) -> None:
    for model in ("digits", "points"):
        found = await service.post_json(f"/sample?n=3&seed=5&model={model}")
        assert found["model"] == f"{model}@1"
        assert len((await service.post_json(f"/score?model={model}", json={"items": found["items"]}))["items"]) == 3


async def test_a_lower_temperature_crowds_the_samples(service: Running) -> None:
    wide, narrow = [await samples(service, f"n=64&seed=3&model=points&temperature={t}") for t in (1, 0.1)]
    assert narrow.std() < wide.std() / 4


async def ticks(service: Running) -> float:
    return await service.metric("sluice_tick_rows_count", kind="sample")


async def test_more_rows_than_a_batch_take_several_ticks(start: Start) -> None:
    async with start(max_batch_rows=16) as service:
        before = await ticks(service)
        small = await samples(service, "n=100&seed=2")
        assert await ticks(service) - before == 7
    async with start() as service:
        np.testing.assert_array_equal(small, await samples(service, "n=100&seed=2"))


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("n=0", "n"),
        ("n=1000000000", "n"),
        ("n=many", "n"),
        ("temperature=-1", "temperature"),
        ("temperature=nan", "temperature"),
        ("seed=-1", "seed"),
        (f"seed={2**63}", "seed"),
    ],
)
async def test_a_wrong_parameter_is_named(service: Running, query: str, field: str) -> None:
    assert_problem(await service.http.post(f"/sample?{query}"), 422, field)
    assert await service.still_good()


async def test_unknown_models_and_representations_are_refused(service: Running) -> None:
    for model in ("nobody", "digits@9", "digits@nothing", "../digits", "digits/1", "%00"):
        assert_problem(await service.http.post("/sample", params={"model": model}), 404, "model")
    assert_problem(await service.http.post("/sample", headers={"accept": "text/html"}), 406, "Accept")
    assert await service.still_good()


async def test_references_by_version_and_alias_mean_the_same_model(service: Running) -> None:
    answers = [await samples(service, f"seed=4&model={name}") for name in ("digits", "digits@1", "digits@default")]
    np.testing.assert_array_equal(answers[0], answers[1])
    np.testing.assert_array_equal(answers[0], answers[2])
