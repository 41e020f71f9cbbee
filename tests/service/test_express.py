"""The express lane answers as the route does, to the byte, and takes plain requests only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.routes.express import _plain
from tests.service.conftest import Running, Start, assert_problem
from tests.service.test_score import NPY, images, npy, picture

PNG = {"content-type": "image/png"}
JPEG = {"content-type": "image/jpeg"}
JSON = {"accept": "application/json"}
GENERAL = "&general"
"""The route ignores a parameter that it does not know, and the lane leaves such a request to it."""

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
async def test_the_lane_answers_as_the_route_does(start: Start, calibrated_store: Path, case: str) -> None:
    url, request = REQUESTS[case]
    async with start(store=calibrated_store, max_items=1000, max_body_bytes=2**20) as service:
        plain = await service.http.post(url, **request)
        general = await service.http.post(url + GENERAL, **request)
        assert (plain.status_code, plain.content) == (general.status_code, general.content)
        assert dict(plain.headers) == dict(general.headers)
        assert await service.still_good()
        assert service.engine.admission.waiting == 0
        counted = service.engine.metrics.registry.get_sample_value(
            "sluice_requests_total", {"route": url.partition("?")[0], "status": str(plain.status_code)}
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


def said(*arguments: Any, **options: Any) -> Any:
    """What the lane takes a request to say; None where it leaves it to the route."""
    plain = _plain(scope(*arguments, **options))
    return plain[1] if plain is not None else None


def test_what_is_plain() -> None:
    assert said() == {}
    assert said(b"alpha=0.05&model=a%40b&seed=7") == {"alpha": "0.05", "model": "a@b", "seed": "7"}
    assert said(b"n=4&steps=100", path="/inpaint") == {"n": "4", "steps": "100"}


@pytest.mark.parametrize(
    "query", [b"fdr=0.1", b"fit=true", b"seed=", b"seed=1.5", b"seed=1&seed=2", b"alpha=1e-2", b"alpha=0", b"x=1", b"x"]
)
def test_what_the_lane_leaves_to_the_route(query: bytes) -> None:
    assert said(query) is None


def test_other_paths_and_wishes_are_not_plain() -> None:
    assert said(x_deadline_ms="50") is None
    assert said(path="/inpaint", prefer="respond-async") is None
    assert said(path="/inpaint", accept="text/event-stream") is None
    assert said(method="GET") is None
    assert said(path="/sample") is None
    assert _plain({"type": "lifespan"}) is None
