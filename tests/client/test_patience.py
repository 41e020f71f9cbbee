"""Retries, deadlines, and what is never sent twice."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import httpx
import numpy as np
import pytest
from sluice_client import Client, DeadlinePassed, NotReached, ServiceError, UnreadableAnswer

from tests.client.transports import Scripted, busy, client_of, problem, scores
from tests.service.helpers import HALF, images
from tests.service.servers import Server


def test_a_full_queue_and_a_starting_service_are_asked_again_after_their_pause() -> None:
    transport = Scripted(busy(0), busy(1, 503), scores())
    began = time.monotonic()
    assert len(client_of(transport).score([1.0, 2.0])) == 1
    assert time.monotonic() - began >= 1
    bodies = {request.content for request in transport.requests}
    assert (len(transport.requests), len(bodies)) == (3, 1)


def test_the_pauses_of_a_call_have_a_budget() -> None:
    transport = Scripted(busy(1))
    with pytest.raises(ServiceError) as refused:
        client_of(transport, retry_for=0.5).score([1.0])
    assert (refused.value.status, refused.value.retry_after) == (429, 1.0)
    assert len(transport.requests) == 1
    patient = Scripted(busy(1))
    with pytest.raises(ServiceError):
        client_of(patient, retry_for=1.5).score([1.0])
    assert len(patient.requests) == 2


def test_a_service_that_asks_for_no_pause_is_not_asked_for_ever() -> None:
    transport = Scripted(busy(0))
    with pytest.raises(ServiceError):
        client_of(transport, retry_for=0.5).score([1.0])
    assert 2 <= len(transport.requests) <= 6


def test_no_pause_outlasts_the_timeout() -> None:
    transport = Scripted(busy(5))
    began = time.monotonic()
    with pytest.raises(ServiceError):
        client_of(transport, timeout=2).score([1.0])
    assert time.monotonic() - began < 2
    assert len(transport.requests) == 1


@pytest.mark.parametrize("reply", [problem(503, "no model is loaded"), problem(500, "an unexpected error")])
def test_an_answer_that_promises_nothing_stands(reply: httpx.Response) -> None:
    transport = Scripted(reply)
    with pytest.raises(ServiceError):
        client_of(transport).sample(1)
    assert len(transport.requests) == 1


@pytest.mark.parametrize("error", [httpx.ReadError("cut"), httpx.RemoteProtocolError("gone"), httpx.WriteError("cut")])
def test_a_request_that_may_have_been_carried_out_is_not_repeated(error: Exception) -> None:
    transport = Scripted(error)
    client = client_of(transport)
    for call in (lambda: client.score([1.0]), client.sample, lambda: client.load("m")):
        with pytest.raises(NotReached, match="http://sluice"):
            call()
    assert transport.paths == ["/score", "/sample", "/v2/repository/models/m/load"]


def test_a_question_is_repeated_when_its_connection_breaks() -> None:
    listed = httpx.Response(200, json={"models": [], "refused": []})
    transport = Scripted(httpx.ReadError("cut"), listed)
    assert len(client_of(transport).models()) == 0
    assert len(transport.requests) == 2


def test_a_timeout_becomes_the_deadline_of_each_request() -> None:
    transport = Scripted(busy(1), scores())
    client_of(transport, timeout=30).score([1.0])
    first, second = (int(request.headers["x-deadline-ms"]) for request in transport.requests)
    assert 29_000 < first <= 30_000
    assert second <= first - 1000
    bare = Scripted(scores())
    client_of(bare).score([1.0])
    assert "x-deadline-ms" not in bare.requests[0].headers
    own = Scripted(scores())
    client_of(own, timeout=30).score([1.0], timeout=2)
    assert int(own.requests[0].headers["x-deadline-ms"]) <= 2000
    with pytest.raises(ValueError, match="timeout"):
        client_of(own).score([1.0], timeout=0)
    with pytest.raises(ValueError, match="timeout"):
        Client(timeout=-1)


def test_a_deadline_that_passes_is_told_by_the_service_or_by_the_clock(server: Server) -> None:
    transport = Scripted(problem(504, "the deadline passed before the answer was ready"))
    with pytest.raises(DeadlinePassed) as told:
        client_of(transport).sample(1)
    assert told.value.document["status"] == 504
    with pytest.raises(DeadlinePassed, match="within 3 s"):
        client_of(Scripted(httpx.ReadTimeout("slow")), timeout=3).sample(1)
    with pytest.raises(NotReached):
        client_of(Scripted(httpx.ConnectTimeout("slow")), timeout=3).sample(1)
    with Client(server.address) as client, pytest.raises(DeadlinePassed) as real:
        client.score(images(600), timeout=0.002)
    assert isinstance(real.value, TimeoutError)
    with Client(server.address) as client:
        assert client.inpaint(images(1)[0], HALF, steps=1).result().state == "done"


def test_an_answer_that_is_not_of_sluice_is_told_apart() -> None:
    with pytest.raises(UnreadableAnswer, match="no JSON"):
        client_of(Scripted(httpx.Response(200, content=b"<html>"))).score([1.0])
    with pytest.raises(UnreadableAnswer, match="x-sluice-model"):
        client_of(Scripted(httpx.Response(200, content=b"<html>"))).sample(1)
    with pytest.raises(ServiceError, match="502: bad gateway") as proxied:
        client_of(Scripted(httpx.Response(502, content=b"bad gateway"))).sample(1)
    assert proxied.value.field is None
    pickled = {"x-sluice-model": "m@1", "x-sluice-seed": "1"}
    with pytest.raises(UnreadableAnswer, match="npy"):
        client_of(Scripted(httpx.Response(200, content=b"\x80\x04", headers=pickled))).sample(1)


def test_an_answer_that_cannot_be_unpacked_is_told() -> None:
    def damaged(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(b"\x1f\x8bno"))

    for ask in (lambda client: client.models(), lambda client: client.sample(1)):
        with httpx_client(damaged) as client, pytest.raises(UnreadableAnswer, match="cannot be unpacked"):
            ask(client)


def httpx_client(answer: Callable[[httpx.Request], httpx.Response]) -> Client:
    return Client("http://sluice", transport=httpx.MockTransport(answer))


def test_a_redirect_is_no_success() -> None:
    moved = httpx.Response(308, headers={"location": "https://sluice/"}, content=b"<html>moved</html>")
    for ask in (
        lambda client: client.unload("digits"),
        lambda client: client.card("digits"),
        lambda client: client.score([1.0]),
    ):
        with pytest.raises(UnreadableAnswer, match="redirects to https://sluice/"):
            ask(client_of(Scripted(moved)))


def test_an_infinite_timeout_is_none() -> None:
    transport = Scripted(scores())
    with client_of(transport, timeout=math.inf) as client:
        client.score([1.0, 2.0])
        client.score([1.0, 2.0], timeout=math.inf)
    assert not any("x-deadline-ms" in request.headers for request in transport.requests)


@pytest.mark.parametrize("content", [b"{}", b"[]", b"7", b'{"items": 3}', b'{"items": [{}]}', b'{"models": [1]}'])
def test_json_of_another_program_is_told_apart(content: bytes) -> None:
    reply = httpx.Response(200, content=content, headers={"content-type": "application/json"})
    with pytest.raises(UnreadableAnswer):
        client_of(Scripted(reply)).score([1.0])
    with pytest.raises(UnreadableAnswer):
        client_of(Scripted(reply)).models()
    with pytest.raises(UnreadableAnswer):
        client_of(Scripted(reply)).encode([[1.0]], log_abs_det=True)


def test_numbers_are_sent_as_npy_and_never_as_json() -> None:
    transport = Scripted(scores())
    client_of(transport).score(np.zeros((1, 2), np.float32))
    client_of(transport).score([[1, 2]])
    assert {request.headers["content-type"] for request in transport.requests} == {"application/x-npy"}
    assert transport.requests[0].content.startswith(b"\x93NUMPY")


@pytest.mark.parametrize("options", [{"url": "localhost:8000"}, {"parallel": 0}])
def test_options_that_cannot_be_meant_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Client(**options)  # type: ignore[arg-type]
