"""Outputs that a request asks for: maps of where pictures are strange, and floats of other widths."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from tests.service.api.routes.v2.requests import binary, digits, infer, outputs, request
from tests.service.helpers import NPY, Running, assert_problem, images, npy, running
from tests.service.pictures import ALIGNED, publish_pictures, surface

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def service(calibrated_store: Path) -> AsyncIterator[Running]:
    async with running(calibrated_store) as started:
        yield started


async def test_a_map_comes_on_request_and_is_that_of_the_route(service: Running) -> None:
    chosen = [{"name": "map", "parameters": {"binary_data": True}}, {"name": "p_value"}]
    found = outputs(await infer(service, "digits", digits(3, outputs=chosen)))
    answer = await service.http.post(
        "/score?map=true", content=npy(images(3)), headers={**NPY, "accept": "application/x-npy"}
    )
    assert npy(found["map"]) == answer.content
    assert found["p_value"].shape == (3,)
    both = outputs(
        await infer(service, "digits", digits(3, outputs=[*chosen, {"name": "discovery"}], parameters={"fdr": 0.1}))
    )
    assert (both["map"] == found["map"]).all()
    assert both["discovery"].shape == (3,)
    told = (await service.http.get("/v2/models/digits")).json()["outputs"]
    assert {"name": "map", "datatype": "FP32", "shape": [-1, 8, 8]} in told
    assert "map" not in outputs(await infer(service, "digits", digits(3)))


async def test_a_model_without_a_map_has_no_such_output(service: Running) -> None:
    answer = await infer(service, "uncalibrated", digits(1, outputs=[{"name": "map"}]))
    assert_problem(answer, 422, "outputs")


@pytest.mark.parametrize(
    ("datatype", "dtype"), [("FP16", np.float16), ("BF16", ml_dtypes.bfloat16), ("FP32", np.float32), ("FP64", float)]
)
async def test_floats_may_be_asked_for_in_another_width(service: Running, datatype: str, dtype: type) -> None:
    latents = np.random.default_rng(0).normal(size=(16, 64)).astype(np.float32) * 50
    plain = outputs(await infer(service, "digits.encode", digits(16, parameters={"binary_data_output": True})))
    asked = {"binary_data_output": True, "float_datatype": datatype}
    answer = await infer(service, "digits.encode", digits(16, parameters=asked))
    found = outputs(answer)
    for name in ("latents", "log_abs_det"):
        assert found[name].tobytes() == plain[name].astype(dtype).tobytes()
    sent = request(binary("latents", latents, "FP32"), parameters=asked)
    assert outputs(await infer(service, "digits.decode", sent))["items"].dtype == np.uint8


async def test_a_width_that_there_is_not_is_refused(service: Running) -> None:
    assert_problem(
        await infer(service, "digits", digits(1, parameters={"float_datatype": "FP8"})), 422, "float_datatype"
    )
    assert_problem(
        await infer(service, "digits", digits(1, parameters={"float_datatype": ["FP16"]})), 422, "float_datatype"
    )
    answer = await infer(service, "digits", digits(1, parameters={"float_datatype": "BF16"}))
    assert "binary" in assert_problem(answer, 422, "float_datatype")["detail"]
    short = outputs(await infer(service, "digits", digits(1, parameters={"float_datatype": "FP16"})))
    assert short["log_likelihood"].dtype == np.float16


async def test_a_model_of_aligned_pictures_scores_those_of_their_size(tmp_path: Path) -> None:
    publish_pictures(tmp_path, aligned=True)
    items = np.stack(surface(2, seed=3, least=ALIGNED, most=ALIGNED + 1))
    async with running(tmp_path, threads=1) as service:
        told = (await service.http.get("/v2/models/surface")).json()
        assert told["inputs"][0] == {"name": "items", "datatype": "UINT8", "shape": [-1, ALIGNED, ALIGNED]}
        sent = request(binary("items", items, "UINT8"), outputs=[{"name": "map"}, {"name": "p_value"}])
        found = outputs(await infer(service, "surface", sent))
        assert found["map"].shape == items.shape
        plain = await service.post_json("/score", content=npy(items), headers=NPY)
        assert found["p_value"].tolist() == [item["p_value"] for item in plain["items"]]
        crops = request(binary("items", items[:, :16, :16].copy(), "UINT8"))
        answer = await infer(service, "surface", crops)
        assert_problem(answer, 422, "items")
        assert f"{ALIGNED}, {ALIGNED}" in answer.json()["error"]
        assert outputs(await infer(service, "surface.encode", crops))["latents"].shape[0] == 2
