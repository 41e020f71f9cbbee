"""Inpaintings through the client: progress, results, breaks in the stream, and what is stopped."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sluice_client import Client, DeadlinePassed, NotReached, ServiceError, UnusableInput

from tests.client.transports import Scripted, busy, client_of, problem
from tests.service.helpers import HALF, images
from tests.service.servers import Server, wait_until


def test_progress_comes_before_the_result_and_what_was_known_stays(client: Client) -> None:
    image = images(1)[0]
    begun = client.inpaint(image, HALF, n=3, steps=40, seed=1, model="digits")
    told = list(begun)
    assert [progress.step for progress in told] == sorted(progress.step for progress in told)
    assert told[-1].steps == 40
    preview = told[-1].preview
    assert preview is not None
    assert preview.size == (18, 18)
    found = begun.result()
    assert (found.model, found.seed, found.method, found.state) == ("digits@2", 1, "ascent", "done")
    assert found.shape == (3, 8, 8)
    assert (found[:, :, :4] == image[:, :4]).all()
    assert list(found.log_likelihood) == sorted(found.log_likelihood, reverse=True)
    assert found.documents[0]["trace"][-1][1] == found.log_likelihood[0]
    assert set(found.steps) <= set(range(41))
    assert found.converged.dtype == bool
    assert "done" in repr(begun)
    assert begun._repr_png_() == found._repr_png_()


def test_every_way_to_mark_the_unknown_means_the_same(client: Client, tmp_path: Path) -> None:
    image = images(1)[0]
    options: dict[str, Any] = {"steps": 10, "seed": 2}
    expected = client.inpaint(image, HALF, **options).result().array
    Image.fromarray(image).save(tmp_path / "image.png")
    Image.fromarray(HALF).save(tmp_path / "mask.png")
    gaps = image / 255
    gaps[:, 4:] = np.nan
    transparent = Image.fromarray(np.dstack([image, 255 - HALF]))
    for given in (
        (image, HALF > 0),
        (Image.fromarray(image), Image.fromarray(HALF)),
        (tmp_path / "image.png", str(tmp_path / "mask.png")),
        (gaps,),
        (transparent,),
        (image, (HALF > 0).tolist()),
    ):
        assert np.array_equal(client.inpaint(*given, **options).result(), expected)
    assert np.array_equal(client.inpaint(gaps, HALF, **options).result(), expected)
    gaps[0, 0] = np.nan  # which the mask does not hide
    with pytest.raises(ServiceError, match="item 0 holds a number outside"):
        client.inpaint(gaps, HALF, **options).result()
    point = client.inpaint([0.5, None], model="points", steps=5).result()
    assert point[0, 0] == np.float32(0.5)
    assert np.isfinite(point).all()
    with pytest.raises(UnusableInput, match="mask"):
        client.inpaint(image)
    with pytest.raises(UnusableInput, match="folder"):
        client.inpaint(tmp_path, HALF)


def test_an_inpainting_can_be_stopped_and_keeps_the_best_so_far(client: Client) -> None:
    begun = client.inpaint(images(1)[0], HALF, n=50, steps=2000)
    next(iter(begun))
    begun.stop()
    found = begun.result()
    assert found.state == "stopped"
    assert max(found.steps) < 2000


def test_leaving_its_context_or_its_time_stops_it(client: Client, server: Server) -> None:
    with client.inpaint(images(1)[0], HALF, n=50, steps=2000) as begun:
        pass
    wait_until(lambda: server.get(f"/inpaint/{begun.id}") == 200)
    late = client.inpaint(images(1)[0], HALF, n=100, steps=2000, timeout=0.4)
    with pytest.raises(DeadlinePassed):
        late.result()
    wait_until(lambda: server.get(f"/inpaint/{late.id}") == 200)
    with client.inpaint(images(1)[0], HALF, steps=1) as done:
        assert done.result().state == "done"


def test_a_refused_inpainting_names_the_field(client: Client) -> None:
    with pytest.raises(ServiceError) as refused:
        client.inpaint(images(1)[0], HALF, steps=0)
    assert refused.value.field == "steps"
    with pytest.raises(ServiceError) as shaped:
        client.inpaint(np.zeros((3, 3)), np.ones((3, 3)))
    assert shaped.value.field == "image"


# A scripted service: what a real one does only when its network fails.


def _state(request: httpx.Request) -> httpx.Response:
    name = request.url.path.rpartition("/")[2]
    return httpx.Response(202, json={"id": name, "model": "m@1", "steps": 9})


def _event(name: str, data: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


_PROGRESS = _event("progress", {"step": 3, "log_likelihood": -1.5, "preview": None})
_RESULT = _event(
    "result",
    {
        "model": "m@1",
        "seed": 1,
        "method": "ascent",
        "state": "done",
        "items": [{"pixels": [0.5, 1.0], "log_likelihood": -1.0, "steps": 9, "converged": True}],
    },
)


def test_a_begin_whose_connection_breaks_is_repeated_word_for_word() -> None:
    transport = Scripted(httpx.ReadError("gone"), _state, httpx.Response(200, content=b": \n\n" + _PROGRESS + _RESULT))
    begun = client_of(transport, retry_for=5).inpaint([0.5, np.nan], steps=9)
    assert begun.result().array.tolist() == [[0.5, 1.0]]
    first, second, stream = transport.requests
    assert (first.method, first.url, first.content) == (second.method, second.url, second.content)
    assert first.method == "PUT"
    assert (stream.method, stream.headers["accept"]) == ("GET", "text/event-stream")
    assert stream.url.path == first.url.path


def test_a_row_by_name_is_sent_as_csv_and_comes_back_by_name() -> None:
    row = {"height": 171.5, "colour": "red"}
    items = [{"pixels": row, "log_likelihood": -1.0, "steps": 9, "converged": True}]
    result = _event("result", {"model": "m@1", "seed": 1, "method": "ascent", "state": "done", "items": items})
    for given in ({"height": None, "colour": "red"}, pd.DataFrame({"height": [np.nan], "colour": ["red"]})):
        transport = Scripted(_state, httpx.Response(200, content=result))
        found = client_of(transport).inpaint(given).result()
        assert transport.requests[0].headers["content-type"] == "text/csv"
        assert transport.requests[0].content == b"height,colour\n,red\n"
        assert found.columns == ("height", "colour")
        assert found[0].tolist() == [171.5, "red"]
        assert found._repr_png_() is None
        assert "<td>171.5</td><td>red</td>" in (found._repr_html_() or "")


def test_a_stream_that_ends_early_is_taken_up_again() -> None:
    cut = httpx.Response(200, content=_PROGRESS)
    transport = Scripted(_state, cut, httpx.ReadTimeout("silent"), httpx.Response(200, content=_RESULT))
    begun = client_of(transport, retry_for=5).inpaint([0.5, np.nan])
    assert [progress.step for progress in begun] == [3]
    assert begun.result().documents[0]["steps"] == 9
    with pytest.raises(NotReached):
        client_of(Scripted(_state, cut), retry_for=0.2).inpaint([0.5, np.nan]).result()


def test_a_stream_that_is_refused_for_now_is_asked_for_again() -> None:
    transport = Scripted(_state, busy(0), busy(0, 503), httpx.Response(200, content=_PROGRESS + _RESULT))
    begun = client_of(transport, retry_for=5).inpaint([0.5, np.nan])
    assert begun.result().array.tolist() == [[0.5, 1.0]]
    with pytest.raises(ServiceError):
        client_of(Scripted(_state, busy(3)), retry_for=1).inpaint([0.5, np.nan]).result()


@pytest.mark.parametrize("word", ["a\u2028b", "a\u2029b", "a\x85b", "a\x0bb", "a\x1cb"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_words_hold_what_is_an_end_of_a_line_elsewhere(word: str, end: str) -> None:
    items = [{"pixels": {"x": word, "y": 1.5}, "log_likelihood": -1.0, "steps": 9, "converged": True}]
    document = {"model": "m@1", "seed": 1, "method": "ascent", "state": "done", "items": items}
    stream = f": {end}event: result\ndata: {json.dumps(document, ensure_ascii=False)}\n\n".replace("\n", end).encode()
    for size in (1, 3, len(stream)):  # characters and ends of lines may be cut anywhere
        pieces = [stream[start : start + size] for start in range(0, len(stream), size)]

        def answer(request: httpx.Request, pieces: list[bytes] = pieces) -> httpx.Response:
            return _state(request) if request.method == "PUT" else httpx.Response(200, content=iter(pieces))

        with Client("http://sluice", transport=httpx.MockTransport(answer)) as client:
            assert client.inpaint({"x": None, "y": 1.5}).result()[0].tolist() == [word, 1.5]


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        (np.int64(3), b"3"),
        (np.float32(0.5), b"0.5"),
        (datetime.date(2024, 5, 1), b"2024-05-01"),
        (np.datetime64("2024-05-01"), b"2024-05-01"),
        (pd.Timestamp("2024-05-01T10:30"), b"2024-05-01 10:30:00"),
    ],
)
def test_a_row_may_hold_any_scalar(cell: object, written: bytes) -> None:
    transport = Scripted(_state)
    client_of(transport).inpaint({"a": cell, "b": None})
    assert transport.requests[0].content == b"a,b\n" + written + b",\n"


def test_a_problem_within_the_stream_is_raised() -> None:
    lost = problem(503, "the device process has stopped").json()
    for end, kind in ((lost, ServiceError), ({**lost, "status": 504}, DeadlinePassed)):
        transport = Scripted(_state, httpx.Response(200, content=_PROGRESS + _event("problem", end)))
        with pytest.raises(kind, match="the device process has stopped"):
            client_of(transport).inpaint([0.5, np.nan]).result()
    gone = Scripted(_state, problem(404, "there is no such inpainting"))
    with pytest.raises(ServiceError, match="no such inpainting"):
        client_of(gone).inpaint([0.5, np.nan]).result()
