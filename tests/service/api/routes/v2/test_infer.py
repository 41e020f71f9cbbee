"""POST /v2/models/{name}/infer: the functions of a model, and the same numbers as by the routes of their own."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.types import Message

from service.api.guard import Exchange
from tests.service.api.routes.v2.requests import Request, binary, digits, infer, outputs, request, tensor
from tests.service.helpers import NPY, Running, Start, assert_problem, images, npy, picture, running

pytestmark = pytest.mark.anyio
BINARY = {"binary_data_output": True}


@pytest.fixture(scope="module")
async def service(calibrated_store: Path) -> AsyncIterator[Running]:
    async with running(calibrated_store, max_items=300, max_n=64, max_steps=200, max_body_bytes=2**20) as started:
        yield started


@pytest.mark.parametrize("parameters", [{}, BINARY])
async def test_scores_are_those_of_the_route_score(service: Running, parameters: dict[str, Any]) -> None:
    found = outputs(await infer(service, "digits", digits(5, parameters=parameters | {"seed": 4})))
    expected = await service.post_json("/score?seed=4", content=npy(images(5)), headers=NPY)
    for name in ("log_likelihood", "bits_per_dim", "p_value", "anomalous"):
        assert found[name].tolist() == pytest.approx([item[name] for item in expected["items"]], abs=1e-12)
    assert found["group_p_value"].tolist() == [pytest.approx(expected["group"]["p_value"])]


async def test_only_the_chosen_outputs_come_in_the_order_that_was_asked_for(service: Running) -> None:
    chosen = [
        {"name": "statistics", "parameters": {"binary_data": True}},
        {"name": "log_likelihood", "parameters": {"binary_data": False}},
    ]
    answer = await infer(service, "digits", digits(2, outputs=chosen, id="mine"))
    found = outputs(answer)
    assert list(found) == ["statistics", "log_likelihood"]
    assert found["statistics"].shape[0] == 2
    head = json.loads(answer.content[: int(answer.headers["inference-header-content-length"])])
    assert head["id"] == "mine"
    assert (head["model_name"], head["model_version"]) == ("digits", "2")
    assert "data" in head["outputs"][1]
    assert "data" not in head["outputs"][0]


async def test_discoveries_need_a_rate(service: Running) -> None:
    chosen = [{"name": "discovery"}]
    found = outputs(await infer(service, "digits", digits(6, outputs=chosen, parameters={"fdr": 0.1})))
    expected = await service.post_json("/score?fdr=0.1", content=npy(images(6)), headers=NPY)
    assert found["discovery"].tolist() == [item["discovery"] for item in expected["items"]]
    assert_problem(await infer(service, "digits", digits(6, outputs=chosen)), 422, "fdr")


async def test_a_model_without_calibration_gives_no_verdict(service: Running) -> None:
    found = outputs(await infer(service, "uncalibrated", digits(2)))
    assert list(found) == ["log_likelihood", "bits_per_dim"]
    wanted = digits(2, outputs=[{"name": "p_value"}])
    assert_problem(await infer(service, "uncalibrated", wanted), 422, "outputs")


async def test_an_alpha_that_no_p_value_reaches_gives_no_verdict(service: Running) -> None:
    found = outputs(await infer(service, "digits", digits(2, parameters={"alpha": 0.0005})))
    assert list(found) == ["log_likelihood", "bits_per_dim", "p_value", "group_p_value"]
    wanted = digits(2, parameters={"alpha": 0.0005}, outputs=[{"name": "anomalous"}])
    assert_problem(await infer(service, "digits", wanted), 422, "alpha")


@pytest.mark.parametrize("as_input", [False, True])
async def test_samples_are_those_of_the_route_sample(service: Running, as_input: bool) -> None:
    if as_input:
        sent = request(
            binary("n", np.array([5]), "INT64"),
            binary("seed", np.array([7]), "INT64"),
            binary("temperature", np.array([0.5]), "FP64"),
            parameters=BINARY,
        )
    else:
        sent = request(parameters=BINARY | {"n": 5, "seed": 7, "temperature": 0.5})
    found = outputs(await infer(service, "digits.sample", sent))
    answer = await service.post_json("/sample?n=5&seed=7&temperature=0.5")
    assert found["items"].dtype == np.uint8
    assert found["items"].tolist() == answer["items"]
    assert found["seed"].tolist() == [7]


async def test_a_drawn_seed_draws_the_same_again(service: Running) -> None:
    first = outputs(await infer(service, "points.sample", {"parameters": {"n": 3}}))
    again = {"inputs": [], "parameters": {"n": 3, "seed": int(first["seed"][0])}}
    second = outputs(await infer(service, "points.sample", again))
    assert first["items"].dtype == np.float32
    assert first["items"].tolist() == second["items"].tolist()


async def test_encode_and_decode_are_those_of_their_routes(service: Running) -> None:
    sent = digits(3, parameters=BINARY)
    latents = outputs(await infer(service, "digits.encode", sent))
    expected = await service.post_json("/encode", content=npy(images(3)), headers=NPY)
    assert latents["latents"].shape == (3, 64)
    assert latents["latents"].tolist() == pytest.approx(np.array(expected["latents"]), abs=1e-5)
    back = outputs(await infer(service, "digits.decode", request(binary("latents", latents["latents"], "FP32"))))
    assert back["items"].tolist() == images(3).tolist()
    assert back["log_abs_det"] == pytest.approx(-latents["log_abs_det"], abs=1e-3)


HIDDEN = np.zeros((1, 8, 8), dtype=bool)
HIDDEN[:, :, 4:] = True
SETTINGS = {"steps": 6, "seed": 3, "n": 2, "method": "langevin", "temperature": 0.5}


async def test_inpaintings_are_those_of_the_route_inpaint(service: Running) -> None:
    image = images(1)
    sent = request(binary("image", image, "UINT8"), binary("mask", HIDDEN, "BOOL"), parameters=SETTINGS | BINARY)
    found = outputs(await infer(service, "digits.inpaint", sent))
    query = "&".join(f"{name}={value}" for name, value in SETTINGS.items())
    body = {"image": image[0].tolist(), "mask": HIDDEN[0].astype(int).tolist()}
    expected = await service.post_json(f"/inpaint?{query}", json=body)
    assert found["items"].tolist() == [item["pixels"] for item in expected["items"]]
    for name in ("log_likelihood", "log_likelihood_before", "acceptance", "steps", "converged", "draw"):
        assert found[name].tolist() == pytest.approx([item[name] for item in expected["items"]], rel=1e-6)
    assert (found["items"][:, :, :4] == image[:, :, :4]).all()


async def test_nan_marks_what_an_inpainting_fills_in(service: Running) -> None:
    point = np.array([[0.5, np.nan]], dtype=np.float32)
    sent = request(binary("image", point, "FP32"), parameters={"steps": 4, "seed": 1})
    found = outputs(await infer(service, "points.inpaint", sent))
    assert found["items"][0, 0] == 0.5
    assert np.isfinite(found["items"]).all()
    method = tensor("method", [1], "BYTES", data=["nice"])
    image = tensor("image", [2], "FP32", data=[0.5, 0.25])
    mask = tensor("mask", [1, 2], "BOOL", data=[[False, True]])
    found = outputs(await infer(service, "points.inpaint", {"inputs": [image, mask, method]}))
    assert found["items"][0, 0] == 0.5


LEVELS = images(2)
FRACTIONS = (LEVELS.astype(np.float64) + 0.5) / 256
"""The middle of each level: no rounding of a shorter float leaves it, but for that of bfloat16."""


@pytest.mark.parametrize(
    ("datatype", "dtype"),
    [
        *(
            (f"{sign}{bits}", f"<{letter}{bits // 8}")
            for sign, letter in (("INT", "i"), ("UINT", "u"))
            for bits in (16, 32, 64)
        ),
        ("FP16", "<f2"),
        ("FP32", "<f4"),
        ("FP64", "<f8"),
    ],
)
async def test_images_may_be_levels_or_fractions_of_any_width(service: Running, datatype: str, dtype: str) -> None:
    values = FRACTIONS if datatype.startswith("FP") else LEVELS
    expected = outputs(await infer(service, "digits", digits(2)))
    found = outputs(await infer(service, "digits", request(binary("items", values.astype(dtype), datatype))))
    assert found["log_likelihood"].tolist() == expected["log_likelihood"].tolist()
    listed = tensor("items", [2, 8, 8], datatype, data=values.astype(dtype).ravel().tolist())
    found = outputs(await infer(service, "digits", {"inputs": [listed]}))
    assert found["log_likelihood"].tolist() == expected["log_likelihood"].tolist()


async def test_bfloat16_is_the_upper_half_of_a_float(service: Running) -> None:
    points = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    halves = (points.view(np.uint32) >> 16).astype(np.uint16)
    rounded = (halves.astype(np.uint32) << 16).view(np.float32)
    found = outputs(await infer(service, "points", request(binary("items", halves, "BF16"))))
    expected = outputs(await infer(service, "points", request(binary("items", rounded, "FP32"))))
    assert found["log_likelihood"].tolist() == expected["log_likelihood"].tolist()


def lengths_first(elements: list[bytes]) -> bytes:
    return b"".join(len(element).to_bytes(4, "little") + element for element in elements)


async def test_a_row_may_be_bytes_of_json(service: Running) -> None:
    rows = [[0.5, 1.25], [2, -3e-2]]
    elements = lengths_first([json.dumps(row).encode() for row in rows])
    described = tensor("items", [2], "BYTES", parameters={"binary_data_size": len(elements)})
    expected = outputs(await infer(service, "points", {"inputs": [tensor("items", [2, 2], "FP64", data=rows)]}))
    for sent in (
        request((described, elements)),
        {"inputs": [tensor("items", [2, 1], "BYTES", data=[[json.dumps(row)] for row in rows])]},
    ):
        found = outputs(await infer(service, "points", sent))
        assert found["log_likelihood"].tolist() == expected["log_likelihood"].tolist()


async def test_an_image_may_be_bytes_of_a_picture(service: Running) -> None:
    elements = lengths_first([picture(pixels) for pixels in images(3)])
    sent = request((tensor("items", [3], "BYTES", parameters={"binary_data_size": len(elements)}), elements))
    expected = outputs(await infer(service, "digits", digits(3)))
    assert outputs(await infer(service, "digits", sent))["p_value"].tolist() == expected["p_value"].tolist()
    large = lengths_first([picture(np.zeros((9, 9), np.uint8))])
    described = tensor("items", [1], "BYTES", parameters={"binary_data_size": len(large)})
    assert_problem(await infer(service, "digits", request((described, large))), 422, "items[0]")
    assert (await infer(service, "digits", request((described, large), parameters={"fit": True}))).status_code == 200


@pytest.mark.parametrize("coding", ["gzip", "deflate", "bare deflate"])
async def test_bodies_may_be_compressed_both_ways(service: Running, coding: str) -> None:
    sent, name = digits(200, parameters=BINARY), coding.split()[-1]
    bare = zlib.compressobj(wbits=-15)
    body = {"gzip": gzip.compress(sent.body), "deflate": zlib.compress(sent.body)}.get(
        coding, bare.compress(sent.body) + bare.flush()
    )
    headers = sent.headers | {"Content-Encoding": name, "Accept-Encoding": name}
    answer = await infer(service, "digits", Request(body, headers))
    assert answer.headers["content-encoding"] == name
    expected = outputs(await infer(service, "digits", sent))
    assert outputs(answer)["log_likelihood"].tolist() == expected["log_likelihood"].tolist()


async def test_a_small_body_that_unfolds_into_a_large_one_is_refused(service: Running) -> None:
    bomb = Request(gzip.compress(bytes(2**24)), {"Content-Encoding": "gzip"})
    assert len(bomb.body) < 2**15
    assert_problem(await infer(service, "digits", bomb), 413, "body")
    assert await service.still_good()


async def test_a_list_of_codings_is_no_wish_for_one(service: Running) -> None:
    sent = digits(200)
    answer = await infer(service, "digits", Request(sent.body, sent.headers | {"Accept-Encoding": "gzip, deflate"}))
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize(("name", "version"), [("digits", "2"), ("digits.sample", "2"), ("digits", "default")])
async def test_a_version_may_stand_in_the_path(service: Running, name: str, version: str) -> None:
    sent = request() if "." in name else digits(1)
    answer = await infer(service, name, sent, version)
    assert answer.json()["model_version"] == "2"
    assert_problem(await infer(service, name, sent, "1"), 404, "model")


@pytest.mark.parametrize("name", ["nobody", "digits.nothing", ".sample", "digits@2", "digits.sample@2", "digits.score"])
async def test_a_name_that_is_not_served_is_not_found(service: Running, name: str) -> None:
    assert_problem(await infer(service, name, digits(1)), 404, "model")


async def test_the_timeout_is_a_deadline_in_microseconds(service: Running) -> None:
    image = request(
        binary("image", images(1), "UINT8"),
        binary("mask", HIDDEN, "BOOL"),
        parameters={"timeout": 1, "steps": 200, "n": 64},
    )
    began = time.monotonic()
    assert_problem(await infer(service, "digits.inpaint", image), 504)
    assert time.monotonic() - began < 10
    assert (await infer(service, "digits", digits(1, parameters={"timeout": 10**13}))).status_code == 200
    assert (await infer(service, "digits", digits(1, parameters={"timeout": 0}))).status_code == 200


async def test_a_deadline_counts_from_the_beginning_whenever_it_is_known(service: Running) -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    exchange = Exchange(service.service, {"headers": [(b"x-deadline-ms", b"5000")]}, receive)
    first = exchange.deadline()
    await asyncio.sleep(0.02)
    assert exchange.deadline() == first
    assert exchange.deadline(within=1.0) == pytest.approx(first - 4)


async def test_a_full_queue_is_refused_before_the_values_are_decoded(start: Start) -> None:
    async with start(queue_item_ticks=300) as service:
        with service.device.queue.reserve() as room:
            room.resize(250)
            answer = await infer(service, "digits", digits(100))
            assert_problem(answer, 429)
            assert int(answer.headers["retry-after"]) >= 1
        assert service.waiting == 0


async def test_limits_are_those_of_the_routes(service: Running) -> None:
    assert_problem(await infer(service, "digits", digits(301)), 413, "items")
    assert_problem(await infer(service, "digits.sample", {"parameters": {"n": 65}}), 422, "n")
    steps = request(binary("image", images(1), "UINT8"), binary("mask", HIDDEN, "BOOL"), parameters={"steps": 201})
    assert_problem(await infer(service, "digits.inpaint", steps), 422, "steps")
    assert service.waiting == 0


async def test_unknown_parameters_change_nothing(service: Running) -> None:
    plain = await infer(service, "digits", digits(2))
    more = {"priority": 3, "sequence_id": 9, "mine": {"deep": [1]}}
    assert (await infer(service, "digits", digits(2, parameters=more))).json() == plain.json()


async def test_metrics_count_by_the_template_of_the_route(service: Running) -> None:
    async def counts() -> list[float]:
        routes = ("/v2/models/{name}/infer", "/v2/models/{name}/versions/{version}/infer")
        requests = [await service.metric("sluice_requests_total", route=route, status="200") for route in routes]
        return [*requests, await service.metric("sluice_scored_items_total", model="digits@2")]

    before = await counts()
    await infer(service, "digits", digits(2))
    await infer(service, "digits", digits(2), "2")
    assert await counts() == [before[0] + 1, before[1] + 1, before[2] + 4]
