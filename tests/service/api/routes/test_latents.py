"""POST /encode and /decode."""

from __future__ import annotations

import io

import numpy as np
import pytest

from tests.service.helpers import NPY, Running, assert_problem, images, npy

pytestmark = pytest.mark.anyio


async def test_decode_undoes_encode(service: Running) -> None:
    pixels = images(3)
    there = await service.post_json("/encode", content=npy(pixels), headers=NPY)
    back = await service.post_json("/decode", json={"latents": there["latents"]})
    np.testing.assert_array_equal(np.array(back["items"]), pixels)
    np.testing.assert_allclose(back["log_abs_det"], -np.array(there["log_abs_det"]), rtol=1e-4)


async def test_latents_travel_as_npy_too(service: Running) -> None:
    points = np.array([[0.5, -1.0], [2.0, 0.25]])
    headers = NPY | {"accept": "application/x-npy"}
    there = await service.http.post("/encode?model=points", content=npy(points), headers=headers)
    back = await service.http.post("/decode?model=points", content=there.content, headers=headers)
    np.testing.assert_allclose(np.load(io.BytesIO(back.content)), points, rtol=1e-5)


async def test_wrong_latents_are_refused(service: Running) -> None:
    for bad in ([[1.0] * 63], [], [["a"]]):
        assert_problem(await service.http.post("/decode", json={"latents": bad}), 422, "latents")
    assert_problem(
        await service.http.post("/decode", content=npy(np.full((1, 64), np.nan)), headers=NPY), 422, "latents[0]"
    )
    assert await service.still_good()
