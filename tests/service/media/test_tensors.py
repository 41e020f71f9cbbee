"""Tensors of the Open Inference Protocol v2 to arrays and back."""

from __future__ import annotations

import contextlib
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from service.media.tensors import BYTES, NUMPY, binary_of, binary_values, datatype_of, json_values, listed
from service.protocol.errors import Problem

SHAPES = arrays.array_shapes(min_dims=1, max_dims=3, max_side=4)
NUMBERS = st.sampled_from(sorted(NUMPY)).flatmap(lambda name: arrays.arrays(NUMPY[name], SHAPES))
TEXTS = arrays.arrays(object, SHAPES, elements=st.binary(max_size=9), fill=st.nothing())


@given(NUMBERS)
def test_numbers_come_back_from_binary_data(array: np.ndarray) -> None:
    found = binary_values(memoryview(binary_of(array)), datatype_of(array), array.shape, "x")
    assert found.dtype == array.dtype
    assert np.array_equal(found, array, equal_nan=array.dtype.kind == "f")


@given(NUMBERS)
def test_finite_numbers_come_back_from_json(array: np.ndarray) -> None:
    array = np.nan_to_num(array, posinf=1, neginf=1)
    for data in (listed(array), array.tolist()):
        found = json_values(json.dumps(data).encode(), datatype_of(array), array.shape, "x")
        assert found.dtype == array.dtype
        assert np.array_equal(found, array)


@given(TEXTS)
def test_bytes_come_back(array: np.ndarray) -> None:
    assert datatype_of(array) == BYTES
    found = binary_values(memoryview(binary_of(array)), BYTES, array.shape, "x")
    assert found.tolist() == array.tolist()


def test_large_numbers_are_a_view_of_the_body() -> None:
    body = bytes(100)
    found = binary_values(memoryview(body)[4:68], "UINT8", (1, 8, 8), "x")
    assert np.shares_memory(found, np.frombuffer(body, np.uint8))


@pytest.mark.parametrize("value", [2**63, 2**64 - 1, 2**64, -(2**63) - 1])
def test_whole_numbers_of_64_bits_are_exact_or_refused(value: int) -> None:
    raw = json.dumps([value]).encode()
    if 0 <= value < 2**64:
        assert json_values(raw, "UINT64", (1,), "x").tolist() == [value]
    with pytest.raises(Problem):
        json_values(raw, "INT64", (1,), "x")


@given(
    st.sampled_from([*NUMPY, "BF16", BYTES, "", "FP8"]),
    st.lists(st.integers(0, 2**40), max_size=4),
    st.binary(max_size=40),
)
def test_foreign_bytes_raise_nothing_but_problems(datatype: str, shape: list[int], data: bytes) -> None:
    for read in (
        lambda: binary_values(memoryview(data), datatype, shape, "x"),
        lambda: json_values(data, datatype, shape, "x"),
    ):
        with contextlib.suppress(Problem):
            assert read().size == math.prod(shape)
