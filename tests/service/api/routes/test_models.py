"""GET /models and the documentation."""

from __future__ import annotations

import pytest

from tests.service.helpers import Running, assert_problem

pytestmark = pytest.mark.anyio


async def test_models_are_listed_and_described(service: Running) -> None:
    listed = (await service.http.get("/models")).json()
    assert [(m["reference"], m["default"]) for m in listed["models"]] == [("digits@1", True), ("points@1", False)]
    assert listed["refused"] == []
    assert listed["limits"] == {"max_items": 10_000, "max_n": 1024, "max_body_bytes": 64 * 2**20}
    points = (await service.http.get("/models/points")).json()
    assert points["item_shape"] == [2]
    assert points["item_dtype"] == "float32"
    assert points["quality"] == {"test": {"log_likelihood": 1.5}}
    assert (await service.http.get("/models/points@1")).json() == points


async def test_card_and_pictures_come_from_the_manifests_list_only(service: Running) -> None:
    card = await service.http.get("/models/digits/card")
    assert card.headers["content-type"].startswith("text/markdown")
    assert card.text == "# digits\n"
    shown = (await service.http.get("/models/digits")).json()["pictures"]
    assert shown == ["samples.png"]
    picture = await service.http.get("/models/digits/pictures/samples.png")
    assert picture.headers["content-type"] == "image/png"
    for other in ("model.safetensors", "manifest.json", "none.png", "..%2F..%2Faliases.json", "%2Fetc%2Fpasswd"):
        answer = await service.http.get(f"/models/digits/pictures/{other}")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
    assert_problem(await service.http.get("/models/nobody"), 404, "model")


async def test_every_computing_route_is_documented_with_its_body_and_refusals(service: Running) -> None:
    assert (await service.http.get("/docs")).status_code == 200
    paths = (await service.http.get("/openapi.json")).json()["paths"]
    for path in ("/sample", "/score", "/inpaint", "/encode", "/decode"):
        operation = paths[path]["post"]
        assert {"200", "404", "422", "429", "503", "504"} <= operation["responses"].keys()
        assert "application/problem+json" in operation["responses"]["422"]["content"]
        assert operation["description"]
        if path != "/sample":
            assert "examples" in operation["requestBody"]["content"]["application/json"]
