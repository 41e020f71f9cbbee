"""Every call against a real service: what it answers, in order, however many requests that takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from sluice_client import Client, NotReached, ServiceError, UnusableInput
from sluice_client.npy import from_npy, to_npy

from tests.client.conftest import MAX_ITEMS, MAX_N, TOKEN
from tests.client.transports import Scripted, client_of, problem, scores
from tests.service.helpers import NPY, images, npy, picture
from tests.service.servers import Server

SURFACE = {
    "name": "surface",
    "version": 1,
    "reference": "surface@1",
    "default": True,
    "architecture": "lattice",
    "item_shape": [16, 16],
    "item_dtype": "uint8",
    "quality": {},
}
PAIRS = {**SURFACE, "name": "pairs", "reference": "pairs@1", "item_shape": [2], "item_dtype": "float32"}


def test_samples_are_those_of_the_service_and_the_first_of_more(client: Client, server: Server) -> None:
    few = client.sample(16, seed=3)
    raw = server.post("/sample?n=16&seed=3", headers={"accept": "application/x-npy"})
    assert npy(few.array) == raw.content
    assert (few.model, few.seed, few.shape) == ("digits@2", 3, (16, 8, 8))
    many = client.sample(2 * MAX_N + 50, seed=3)
    assert len(many) == 2 * MAX_N + 50
    assert np.array_equal(many[:16], few)
    assert len(np.unique(many.array.reshape(len(many), -1), axis=0)) == len(many)  # no request repeats another's draws
    assert np.array_equal(client.sample(2 * MAX_N + 50, seed=3), many)
    assert not np.array_equal(client.sample(4, temperature=0.1, seed=3), few[:4])


def test_without_a_seed_the_answer_tells_the_one_that_draws_it_again(client: Client) -> None:
    for n in (5, MAX_N + 5):
        drawn = client.sample(n, model="points")
        assert np.array_equal(client.sample(n, model="points", seed=drawn.seed), drawn)


def test_a_batch_above_the_limit_is_split_and_keeps_its_order(client: Client, server: Server) -> None:
    pixels = images(2 * MAX_ITEMS + 7)
    found = client.score(pixels)
    assert len(found) == len(pixels)
    assert [group["count"] for group in found.groups] == [MAX_ITEMS, MAX_ITEMS, 7]
    for start in (0, MAX_ITEMS, 2 * MAX_ITEMS):
        part = pixels[start : start + MAX_ITEMS]
        raw = server.post("/score", content=npy(part), headers=NPY).json()["items"]
        assert [item["log_likelihood"] for item in raw] == found.log_likelihood[start : start + len(part)].tolist()
        assert [item["p_value"] for item in raw] == found.p_value[start : start + len(part)].tolist()
    assert np.array_equal(found["p_value_regions"][:3], client.score(pixels[:3])["p_value_regions"])


def test_discoveries_of_a_split_batch_are_those_of_all_items_together(client: Client, store: Path) -> None:
    points = client.sample(MAX_ITEMS + 300, model="points", seed=1).array
    points[::10] += 30
    split = client.score(points, model="points", fdr=0.2)
    assert len(split.groups) == 2
    # The definition (Benjamini and Hochberg 1995): the largest k whose k-th smallest p-value is at most k rate / N.
    ranked = np.sort(split.p_value)
    largest = max(k for k in range(1, len(points) + 1) if ranked[k - 1] <= k * 0.2 / len(points))
    assert np.array_equal(split["discovery"], split.p_value <= ranked[largest - 1])
    assert split["discovery"][::10].all()
    whole = client.score(points[:MAX_ITEMS], model="points", fdr=0.2)
    assert len(whole.groups) == 1
    assert whole["discovery"][::10].all()


def test_one_item_of_a_long_vector_is_not_taken_for_a_batch(client: Client) -> None:
    assert len(client.score(images(1)[0])) == 1
    assert len(client.score([0.5, 0.25], model="points")) == 1
    assert len(client.score([[0.5, 0.25], [1, 2]], model="points")) == 2


def test_items_go_to_latents_and_back(client: Client) -> None:
    pixels = images(MAX_ITEMS + 5)
    latents = client.encode(pixels)
    assert latents.shape == (len(pixels), 64)
    assert latents.log_abs_det is None
    assert np.array_equal(client.decode(latents), pixels)
    exact = client.encode(pixels[:3], log_abs_det=True)
    assert np.array_equal(exact, latents[:3])
    assert exact.log_abs_det is not None
    back = client.decode(exact, log_abs_det=True)
    assert back.array.dtype == np.uint8
    assert back.log_abs_det == pytest.approx(-exact.log_abs_det, rel=1e-4)
    points = client.decode(client.encode([[0.5, 2.0]], model="points"), model="points")
    assert points.array.dtype == np.float32
    assert points.array == pytest.approx(np.array([[0.5, 2.0]]), abs=1e-4)


def test_without_calibration_there_are_likelihoods_and_no_guesses(client: Client) -> None:
    found = client.score(images(2), model="plain")
    assert not found.calibrated
    assert np.isfinite(found.log_likelihood).all()
    assert np.isnan(found.p_value).all()
    assert list(found.anomalous) == [None, None]
    assert "anomalous" not in repr(found)


def test_models_are_listed_described_and_found_by_name(client: Client) -> None:
    models = client.models()
    assert sorted(models.names) == ["digits", "homes", "plain", "points"]
    assert models["digits"].default
    assert models["points@2"] == models["points"]
    assert (models["digits"].item_shape, models["digits"].is_image) == ((8, 8), True)
    assert "points@2" in repr(models)
    assert "<table>" in models._repr_html_()
    assert client.model("points").document["calibration"]["reference"] == 1000
    assert client.model("points").columns == ()
    assert client.card("digits") == ""
    with pytest.raises(KeyError):
        models["nobody"]


def test_a_key_is_sent_from_the_argument_or_the_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch, client: Client
) -> None:
    with pytest.raises(ServiceError) as refused:
        client.load("points")
    assert refused.value.status == 401
    with Client(server.address, key=TOKEN) as administrator:
        assert administrator.load("points") == "points@2"
        assert TOKEN not in repr(administrator)
    monkeypatch.setenv("SLUICE_API_KEY", TOKEN)
    monkeypatch.setenv("SLUICE_URL", server.address)
    with Client() as administrator:
        administrator.unload("plain")
        assert "plain" not in administrator.models().names
        assert administrator.load("plain") == "plain@1"


def test_an_error_carries_the_problem_document(client: Client) -> None:
    with pytest.raises(ServiceError) as refused:
        client.score(np.zeros((3, 5, 5), np.uint8))
    assert refused.value.status == 422
    assert refused.value.field == "items"
    assert refused.value.document["error"] == refused.value.detail
    assert "shape" in str(refused.value)
    with pytest.raises(ServiceError, match="no such model"):
        client.sample(1, model="a/../b")


def test_an_error_names_the_item_and_the_file_that_was_handed_in(client: Client, tmp_path: Path) -> None:
    points = np.zeros((MAX_ITEMS + 9, 2))
    points[MAX_ITEMS + 3, 1] = np.inf
    with pytest.raises(ServiceError, match=rf"\(item {MAX_ITEMS + 3}\)") as refused:
        client.score(points, model="points")
    assert (refused.value.item, refused.value.field) == (MAX_ITEMS + 3, "items[3]")
    with pytest.raises(ServiceError, match=rf"\(item {MAX_ITEMS + 3}\)"):
        client.decode(points, model="points")
    for name in "abc":
        (tmp_path / f"{name}.png").write_bytes(picture(images(1)[0]) if name != "b" else b"\x89PNG cut off")
    with pytest.raises(ServiceError, match=r"items\[1\] .*\(item 1: .*b\.png\)") as refused:
        client.score(tmp_path)
    assert refused.value.item == 1
    with pytest.raises(ServiceError, match=r"\(item 0: .*b\.png\)"):
        client.map(tmp_path / "b.png")


def test_an_error_of_a_later_request_says_from_where_it_counts() -> None:
    reply = problem(422, "item 1: column 'x' holds no number", field="x")
    transport = Scripted(problem(413, "too large"), scores(2), reply)
    with client_of(transport) as client, pytest.raises(ServiceError, match=r"counted from item 2 on") as refused:
        client.score([Image.fromarray(image) for image in images(4)])
    assert (refused.value.item, refused.value.field) == (None, "x")


@pytest.mark.parametrize("n", [2.5, "4", None])
def test_a_number_of_samples_that_is_none_is_refused(client: Client, n: Any) -> None:
    with pytest.raises(UnusableInput, match="n: must be a whole number"):
        client.sample(n)


def test_nobody_at_the_address_is_told_at_once() -> None:
    with Client("http://127.0.0.1:9", timeout=5) as client, pytest.raises(NotReached, match=r"127\.0\.0\.1:9"):
        client.models()


@pytest.mark.anyio
async def test_a_proxy_that_takes_less_than_the_service_gets_smaller_requests() -> None:
    def small(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json=PAIRS)
        rows = (len(request.content) - 128) // 16
        return scores(rows) if rows <= 3 else problem(413, "too large")

    transport = Scripted(small)
    found = client_of(transport).score(np.zeros((10, 2)), model="pairs")
    assert len(found) == 10
    sizes = [(len(request.content) - 128) // 16 for request in transport.requests if request.method == "POST"]
    assert max(size for size in sizes if size <= 3) == 3
    assert sum(size for size in sizes if size <= 3) == 10
    with pytest.raises(ServiceError, match="too large"):
        client_of(Scripted(problem(413, "too large"))).score(np.zeros((1, 2)))


def test_an_array_that_may_be_one_picture_is_not_cut() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":  # what the shape of an item is
            return problem(403, "the key may not read models")
        return problem(413, "too large") if len(request.content) > 300_000 else scores(1)

    for sides in ((600, 700), (90_000, 10)):  # the second also has more rows than a service takes items
        transport = Scripted(answer)
        with pytest.raises(ServiceError, match="too large"):
            client_of(transport).score(np.zeros(sides, np.uint8))
        assert [from_npy(each.content).shape for each in transport.requests if each.method == "POST"] == [sides]


def _of_any_size(answer: Callable[[httpx.Request], httpx.Response]) -> Callable[[httpx.Request], httpx.Response]:
    """A service with one model of pictures of any size, whose crops are 16x16; its limit is 600,000 bytes."""

    def reply(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/models":
            limits = {"max_items": 4, "max_n": 4, "max_body_bytes": 600_000}
            return httpx.Response(200, json={"models": [SURFACE], "refused": [], "limits": limits})
        if request.url.path.startswith("/models/"):
            return httpx.Response(200, json=SURFACE)
        return problem(413, "too large") if len(request.content) > 600_000 else answer(request)

    return reply


def test_a_picture_in_an_array_is_one_item_and_is_never_cut() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        shape = from_npy(request.content).shape
        return scores(shape[0] if len(shape) == 3 else 1)

    client = client_of(Scripted(_of_any_size(answer)))
    assert len(client.score(np.zeros((700, 600), dtype=np.uint8), model="surface")) == 1
    assert len(client.score(np.zeros((6, 40, 30), dtype=np.uint8), model="surface")) == 6
    for model in ("surface", None):  # 700 kB, by the service's limits and by a refusal alone
        for sides in ((1000, 700), (9000, 700)):
            with pytest.raises(ServiceError, match="too large"):
                client.score(np.zeros(sides, dtype=np.uint8), model=model)


def test_maps_of_several_requests_are_filled_up_to_the_largest() -> None:
    sides = [(20, 30), (28, 24)]

    def answer(request: httpx.Request) -> httpx.Response:
        count = request.content.count(b"image/png")
        height, width = sides[0] if count == 4 else sides[1]
        content = to_npy(np.ones((count, height, width), dtype=np.float32))
        return httpx.Response(
            200, content=content, headers={"content-type": "application/x-npy", "x-sluice-model": "surface@1"}
        )

    pictures = [Image.new("L", (300, 300), level) for level in range(6)]
    for noisy in pictures:  # noise is not compressed, so that the pictures are too large to be sent at once
        noisy.putdata(np.random.default_rng(0).integers(0, 256, 90_000).tolist())
    maps = np.asarray(client_of(Scripted(_of_any_size(answer))).map(pictures, model="surface"))
    assert maps.shape == (6, 28, 30)
    assert np.isfinite(maps[:4, :20]).all()
    assert np.isnan(maps[:4, 20:]).all()
    assert np.isnan(maps[4:, :, 24:]).all()
