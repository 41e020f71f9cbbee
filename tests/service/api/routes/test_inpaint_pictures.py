"""POST /inpaint of a model that takes pictures of any size."""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.service.helpers import EVENTS, NPY, Running, assert_problem, events_in, npy, picture, running
from tests.service.pictures import LONGEST, publish_pictures

pytestmark = pytest.mark.anyio

NUMBERS = {"accept": "application/x-npy"}


@pytest.fixture(scope="module")
def colour_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("colour")
    publish_pictures(root, colours=3)
    return root


@pytest.fixture
async def service(colour_store: Path) -> AsyncIterator[Running]:
    async with running(colour_store, threads=1, deadline=600) as started:
        yield started


def surface(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * width).integers(90, 160, (height, width, 3), dtype=np.uint8)


def mask_of(item: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros(item.shape[:2], dtype=np.uint8)
    mask[rows, columns] = 255
    return mask


def files(item: np.ndarray, mask: np.ndarray | None = None) -> dict[str, Any]:
    found = {"image": ("i.png", picture(item), "image/png")}
    return {"files": found if mask is None else found | {"mask": ("m.png", picture(mask), "image/png")}}


async def completions(service: Running, query: str, **options: Any) -> np.ndarray:
    answer = await service.http.post(f"/inpaint?{query}", headers=NUMBERS, **options)
    assert answer.status_code == 200, answer.text
    found: np.ndarray = np.load(io.BytesIO(answer.content), allow_pickle=False)
    return found


@pytest.mark.parametrize("method", ["ascent", "langevin"])
@pytest.mark.parametrize(("height", "width"), [(16, 16), (37, 45), (9, 48)])
async def test_the_whole_picture_comes_back_with_its_hidden_part_filled_in(
    service: Running, height: int, width: int, method: str
) -> None:
    item = surface(height, width)
    mask = mask_of(item, slice(2, 8), slice(width - 7, width))
    found = await completions(service, f"steps=6&seed=1&n=2&method={method}", **files(item, mask))
    assert found.shape == (2, *item.shape)
    hidden = mask.astype(bool)
    np.testing.assert_array_equal(found[:, ~hidden], np.stack([item[~hidden]] * 2))
    assert (found[0][hidden] != found[1][hidden]).any(), "completions differ"
    again = await completions(service, f"steps=6&seed=1&n=1&method={method}", **files(item, mask))
    assert (again[0] == found).all(axis=(1, 2, 3)).any(), "a draw of the seed does not depend on n"


async def test_what_lies_far_from_the_hidden_part_changes_nothing(service: Running) -> None:
    item = surface(48, 48)
    other = item.copy()
    other[36:] = 0
    mask = mask_of(item, slice(0, 4), slice(0, 4))
    some, same = [await completions(service, "steps=4&seed=1", **files(each, mask)) for each in (item, other)]
    np.testing.assert_array_equal(some[0, :4, :4], same[0, :4, :4])


async def test_a_picture_is_filled_in_after_one_of_its_size_was_scored(service: Running) -> None:
    item = surface(44, 40)
    mask = mask_of(item, slice(20, 22), slice(16, 20))  # the window is the whole picture
    await service.post_json("/score", **files(item))
    await completions(service, "steps=2&seed=1", **files(item, mask))


async def test_the_forms_of_a_body_give_the_same_answer(service: Running) -> None:
    item = surface(20, 28)
    mask = mask_of(item, slice(4, 9), slice(5, 12))
    expected = await completions(service, "steps=3&seed=1", **files(item, mask))
    unknown = np.where(mask[..., None] > 0, np.nan, item / 255).astype(np.float32)
    clear = np.dstack([item, 255 - mask])
    nested = item.astype(object)
    nested[mask > 0] = None
    for options in (
        {"content": npy(unknown), "headers": NPY | NUMBERS},
        {"json": {"image": nested.tolist()}, "headers": NUMBERS},
        {"json": {"image": item.tolist(), "mask": mask.tolist()}, "headers": NUMBERS},
        {**files(clear), "headers": NUMBERS},
        {"files": files(clear)["files"] | {"mask": ("m.npy", npy(mask), "application/x-npy")}, "headers": NUMBERS},
    ):
        answer = await service.http.post("/inpaint?steps=3&seed=1", **options)
        assert answer.status_code == 200, answer.text
        np.testing.assert_array_equal(np.load(io.BytesIO(answer.content)), expected)


async def test_a_mask_that_hides_nothing_gives_the_picture_after_no_step(service: Running) -> None:
    item = surface(9, 13)
    found = await service.post_json("/inpaint?steps=5", **files(item, mask_of(item, slice(0), slice(0))))
    assert found["items"][0]["steps"] == 0
    np.testing.assert_array_equal(found["items"][0]["pixels"], item)


async def test_a_larger_picture_is_scaled_down_with_its_mask_only_where_fit_says_so(service: Running) -> None:
    item = surface(60, 2 * LONGEST)
    mask = mask_of(item, slice(20, 21), slice(40, 50))
    answer = await service.http.post("/inpaint?steps=2", **files(item, mask))
    assert_problem(answer, 422, "image")
    assert "fit=true" in answer.json()["detail"]
    found = await completions(service, "steps=2&seed=1&fit=true", **files(item, mask))
    assert found.shape == (1, 30, LONGEST, 3)
    scaled = np.asarray(Image.fromarray(item).resize((LONGEST, 30), Image.Resampling.LANCZOS, reducing_gap=3.0))
    same = (found[0] == scaled).all(axis=2)
    assert same[10, :17].all()
    assert not same[10, 20:25].all(), "a pixel is hidden where any of it was"
    assert same[14:].all()
    other = item.copy()
    other[mask > 0] = 0
    blank = await completions(service, "steps=2&seed=1&fit=true", **files(other, mask))
    np.testing.assert_array_equal(found, blank, "what is hidden does not show in the rest")


async def test_a_mask_is_turned_as_its_file_says_and_may_be_an_array_of_any_size_of_picture(service: Running) -> None:
    item = surface(60, 2 * LONGEST)
    mask = mask_of(item, slice(4, 10), slice(0, 30))
    expected = await completions(service, "steps=2&seed=1&fit=true", **files(item, mask))
    stream = io.BytesIO()
    turned = Image.Exif()
    turned[0x0112] = 6  # taken with the camera on its side
    Image.fromarray(mask).transpose(Image.Transpose.ROTATE_90).save(stream, "PNG", exif=turned)
    for other in (("m.png", stream.getvalue(), "image/png"), ("m.npy", npy(mask > 0), "application/x-npy")):
        given = {"files": files(item)["files"] | {"mask": other}}
        np.testing.assert_array_equal(await completions(service, "steps=2&seed=1&fit=true", **given), expected)
    answer = await service.http.post("/inpaint", files={"image": ("i.npy", npy(item), "application/x-npy")})
    assert_problem(answer, 422, "image")
    assert "only files are scaled down" in answer.json()["detail"]


async def test_of_16_bits_a_mask_is_white_from_the_same_share_on(service: Running) -> None:
    item = surface(20, 28)
    mask = mask_of(item, slice(4, 9), slice(5, 12))
    expected = await completions(service, "steps=2&seed=1", **files(item, mask))
    stream = io.BytesIO()
    Image.fromarray(np.where(mask > 0, 128 << 8, 300).astype(np.uint16)).save(stream, "PNG")
    deep = {"files": files(item)["files"] | {"mask": ("m.png", stream.getvalue(), "image/png")}}
    np.testing.assert_array_equal(await completions(service, "steps=2&seed=1", **deep), expected)


async def test_what_cannot_be_filled_in_is_refused_by_the_name_of_the_field(service: Running) -> None:
    item = surface(20, 24)
    mask = mask_of(item, slice(4, 8), slice(4, 8))
    clear = ("i.png", picture(np.dstack([item, 255 - mask])), "image/png")
    bad: list[tuple[str, dict[str, Any]]] = [
        ("mask", files(item)),
        ("mask", files(item, mask[:10])),
        ("image", files(item[..., 0], mask)),  # grey
        ("image", files(item[:5], mask[:5])),
        ("image", {"json": {"image": item[..., 0].tolist(), "mask": mask.tolist()}}),
        ("image", {"json": {"image": [[[1, 2, 3]] * (LONGEST + 1)] * 9, "mask": [[[0, 0, 1]] * (LONGEST + 1)] * 9}}),
        ("image", {"content": npy(np.zeros((2, 16, 16, 3), dtype=np.uint8)), "headers": NPY}),
        ("mask", {"files": {"image": clear, "mask": ("m.npy", npy(mask[:10]), "application/x-npy")}}),
        ("n", {**files(item, mask), "params": {"n": 5000}}),
    ]
    for field, options in bad:
        assert_problem(await service.http.post("/inpaint?steps=2", **options), 422, field)
    assert (await completions(service, "steps=1&seed=1&fit=true", **files(item[..., 0], mask))).shape == (1, 20, 24, 3)


async def test_a_window_that_is_too_large_is_refused(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.protocol.windows.MOST_PIXELS", 44 * 44)
    item = surface(48, 48)
    assert (await service.http.post("/inpaint?steps=1", **files(item, mask_of(item, slice(9), slice(9))))).is_success
    answer = await service.http.post("/inpaint?steps=1", **files(item, mask_of(item, slice(30), slice(30))))
    assert_problem(answer, 422, "mask")


async def test_an_event_and_an_animation_show_the_whole_picture(service: Running) -> None:
    item = surface(40, 30)
    body = files(item, mask_of(item, slice(2, 6), slice(2, 6)))
    answer = await service.http.post("/inpaint?steps=3&n=2", headers=EVENTS, **body)
    *progress, (last, result) = events_in(answer.text)
    assert (last, len(result["items"])) == ("result", 2)
    preview = np.asarray(Image.open(io.BytesIO(base64.b64decode(progress[-1][1]["preview"].split(",")[1]))))
    assert preview.shape == (40, 62, 3)
    np.testing.assert_array_equal(preview[8:, :30], item[8:])
    moving = await service.http.post("/inpaint?steps=3&n=2", headers={"accept": "image/webp"}, **body)
    assert Image.open(io.BytesIO(moving.content)).n_frames >= 3  # type: ignore[attr-defined]


async def test_a_picture_with_damaged_exif_is_filled_in_as_it_lies(service: Running) -> None:
    item = surface(20, 24)
    mask = mask_of(item, slice(2, 8), slice(2, 8))
    damaged = io.BytesIO()
    Image.fromarray(item).save(damaged, "PNG", exif=b"Exif\0\0garbage-not")
    sent = files(item, mask)
    wanted = await completions(service, "steps=1&seed=1", **sent)
    sent["files"]["image"] = ("i.png", damaged.getvalue(), "image/png")
    np.testing.assert_array_equal(await completions(service, "steps=1&seed=1", **sent), wanted)


async def test_the_transparent_value_of_a_deep_picture_is_what_is_filled_in(tmp_path: Path) -> None:
    publish_pictures(tmp_path)
    deep = surface(20, 24)[..., 0].astype(np.uint16) << 4
    deep[2:8, 3:9] = 1
    sent = io.BytesIO()
    Image.fromarray(deep).save(sent, "PNG", transparency=1)
    image = {"image": ("i.png", sent.getvalue(), "image/png")}
    async with running(tmp_path, threads=1, deadline=600) as service:
        found = await completions(service, "steps=1&seed=1", files=image)
    hidden = deep == 1
    np.testing.assert_array_equal(found[0][~hidden], (deep >> 4)[~hidden])
    assert (found[0][hidden] > 0).any()


async def test_a_picture_as_large_as_in_training_is_scaled_down_and_filled_in(service: Running) -> None:
    image, mask = io.BytesIO(), io.BytesIO()
    Image.new("1", (5000, 4000), 1).save(image, "PNG")
    hiding = Image.new("1", (5000, 4000))
    hiding.paste(1, (1000, 1000, 2000, 2000))
    hiding.save(mask, "PNG")
    sent = {"image": ("i.png", image.getvalue(), "image/png"), "mask": ("m.png", mask.getvalue(), "image/png")}
    found = await completions(service, "steps=1&seed=1&fit=true", files=sent)
    assert found.shape == (1, 38, LONGEST, 3)
