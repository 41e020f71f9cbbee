"""Load that does not wait: every request leaves, and each answer is counted for what it is."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench.side_by_side import offered
from bench.side_by_side.load import Request
from bench.side_by_side.offered import Offered, offer, status_and_length


class Server(ThreadingHTTPServer):
    """Knows the status of each answer to come."""

    turns: Iterator[int]


class Answers(BaseHTTPRequestHandler):
    """200, 429 and 500 in turns; the refusals close the connection."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert isinstance(self.server, Server)
        status = next(self.server.turns) if body == b"an item" else 400
        self.send_response(status)
        self.send_header("Content-Length", "2")
        if status == 429:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    with Server(("127.0.0.1", 0), Answers) as server:
        server.turns = iter([200, 429, 500] * 100)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_every_request_leaves_and_is_counted(address: str) -> None:
    found = offer(address, Request("/score?seed=0", b"an item", {"Content-Type": "image/png"}), 100, 0.3)
    assert found.sent == 30
    assert (len(found.good), len(found.refused), found.other) == (10, 10, 10)
    assert all(0 < seconds < 60 for seconds in found.refused)


def test_several_servers_get_requests_in_turn(address: str) -> None:
    request = Request("/score?seed=0", b"an item", {"Content-Type": "image/png"})
    found = offer([address, "http://127.0.0.1:9"], request, 100, 0.06)
    assert (found.sent, len(found.good), len(found.refused), found.other) == (6, 1, 1, 4)


def test_a_server_that_is_gone_gives_no_answers(address: str) -> None:
    found = offer("http://127.0.0.1:9", Request("/"), 100, 0.05)
    assert (found.sent, found.other) == (5, 5)


def test_a_connection_that_the_server_has_closed_meanwhile_is_not_used_again(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Answers, "timeout", 0.02)  # of a connection without a request
    found = offer(address, Request("/", b"an item"), 10, 0.6)
    assert (found.sent, len(found.good), len(found.refused), found.other) == (6, 2, 2, 2)


def test_requests_without_an_answer_at_the_end_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offered, "_PATIENCE", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = offer(f"http://127.0.0.1:{silent.getsockname()[1]}", Request("/"), 100, 0.05)
    assert (found.sent, found.other) == (5, 5)


def test_answers_after_the_end_are_no_goodput() -> None:
    assert Offered(2.0, good=[0.5, 1.5, 2.5]).rate == 1.0


def test_refusal_is_a_quantile_of_what_was_waited() -> None:
    found = Offered(1.0, refused=[i / 1000 for i in range(100, 0, -1)])
    assert found.refusal(0.5) == pytest.approx(0.051)
    assert found.refusal(0.99) == pytest.approx(0.100)


def test_an_answer_without_a_length_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown length"):
        status_and_length("http/1.1 200 ok\r\n\r\n")
