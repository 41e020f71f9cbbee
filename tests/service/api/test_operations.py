"""Every operation reads its query, documents itself and refuses in the same way."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.service.helpers import NPY, Running, Start, assert_problem, images, npy, picture

PNG = {"content-type": "image/png"}
JPEG = {"content-type": "image/jpeg"}
JSON = {"accept": "application/json"}
UNKNOWN = "&general=1"
"""A parameter that no operation knows."""

NAN = np.where(np.arange(64).reshape(8, 8) < 32, np.nan, 0.5)
"""An image whose upper half is unknown."""

REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "a picture": ("/score?seed=3", {"content": picture(images(1)[0]), "headers": PNG}),
    "a JPEG": ("/score?alpha=0.5", {"content": picture(images(1)[0], "JPEG"), "headers": JPEG}),
    "an array": ("/score?model=digits@1&seed=9", {"content": npy(images(7)), "headers": NPY}),
    "an array in pieces": ("/score?", {"content": npy(images(600)), "headers": NPY}),
    "vectors": ("/score?model=points", {"content": npy(np.ones((3, 2))), "headers": NPY}),
    "JSON": ("/score?model=points", {"json": {"items": [[0.5, 1]]}}),
    "a form": ("/score?", {"files": [("files", ("a.png", picture(images(1)[0]), "image/png"))]}),
    "any type is welcome": ("/score?", {"content": npy(images(1)), "headers": NPY | {"accept": "*/*"}}),
    "an unknown model": ("/score?model=nobody", {"content": npy(images(1)), "headers": NPY}),
    "an answer that is not there": ("/score?", {"content": npy(images(1)), "headers": NPY | {"accept": "image/png"}}),
    "text": ("/score?", {"content": b"words", "headers": {"content-type": "text/plain"}}),
    "no type": ("/score?", {"content": b"words"}),
    "no picture": ("/score?", {"content": b"\x89PNG", "headers": PNG}),
    "half a picture": ("/score?", {"content": picture(images(1)[0])[:60], "headers": PNG}),
    "a picture of another size": ("/score?", {"content": picture(np.zeros((9, 9), np.uint8)), "headers": PNG}),
    "nothing": ("/score?", {"content": b"", "headers": NPY}),
    "an array of nothing": ("/score?", {"content": npy(np.zeros((0, 8, 8), np.uint8)), "headers": NPY}),
    "not a number": ("/score?", {"content": npy(np.full((2, 8, 8), np.nan)), "headers": NPY}),
    "an array of too much": ("/score?", {"content": npy(np.zeros((2000, 8, 8), np.uint8)), "headers": NPY}),
    "a body of too much": ("/score?", {"content": npy(np.zeros((9000, 8, 8))), "headers": NPY}),
    "half an image": (
        "/inpaint?seed=1&steps=3",
        {"content": npy(NAN), "headers": NPY | {"accept": NPY["content-type"]}},
    ),
    "half an image, told": ("/inpaint?seed=1&steps=3&n=2", {"content": npy(NAN), "headers": NPY | JSON}),
    "half an image, drawn": ("/inpaint?seed=1&steps=3", {"content": npy(NAN), "headers": NPY}),
    "half a point": ("/inpaint?seed=1&steps=3&model=points", {"json": {"image": [None, 1]}, "headers": JSON}),
    "too many steps": ("/inpaint?steps=999999", {"content": npy(NAN), "headers": NPY}),
    "no steps": ("/inpaint?steps=0", {"content": npy(NAN), "headers": NPY}),
    "too many of it": ("/inpaint?n=9999", {"content": npy(NAN), "headers": NPY}),
    "two images": ("/inpaint?", {"content": npy(np.stack([NAN, NAN])), "headers": NPY}),
    "no way to draw a point": (
        "/inpaint?model=points",
        {"json": {"image": [None, 1]}, "headers": {"accept": "image/gif"}},
    ),
}


@pytest.mark.anyio
@pytest.mark.parametrize("case", REQUESTS)
async def test_a_parameter_that_no_operation_knows_changes_nothing(
    start: Start, calibrated_store: Path, case: str
) -> None:
    url, request = REQUESTS[case]
    async with start(store=calibrated_store, max_items=1000, max_body_bytes=2**20) as service:
        plain = await service.http.post(url, **request)
        general = await service.http.post(url + UNKNOWN, **request)
        assert (plain.status_code, plain.content) == (general.status_code, general.content)
        for answer in (plain, general):
            del answer.headers["x-request-id"]  # each request has its own
        assert dict(plain.headers) == dict(general.headers)
        assert await service.still_good()
        assert service.waiting == 0
        labels = {"route": url.partition("?")[0], "status": str(plain.status_code)}
        assert await service.metric("sluice_requests_total", **labels) >= 2


@pytest.mark.anyio
async def test_a_full_queue_refuses_and_tells_when_to_come_back(start: Start) -> None:
    async with start(queue_item_ticks=300) as service:
        with service.device.queue.reserve() as room:
            room.resize(250)
            answer = await service.http.post("/score?seed=1", content=npy(images(100)), headers=NPY)
            assert_problem(answer, 429)
            assert int(answer.headers["retry-after"]) >= 1
        assert await service.still_good()


@pytest.mark.anyio
@pytest.mark.parametrize("query", ["seed=-1", "seed=99999999999999999999", "seed=1&seed=x", "alpha=1", "alpha=0.0"])
async def test_what_is_wrong_with_a_query_is_named(service: Running, query: str) -> None:
    field = query.partition("=")[0]
    answer = await service.http.post(f"/score?{query}", content=npy(images(1)), headers=NPY)
    assert_problem(answer, 422, field)


@pytest.mark.anyio
async def test_openapi_holds_every_operation_with_its_parameters(service: Running) -> None:
    document = (await service.http.get("/openapi.json")).json()
    expected = {
        ("post", "/sample"): {"model", "n", "seed", "temperature"},
        ("post", "/score"): {"model", "seed", "fit", "alpha", "fdr", "contributions", "map", "bad_rows"},
        ("post", "/encode"): {"model", "seed", "fit"},
        ("post", "/decode"): {"model"},
        ("post", "/inpaint"): {"model", "n", "steps", "method", "step_size", "temperature", "seed", "fit"},
        ("put", "/inpaint/{id}"): {"model", "n", "steps", "method", "step_size", "temperature", "seed", "fit"},
        ("get", "/inpaint/{id}"): set(),
        ("delete", "/inpaint/{id}"): set(),
    }
    for (method, path), names in expected.items():
        operation = document["paths"][path][method]
        found = {(parameter["in"], parameter["name"]) for parameter in operation["parameters"]}
        places = {("query", name) for name in names} | {("header", "x-deadline-ms"), ("header", "accept")}
        assert found == places | ({("path", "id")} if "{id}" in path else set()), path
        assert operation["description"]
        assert "application/problem+json" in operation["responses"]["422"]["content"]
    for method, path in (
        ("get", "/models"),
        ("get", "/models/{name}"),
        ("get", "/models/{name}/card"),
        ("get", "/models/{name}/pictures/{file}"),
        ("get", "/health/live"),
        ("get", "/health/ready"),
        ("get", "/metrics"),
        ("post", "/v2/repository/models/{name}/load"),
        ("post", "/v2/repository/models/{name}/unload"),
    ):
        assert method in document["paths"][path]


@pytest.mark.anyio
async def test_every_schema_that_openapi_refers_to_is_there(service: Running) -> None:
    text = (await service.http.get("/openapi.json")).text
    schemas = json.loads(text)["components"]["schemas"]
    referred = set(re.findall(r'"#/components/schemas/([^"]+)"', text))
    assert referred <= schemas.keys()
    assert {"Scores", "Samples", "Completions", "Latents", "Decoded", "TaskDocument"} <= schemas.keys()


@pytest.mark.anyio
@pytest.mark.parametrize("wrong", ["0", "-5", "soon", "1.5", "", "86400001", "9" * 5000, "\u00b2", "1e3"])
async def test_a_deadline_that_makes_no_sense_is_refused(service: Running, wrong: str) -> None:
    headers = {"X-Deadline-Ms": wrong.encode("latin-1")}
    answer = await service.http.post("/sample", headers=headers)  # type: ignore[arg-type]
    assert_problem(answer, 422, "x-deadline-ms")
    assert await service.still_good()


@pytest.mark.anyio
@pytest.mark.parametrize("right", ["60000", " 60000 ", "86400000", "0060000"])
async def test_a_deadline_in_milliseconds_is_taken(service: Running, right: str) -> None:
    assert (await service.http.post("/sample", headers={"X-Deadline-Ms": right})).status_code == 200


@pytest.mark.anyio
async def test_a_parameter_is_read_as_the_last_of_its_name_and_percent_decoded(service: Running) -> None:
    answer = await service.http.post("/sample?seed=1&model=nobody&model=digits%401&seed=7")
    assert answer.status_code == 200
    assert (answer.headers["x-sluice-model"], answer.headers["x-sluice-seed"]) == ("digits@1", "7")
    for odd in ("model=%ff%fe", "model=%00", "model=%F0%9F%92%A9", "model=" + "a" * 5000):
        assert_problem(await service.http.post(f"/sample?{odd}"), 404, "model")
    assert_problem(await service.http.post("/sample?seed=" + "9" * 5000), 422, "seed")
