"""Clients that send too much, too slowly, or too often at once: they are left, and everybody else is answered."""

from __future__ import annotations

import http.client
import resource
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from service.api.connections import Limits, limits_of
from service.protocol.tenants import network_of
from service.settings import Settings
from tests.reliability.markers import LONG
from tests.reliability.probing import memory, probing
from tests.reliability.raw import answer, asked, connected, crowd, get, status
from tests.service.helpers import npy
from tests.service.servers import Server, serving, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is an address on Linux alone")

LIMITS: dict[str, Any] = {
    "api_processes": 1,
    "max_connections": 120,
    "max_connections_per_address": 50,
    "header_timeout": 1.5,
    "body_timeout": 4,
    "keep_alive": 5,
    "queue_item_ticks": 10**9,
    "max_bytes_in_flight": 4 * 2**20,
    "max_steps": 10**6,
    "drain_delay": 0,
}
HEAD = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-npy\r\n"
OTHER = "127.0.0.2"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("connections") / "log"


@pytest.fixture(scope="module")
def server(store: Path, log: Path) -> Iterator[Server]:
    with serving(store, log, **LIMITS) as started:
        yield started


def long_heads(size: int) -> dict[str, bytes]:
    some = b"x: y\r\n" * (size // 6)
    return {
        "a field": HEAD + b"X: " + b"a" * size,
        "a name": HEAD + b"a" * size,
        "fields": HEAD + some,
        "a target": b"GET /" + b"a" * size,
        "a query": b"GET /models?" + b"a" * size,
        "a trailer": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"a" * size,
        "trailers": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + some,
        "an extension of a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * size,
    }


@pytest.mark.parametrize("megabytes", [2, pytest.param(300, marks=LONG)])
@pytest.mark.parametrize("what", ["a field", "a trailer", *(pytest.param(one, marks=LONG) for one in long_heads(0))])
def test_a_head_of_more_than_64_kilobytes_is_431_and_is_not_kept(server: Server, what: str, megabytes: int) -> None:
    (api,) = server.children("service.api")
    before = memory(api)
    found = asked(server, long_heads(megabytes * 2**20)[what])
    # The rest of what was sent may reset the connection before the answer is read.
    assert status(found) in (431, 400, 0), found[:200]
    assert memory(api) - before < 2**23
    assert get(server, "/health/live") == 200


@pytest.mark.parametrize("what", long_heads(0))
def test_a_head_of_just_too_many_bytes_is_told(server: Server, what: str) -> None:
    text = long_heads(2**16 + 1000)[what]
    with connected(server) as one:
        one.sendall(text[:200])
        time.sleep(0.2)  # what comes with the beginning of a request is not counted
        one.sendall(text[200:])
        found = answer(one)
    assert status(found) == 431, found[:200]
    assert b"application/problem+json" in found
    assert b"nosniff" in found


def test_a_head_of_60_kilobytes_is_taken(server: Server) -> None:
    text = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + b"x: yyyy\r\n" * 6500 + b"\r\n"
    assert status(asked(server, text)) == 200


def test_what_is_no_http_is_400_as_a_problem_document_and_not_logged(server: Server, log: Path) -> None:
    before = log.read_bytes()
    for text in (b"nonsense\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n", b"\0" * 100):
        found = asked(server, text)
        assert status(found) == 400
        assert b'"error"' in found
    assert log.read_bytes() == before


def test_a_head_that_comes_a_byte_at_a_time_is_given_up(server: Server) -> None:
    with connected(server) as one:
        began = time.monotonic()
        try:
            for byte in HEAD * 100:
                one.sendall(bytes([byte]))
                time.sleep(0.1)
        except ConnectionError:
            pass
        assert time.monotonic() - began < 6
    with connected(server) as one:
        one.sendall(b"GET /health/live HTTP/1.1\r\nHo")
        assert status(answer(one)) == 408


@pytest.mark.parametrize(
    "begin",
    [b"", b"\r\n\r\n", b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n", b"G"],
    ids=["none", "lines", "one", "G"],
)
def test_a_connection_without_a_request_is_closed(server: Server, begin: bytes) -> None:
    with connected(server) as one:
        one.sendall(begin)
        one.settimeout(8)
        answer(one)


def test_an_idle_connection_is_kept_after_an_answer_for_a_request_to_come(server: Server) -> None:
    request = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    with closing(http.client.HTTPConnection(server.address.removeprefix("http://"), timeout=8)) as one:
        for pause in (3, 3):  # longer than a new connection may take, together longer than an idle one is kept
            one.request("GET", "/health/live")
            assert one.getresponse().read()
            time.sleep(pause)
        one.request("GET", "/health/live")
        assert one.getresponse().status == 200
    with connected(server) as one:
        one.sendall(request)
        one.settimeout(9)
        time.sleep(1)
        one.sendall(b"\r\n")  # no request, after which nobody else looks at the clock
        answer(one)


def test_a_body_that_stops_coming_is_408(server: Server) -> None:
    with connected(server) as one:
        one.sendall(HEAD + b"Content-Length: 1000\r\n\r\n" + b"a" * 10)
        began = time.monotonic()
        assert status(answer(one)) == 408
        assert time.monotonic() - began < 12


@LONG
def test_a_body_that_goes_on_after_its_answer_is_not_read_for_ever(server: Server) -> None:
    with connected(server) as one:
        one.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        assert status(one.recv(65536)) == 200
        began = time.monotonic()
        with pytest.raises(ConnectionError):  # noqa: PT012 (whichever byte meets the closed connection)
            while time.monotonic() - began < 20:
                one.sendall(b"a")
                time.sleep(0.1)


@LONG
def test_a_slow_body_is_read(server: Server) -> None:
    body = npy([[0.5, 1.0]])
    with connected(server) as one:
        one.sendall(b"POST /score?model=points HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-npy\r\n")
        one.sendall(b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body))
        for place in range(0, len(body), 40):
            one.sendall(body[place : place + 40])
            time.sleep(0.6)
        assert status(answer(one)) == 200


def test_one_address_that_holds_half_sent_requests_keeps_nobody_out(server: Server) -> None:
    half = HEAD + b"X"
    with crowd(server, 400, half, OTHER) as sockets, probing(server, "/models/digits") as probes:
        assert get(server, "/health/live", OTHER) == 200
        assert get(server, "/models", OTHER) == 200, "the oldest of its own made room"
        time.sleep(0.5)
        assert server.post("/sample").status_code == 200
        assert sum(closed(one) for one in sockets) >= 350
    assert probes.failures == []


def test_many_addresses_that_hold_half_sent_requests_keep_nobody_out(server: Server) -> None:
    crowds = [crowd(server, 40, HEAD, f"127.0.1.{number}") for number in range(1, 9)]
    with probing(server) as probes:
        for one in crowds:
            one.__enter__()
        time.sleep(0.3)
        assert server.post("/sample").status_code == 200
        for one in crowds:
            one.__exit__(None, None, None)
    assert probes.failures == []
    assert server.post("/sample").status_code == 200


def test_probes_are_answered_when_every_connection_is_busy(server: Server) -> None:
    body = b'{"image":[0.5,0],"mask":[0,1]}'
    work = b"POST /inpaint?model=points&steps=1000000&method=nice HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % len(
        body
    )
    work += b"Content-Type: application/json\r\nAccept: text/event-stream\r\n\r\n" + body
    with crowd(server, 55, work, OTHER), crowd(server, 55, work, "127.0.0.3"), crowd(server, 55, work, "127.0.0.4"):
        wait_until(lambda: get(server, "/models") == 503)
        for source in ("127.0.0.1", OTHER):
            assert get(server, "/health/live", source) == 200
            assert get(server, "/health/ready", source) == 200
            assert get(server, "/metrics", source) == 200
    wait_until(lambda: get(server, "/models") == 200)
    wait_until(lambda: server.metric("sluice_queue_jobs") == 0)


