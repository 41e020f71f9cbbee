"""The npy format: read or refused, and nothing is allocated on a header's word."""

from __future__ import annotations

import io
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.media.npy import from_npy, npy_header, to_npy
from service.protocol.errors import Malformed, Problem, WrongValue
from tests.service.helpers import images, npy, npy_claiming

DTYPES = st.sampled_from(["u1", "i1", "<i4", ">i4", "<i8", "<u8", "<f2", ">f4", "<f4", "<f8", "?"])


@given(DTYPES.flatmap(lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))))
def test_what_numpy_writes_is_read_and_what_is_written_numpy_reads(array: np.ndarray) -> None:
    for order in (array, np.asfortranarray(array)):
        found = from_npy(npy(order))
        assert found.dtype == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(found, array)
    np.testing.assert_array_equal(np.load(io.BytesIO(to_npy(array)), allow_pickle=False), array)


@pytest.mark.parametrize(
    "shape",
    [
        "(4611686018427387904, 0)",
        "(True, 2)",
        "(2.0, 1)",
        "(-1, -2)",
        "(-2,)",
        "(" + "1, " * 70 + ")",
        "(" + "0, " * 70 + ")",
        "(9223372036854775808,)",
        "(1099511627777, 0)",
        "('2', 1)",
        "2",
        "None",
        "(2, 1",
        "(" * 5000,
        "__import__('os').abort()",
    ],
)
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.filterwarnings("ignore")  # numpy parses headers as Python, with its warnings
def test_an_impossible_shape_is_refused(shape: str, version: int) -> None:
    with pytest.raises(Malformed):
        from_npy(npy_claiming(shape, data=b"\0\0", version=version))


def test_a_claim_of_many_bytes_allocates_none() -> None:
    tracemalloc.start()
    try:
        with pytest.raises(Malformed, match="claims"):
            from_npy(npy_claiming("(1000000000, 1000)"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize("dtype", ["|O", "<U4", "|S4", "<c8", "<M8[s]", "|V8"])
def test_an_array_of_anything_but_numbers_is_refused(dtype: str) -> None:
    with pytest.raises(WrongValue):
        from_npy(npy_claiming("(1,)", dtype, b"\0" * 16))


def test_an_array_without_numbers_keeps_its_shape() -> None:
    header, offset = npy_header(npy_claiming("(0, 8, 8)"))
    assert (header.shape, header.nbytes) == ((0, 8, 8), 0)
    assert offset == len(npy_claiming("(0, 8, 8)"))
    assert from_npy(npy_claiming("(0, 8, 8)")).shape == (0, 8, 8)


def test_a_batch_is_read_without_a_copy() -> None:
    data = npy(images(3))
    array = from_npy(data)
    assert not array.flags.writeable
    assert np.shares_memory(array, np.frombuffer(data, np.uint8))


@pytest.mark.filterwarnings("ignore")  # numpy parses headers as Python, with its warnings
@given(st.binary(max_size=200), st.integers(0, 120))
def test_damaged_npy_is_read_or_refused_and_never_crashes(noise: bytes, place: int) -> None:
    whole = npy(images(1))
    for data in (noise, b"\x93NUMPY" + noise, whole[:place] + noise + whole[place + len(noise) :]):
        try:
            array: Any = from_npy(data)
        except Problem:
            continue
        assert array.nbytes <= len(data)


@pytest.mark.filterwarnings("ignore")
@given(st.text(alphabet="()[]{},:'\"0123456789-.eEjTrueFalsNo_ +*", max_size=60), st.binary(max_size=20))
def test_any_text_as_a_shape_is_read_or_refused(shape: str, data: bytes) -> None:
    try:
        array: Any = from_npy(npy_claiming(shape, data=data))
    except Problem:
        return
    assert array.nbytes == len(data)
