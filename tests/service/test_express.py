"""The express lane answers as the route does, to the byte, and takes plain requests only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.routes import score
from service.routes.express import Asked, _plain
from tests.service.conftest import Running, Start, assert_problem
from tests.service.test_score import NPY, images, npy, picture

PNG = {"content-type": "image/png"}
JPEG = {"content-type": "image/jpeg"}
GENERAL = "&general"
"""The route ignores a parameter that it does not know, and the lane leaves such a request to it."""

REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "a picture": ("seed=3", {"content": picture(images(1)[0]), "headers": PNG}),
    "a JPEG": ("alpha=0.5", {"content": picture(images(1)[0], "JPEG"), "headers": JPEG}),
    "an array": ("model=digits@1&seed=9", {"content": npy(images(7)), "headers": NPY}),
    "an array in pieces": ("", {"content": npy(images(600)), "headers": NPY}),
    "vectors": ("model=points", {"content": npy(np.ones((3, 2))), "headers": NPY}),
    "any type is welcome": ("", {"content": npy(images(1)), "headers": NPY | {"accept": "*/*"}}),
    "an unknown model": ("model=nobody", {"content": npy(images(1)), "headers": NPY}),
    "an answer that is not there": ("", {"content": npy(images(1)), "headers": NPY | {"accept": "image/png"}}),
    "no picture": ("", {"content": b"\x89PNG", "headers": PNG}),
    "half a picture": ("", {"content": picture(images(1)[0])[:60], "headers": PNG}),
    "a picture of another size": ("", {"content": picture(np.zeros((9, 9), np.uint8)), "headers": PNG}),
    "nothing": ("", {"content": b"", "headers": NPY}),
    "an array of nothing": ("", {"content": npy(np.zeros((0, 8, 8), np.uint8)), "headers": NPY}),
    "not a number": ("", {"content": npy(np.full((2, 8, 8), np.nan)), "headers": NPY}),
    "an array of too much": ("", {"content": npy(np.zeros((2000, 8, 8), np.uint8)), "headers": NPY}),
    "a body of too much": ("", {"content": npy(np.zeros((9000, 8, 8))), "headers": NPY}),
}


@pytest.mark.anyio
@pytest.mark.parametrize("case", REQUESTS)
async def test_the_lane_answers_as_the_route_does(start: Start, calibrated_store: Path, case: str) -> None:
    query, request = REQUESTS[case]
    async with start(store=calibrated_store, max_items=1000, max_body_bytes=2**20) as service:
        plain = await service.http.post(f"/score?{query}", **request)
        general = await service.http.post(f"/score?{query}{GENERAL}", **request)
        assert (plain.status_code, plain.content) == (general.status_code, general.content)
        assert dict(plain.headers) == dict(general.headers)
        assert await service.still_good()
        assert service.engine.admission.waiting == 0
        counted = service.engine.metrics.registry.get_sample_value(
            "sluice_requests_total", {"route": "/score", "status": str(plain.status_code)}
        )
        assert counted >= 2


@pytest.mark.anyio
async def test_a_full_queue_refuses_in_both(start: Start) -> None:
    async with start(queue_item_ticks=300) as service:
        service.engine.admission.admit(250)
        for query in ("seed=1", f"seed=1{GENERAL}"):
            answer = await service.http.post(f"/score?{query}", content=npy(images(100)), headers=NPY)
            assert_problem(answer, 429)
            assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.anyio
@pytest.mark.parametrize("query", ["seed=-1", "seed=99999999999999999999", "seed=1&seed=x", "alpha=1", "alpha=0.0"])
async def test_what_is_wrong_with_a_query_is_told_by_the_route(service: Running, query: str) -> None:
    field = query.partition("=")[0]
    answer = await service.http.post(f"/score?{query}", content=npy(images(1)), headers=NPY)
    assert_problem(answer, 422, field)


def scope(query: bytes = b"", method: str = "POST", path: str = "/score", **headers: str) -> dict[str, Any]:
    found = {"content_type": "image/png"} | headers
    encoded = [(name.replace("_", "-").encode(), value.encode()) for name, value in found.items()]
    return {"type": "http", "method": method, "path": path, "query_string": query, "headers": encoded}


def test_what_is_plain() -> None:
    assert _plain(scope()) == Asked(None, None, score.ALPHA)
    assert _plain(scope(b"alpha=0.05&model=a%40b&seed=7")) == Asked("a@b", 7, 0.05)
    assert _plain(scope(content_type="application/x-npy")) is not None


@pytest.mark.parametrize(
    "query", [b"fdr=0.1", b"fit=true", b"seed=", b"seed=1.5", b"seed=1&seed=2", b"alpha=1e-2", b"alpha=0", b"x=1", b"x"]
)
def test_what_the_lane_leaves_to_the_route(query: bytes) -> None:
    assert _plain(scope(query)) is None


def test_other_bodies_paths_and_deadlines_are_not_plain() -> None:
    assert _plain(scope(content_type="application/json")) is None
    assert _plain(scope(content_type="multipart/form-data; boundary=x")) is None
    assert _plain(scope(x_deadline_ms="50")) is None
    assert _plain(scope(method="GET")) is None
    assert _plain(scope(path="/sample")) is None
    assert _plain({"type": "lifespan"}) is None
