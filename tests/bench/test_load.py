"""What wrk's script writes is read back as it was measured."""

from __future__ import annotations

import pytest

from bench.side_by_side.load import Load, NoLoad, parse

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
