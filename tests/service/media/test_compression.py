"""gzip and deflate, bounded."""

from __future__ import annotations

import contextlib
import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.media.compression import CODINGS, deflated, inflated, wished
from service.protocol.errors import Malformed, Problem, TooLarge, WrongType

LIMIT = 2**12


@given(st.binary(max_size=LIMIT), st.sampled_from(CODINGS))
def test_a_body_comes_back(data: bytes, coding: str) -> None:
    assert inflated(deflated(data, coding), coding, LIMIT) == data


@given(st.lists(st.binary(max_size=100), min_size=1, max_size=4))
def test_members_of_a_gzip_file_follow_one_another(members: list[bytes]) -> None:
    assert inflated(b"".join(map(gzip.compress, members)), "gzip", LIMIT) == b"".join(members)


@pytest.mark.parametrize("coding", CODINGS)
def test_what_unfolds_beyond_the_limit_is_refused(coding: str) -> None:
    assert inflated(deflated(bytes(LIMIT), coding), coding, LIMIT) == bytes(LIMIT)
    with pytest.raises(TooLarge):
        inflated(deflated(bytes(LIMIT + 1), coding), coding, LIMIT)
    with pytest.raises(TooLarge):
        inflated(gzip.compress(bytes(LIMIT)) * 2, "gzip", LIMIT)


@pytest.mark.parametrize("coding", CODINGS)
def test_a_body_that_was_cut_anywhere_is_refused(coding: str) -> None:
    whole = deflated(b"the whole body", coding)
    for cut in range(1, len(whole)):
        with pytest.raises(Malformed):
            inflated(whole[:cut], coding, LIMIT)


def test_bytes_after_the_end_are_refused() -> None:
    with pytest.raises(Malformed):
        inflated(zlib.compress(b"body") + b"more", "deflate", LIMIT)


@given(st.binary(max_size=60), st.sampled_from([*CODINGS, "br", ""]))
def test_foreign_bytes_raise_nothing_but_problems(data: bytes, coding: str) -> None:
    with contextlib.suppress(Problem):
        inflated(data, coding, LIMIT)


def test_other_codings_are_refused_and_none_is_none() -> None:
    with pytest.raises(WrongType):
        inflated(b"", "br", LIMIT)
    assert inflated(b"body", "identity", LIMIT) == b"body"


@pytest.mark.parametrize(
    ("header", "coding"),
    [(None, None), ("gzip", "gzip"), (" Deflate", "deflate"), ("gzip, deflate", None), ("*", None), ("br", None)],
)
def test_only_a_coding_that_stands_alone_is_wished_for(header: str | None, coding: str | None) -> None:
    assert wished(header) == coding