def test_bodies_beyond_the_bytes_in_flight_are_429(server: Server) -> None:
    size = 2**20
    upload = HEAD + b"Content-Length: %d\r\n\r\n" % size + b"a" * (size - 1)
    with crowd(server, 8, upload) as sockets:
        wait_until(lambda: [status(peeked(one)) for one in sockets].count(429) == 4, 3)
        refused = next(one for one in sockets if status(peeked(one)) == 429)
        assert b"\r\nretry-after: 1\r\n" in peeked(refused).lower()
        assert get(server, "/health/live") == 200
    wait_until(lambda: server.post("/score?model=points", json={"items": [[0.5, 1]] * 10**4}).status_code == 200)


@pytest.mark.parametrize(("soft", "hard", "connections_"), [(1024, 1024, 768), (1024, 4000, 3744), (-1, -1, 4096)])
def test_there_are_never_more_connections_than_files(
    soft: int, hard: int, connections_: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, both: told.append(both))
    assert limits_of(Settings()) == Limits(connections_, 1024, 10, 20, 75)
    assert told == ([(hard, hard)] if soft != resource.RLIM_INFINITY else [])


def test_an_address_is_what_one_host_may_choose_from() -> None:
    assert network_of("10.0.0.1") == network_of("::ffff:10.0.0.1") == "10.0.0.1"
    assert network_of("2001:db8::1") == network_of("2001:db8:0:0:9::9") != network_of("2001:db8:0:1::1")
    assert network_of("fe80::1%eth0") == "fe80::/64"
    assert network_of("no address") == "no address"


def peeked(one: socket.socket) -> bytes:
    try:
        return one.recv(2000, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except OSError:
        return b""


def closed(one: socket.socket) -> bool:
    one.setblocking(False)
    try:
        return one.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
