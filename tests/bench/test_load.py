"""What wrk's script writes is read back as it was measured."""

from __future__ import annotations

import itertools
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench.side_by_side.load import Load, NoLoad, Request, parse
from bench.side_by_side.own_address import drive_from

SAID = """Running 4s test @ http://127.0.0.1:8000
  1 threads and 32 connections
Requests/sec:   2485.12

{"seconds":4.000000,"requests":10000,"p50_ms":12.5000,"p99_ms":31.2500,"refused":2000,"broken":3}
"""


def test_parse_takes_the_line_of_the_script() -> None:
    assert parse(SAID) == Load(4.0, 10_000, 12.5, 31.25, 2000, 3)


def test_refused_requests_count_for_nothing() -> None:
    load = parse(SAID)
    assert load.rate == 2000.0
    assert load.failures == 2003


def test_silence_is_no_measurement() -> None:
    with pytest.raises(NoLoad, match="unable to connect"):
        parse("unable to connect to 127.0.0.1:8000: Connection refused\n")


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is an address on Linux alone")
def test_load_may_come_from_another_address() -> None:
    sources: set[str] = set()
    numbers, counted = itertools.count(), list[int]()

    class Counting(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            sources.add(self.client_address[0])
            number = next(numbers)
            counted.append(number)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200 if number % 2 else 429)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Counting) as server:
        threading.Thread(target=server.serve_forever).start()
        address = f"http://127.0.0.1:{server.server_port}"
        found = drive_from("127.0.0.2", address, Request("/any", b"a" * 100_000), 2, 0.3)
        server.shutdown()
    assert sources == {"127.0.0.2"}
    assert 0 <= len(counted) - found.requests <= 2
    assert abs(found.refused - found.requests / 2) <= 2
    assert found.broken == 0
    assert 0 < found.p50_ms <= found.p99_ms < 1e3 * found.seconds
