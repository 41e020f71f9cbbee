"""POST /score of a model that takes pictures of any size."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.service.helpers import JSON, NPY, Running, assert_problem, npy, picture, running
from tests.service.pictures import ALIGNED, COUNT, publish_pictures, surface, with_hole

pytestmark = pytest.mark.anyio

PNG = {"content-type": "image/png"}


@pytest.fixture(scope="module")
def pictures_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    publish_pictures(root)
    return root


@pytest.fixture
async def service(pictures_store: Path) -> AsyncIterator[Running]:
    async with running(pictures_store, threads=1) as started:
        yield started


@pytest.fixture(scope="module")
def aligned_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("aligned")
    publish_pictures(root, aligned=True)
    return root


def files(items: list[np.ndarray]) -> dict[str, Any]:
    return {"files": [("files", (f"{k}.png", picture(item), "image/png")) for k, item in enumerate(items)]}


async def test_pictures_of_several_sizes_are_scored_as_each_alone(service: Running) -> None:
    items = surface(5, seed=1)
    together = await service.post_json("/score", **files(items))
    alone = await asyncio.gather(*(service.post_json("/score", content=picture(item), headers=PNG) for item in items))
    assert [item["p_value"] for item in together["items"]] == [one["items"][0]["p_value"] for one in alone]
    for item, one in zip(together["items"], alone, strict=True):
        assert item["log_likelihood"] == one["items"][0]["log_likelihood"]
    assert together["calibration_size"] == COUNT
    assert together["smallest_p_value"] == pytest.approx(1 / (COUNT + 1))
    assert together["group"]["count"] == 5


async def test_bits_per_dim_refers_to_the_pixels_of_each_picture(service: Running) -> None:
    small, large = surface(1, seed=2)[0][:20, :20], surface(1, seed=3, least=32)[0]
    found = await service.post_json("/score", **files([small, large]))
    for item, pixels in zip(found["items"], (small, large), strict=True):
        assert item["bits_per_dim"] == pytest.approx(8 - item["log_likelihood"] / (pixels.size * np.log(2)))


async def test_a_hole_is_anomalous_and_its_region_lies_where_it_is(service: Running) -> None:
    ordinary, faulty = surface(1, seed=4)[0], with_hole(surface(1, seed=5, least=28)[0])
    found = await service.post_json("/score?map=true&alpha=0.05", **files([ordinary, faulty]))
    assert found["items"][1]["anomalous"]
    assert set(found["items"][1]["tests"]) == {"likelihood", "places", "areas"}
    areas = [each["tests"]["areas"]["statistics"]["strange_areas"] for each in found["items"]]
    assert areas[1] > areas[0] > 0
    assert found["items"][1]["tests"]["places"]["p_value"] <= 0.05
    peak = found["items"][1]["regions"][0]["peak"]
    assert 3 <= peak["row"] <= 12
    assert 3 <= peak["column"] <= 12
    assert "regions" in found["items"][0]


async def test_at_an_alpha_that_no_p_value_reaches_there_are_no_regions(service: Running) -> None:
    found = await service.post_json(
        "/score?map=true&alpha=0.0001", **files([with_hole(surface(1, seed=5, least=28)[0])])
    )
    assert found["alpha_reachable"] is False
    assert found["items"][0]["regions"] is None


async def test_of_a_picture_that_is_scaled_down_regions_are_in_its_own_pixels(service: Running) -> None:
    large = np.asarray(Image.fromarray(with_hole(surface(1, seed=5, least=28, most=32)[0])).resize((120, 120), 0))
    found = await service.post_json("/score?map=true&alpha=0.1", content=picture(large), headers=PNG)
    regions = found["items"][0]["regions"]
    assert regions
    assert max(region["box"][2] for region in regions) <= 120
    assert max(region["peak"]["row"] for region in regions) > 0
    assert found["items"][0]["bits_per_dim"] == pytest.approx(
        8 - found["items"][0]["log_likelihood"] / (48 * 48 * np.log(2))
    )
    assert "outside 20 to 33" in found["notes"][0]
    assert found["notes"][1].startswith(
        "1 of 1 pictures were scaled down 2.5 times, those that p-values rest on 1.0 times"
    )


async def test_maps_have_the_size_of_each_picture_and_nan_beyond(service: Running) -> None:
    items = [surface(1, seed=6)[0][:20, :24], surface(1, seed=7, least=30)[0][:30, :30]]
    headers = {"accept": "application/x-npy"}
    answer = await service.http.post("/score?map=true", headers=headers, **files(items))
    found = np.load(io.BytesIO(answer.content))
    assert found.shape == (2, 30, 30)
    assert found.dtype == np.float32
    assert np.isfinite(found[0, :20, :24]).all()
    assert np.isnan(found[0, 20:]).all()
    assert np.isnan(found[0, :, 24:]).all()
    one = await service.http.post("/score?map=true", headers={**PNG, **headers}, content=picture(items[0]))
    assert np.array_equal(np.load(io.BytesIO(one.content))[0], found[0, :20, :24])


async def test_a_png_shows_pictures_of_several_sizes(service: Running) -> None:
    headers = {"accept": "image/png"}
    answer = await service.http.post("/score?map=true", headers=headers, **files(surface(3, seed=8)))
    shown = Image.open(io.BytesIO(answer.content))
    assert shown.mode == "RGB"
    assert min(shown.size) > 200


async def test_a_png_of_pictures_of_very_different_shapes_is_refused(service: Running) -> None:
    items = [np.full(shape, 120, np.uint8) for shape in [(48, 8), (8, 48)] * 32]
    answer = await service.http.post("/score?map=true", headers={"accept": "image/png"}, **files(items))
    assert "npy or JSON" in assert_problem(answer, 413, "items")["detail"]
    assert await service.still_good()


async def test_npy_and_json_hold_pictures_of_one_size(service: Running) -> None:
    items = np.stack([item[:20, :20] for item in surface(3, seed=9)])
    first = await service.post_json("/score", content=npy(items), headers=NPY)
    second = await service.post_json("/score", json={"items": items.tolist()}, headers=JSON)
    assert [item["p_value"] for item in first["items"]] == [item["p_value"] for item in second["items"]]
    one = await service.post_json("/score", content=npy(items[0]), headers=NPY)
    assert one["items"][0] == first["items"][0]


async def test_colour_is_converted_only_where_asked(service: Running) -> None:
    colour = np.repeat(surface(1, seed=10)[0][..., None], 3, axis=2)
    refused = await service.http.post("/score", content=picture(colour), headers=PNG)
    assert "fit=true" in assert_problem(refused, 422, "items[0]")["detail"]
    found = await service.post_json("/score?fit=true", content=picture(colour), headers=PNG)
    assert found["items"][0]["p_value"] > 0
    assert await service.still_good()


@pytest.mark.parametrize(
    ("array", "field"), [(np.zeros((3, 20)), "items[0]"), (np.zeros((2, 20, 20, 3), np.uint8), "items")]
)
async def test_pictures_that_the_model_cannot_take_are_refused(service: Running, array: np.ndarray, field: str) -> None:
    answer = await service.http.post("/score", content=npy(array), headers=NPY)
    assert_problem(answer, 422, field)
    assert await service.still_good()


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
async def test_a_picture_with_damaged_exif_is_scored_as_it_lies(service: Running, form: str) -> None:
    item = Image.fromarray(surface(1, seed=12)[0])
    plain, damaged = io.BytesIO(), io.BytesIO()
    item.save(plain, form)
    item.save(damaged, form, exif=b"Exif\0\0garbage-not")
    headers = {"content-type": f"image/{form.lower()}"}
    wanted = await service.post_json("/score", content=plain.getvalue(), headers=headers)
    found = await service.post_json("/score", content=damaged.getvalue(), headers=headers)
    assert found["items"] == wanted["items"]


async def test_a_picture_as_large_as_in_training_is_scaled_down_and_scored(service: Running) -> None:
    photograph, vast = io.BytesIO(), io.BytesIO()
    Image.new("1", (5000, 4000), 1).save(photograph, "PNG")
    found = await service.post_json("/score?map=true", content=photograph.getvalue(), headers=PNG)
    assert found["items"][0]["p_value"] > 0
    Image.new("1", (2**13, 2**13 + 1)).save(vast, "PNG")
    answer = await service.http.post("/score", content=vast.getvalue(), headers=PNG)
    assert "67108864 pixels" in assert_problem(answer, 413, "items[0]")["detail"]
    assert await service.still_good()


async def test_too_many_pixels_for_one_request_are_refused(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.media.any_pictures.MOST_PIXELS", 2000)
    answer = await service.http.post("/score", **files(surface(5, seed=11)))
    assert_problem(answer, 413, "items")
    sent = files(surface(5, seed=11))
    sent["files"].append(("files", ("5.png", b"damaged", "image/png")))
    late = await service.http.post("/score", **sent)
    assert_problem(late, 413, "items")  # before all pictures are decoded
    monkeypatch.setattr("service.media.any_pictures.MOST_PIXELS", 16 * 20 + 20 * 16)
    each = [np.full(shape, 120, np.uint8) for shape in ((16, 20), (20, 16))]
    answer = await service.http.post("/score", **files(each))
    assert "2 pictures of up to 20x20" in assert_problem(answer, 413, "items")["detail"]
    assert await service.still_good()


async def test_more_pixels_wait_as_more_work(service: Running) -> None:
    from service.protocol.messages import picture_cost

    assert picture_cost(np.array([[20, 20], [64, 64], [65, 64], [1024, 1024]])) == 1 + 1 + 2 + 256


async def test_the_model_tells_how_pictures_are_prepared(service: Running) -> None:
    found = (await service.http.get("/models/surface")).json()
    sizes = {
        "longest": 48,
        "bits": 12,
        "shortest_side": 20,
        "longest_side": 33,
        "reductions": [1.0, 1.0],
        "aligned_size": None,
    }
    assert found["any_size"] == sizes
    listed = (await service.http.get("/models")).json()["models"]
    assert [each["any_size"] for each in listed] == [sizes]
    assert found["map"]["reference"] == COUNT
    assert found["calibration"]["smallest_p_value"] == pytest.approx(1 / (COUNT + 1))


async def test_crops_are_drawn_and_encoded_as_of_any_model(service: Running) -> None:
    drawn = await service.http.post("/sample?n=2&seed=1", headers={"accept": "application/x-npy"})
    items = np.load(io.BytesIO(drawn.content))
    assert items.shape == (2, 16, 16)
    latents = await service.http.post("/encode", content=npy(items), headers={**NPY, "accept": "application/x-npy"})
    assert latents.status_code == 200


async def test_a_model_of_aligned_pictures_serves_their_size_and_refuses_others(aligned_store: Path) -> None:
    async with running(aligned_store, threads=1) as service:
        fitting = surface(1, seed=12, least=ALIGNED, most=ALIGNED + 1)[0]
        found = await service.post_json("/score", content=picture(fitting), headers=PNG)
        assert 0 < found["items"][0]["p_value"] <= 1
        other = await service.http.post("/score", **files([fitting, fitting[:20]]))
        detail = assert_problem(other, 422, "items[1]")["detail"]
        assert detail == "items[1] is 24x20; the model scores aligned pictures of 24x24 alone"
        batch = np.zeros((2, 30, 60), np.uint8)
        detail = assert_problem(await service.http.post("/score", content=npy(batch), headers=NPY), 422, "items[0]")
        assert detail["detail"].startswith("items[0] is 60x30, scaled down to 48x24; ")
        assert (await service.http.get("/models/surface")).json()["any_size"]["aligned_size"] == [ALIGNED, ALIGNED]


async def test_a_model_of_aligned_pictures_fills_in_those_of_any_size(aligned_store: Path) -> None:
    async with running(aligned_store, threads=1) as service:
        item = surface(1, seed=13, least=30)[0]
        sent = {"image": item.tolist(), "mask": np.eye(item.shape[0], item.shape[1], dtype=np.int64).tolist()}
        answer = await service.http.post("/inpaint?steps=1", json=sent)
        assert answer.status_code == 200, answer.text
