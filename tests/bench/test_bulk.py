"""Runs of the benchmark of bulk scoring are measured as what they are."""

from __future__ import annotations

import pytest

from bench import bulk


def test_memory_of_a_run_is_its_own_and_not_that_of_the_benchmark() -> None:
    block = b"1" * (200 * 2**20)  # a peak of this process
    del block
    assert 1 < bulk._timed("-c", "pass").mebibytes < 100
    assert bulk._timed("-c", "b'1' * (200 * 2**20)").mebibytes > 200


def test_a_run_that_fails_ends_the_benchmark_with_what_it_said() -> None:
    with pytest.raises(SystemExit, match="no such input"):
        bulk._timed("-c", "raise SystemExit('no such input')")
