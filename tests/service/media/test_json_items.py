"""JSON bodies: read or refused; a large one is read item by item with the same result."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.media import json_items
from service.media.json_items import item_from_json, items_from_json
from service.protocol.errors import Malformed, Problem, TooLarge, WrongValue
from tests.service.helpers import images

MOST = 10_000

NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none()
TREES: st.SearchStrategy[Any] = st.recursive(
    NUMBERS | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=20,
)

LIKE_JSON = st.text(alphabet='{}[]",:items0123456789.eE-+nulltrefaNI ', max_size=80)


def body(items: Any) -> bytes:
    return json.dumps({"items": items}).encode()


@given(
    st.binary(max_size=300) | st.text(alphabet='{}[]",:items0123456789.eE-+nulltrefaNI ', max_size=80).map(str.encode)
)
def test_arbitrary_bytes_raise_nothing_but_problems(noise: bytes) -> None:
    for data in (noise, b'{"items":' + noise + b"}", b'{"items":[' + noise, b'{"image":' + noise + b"}"):
        for read in (
            lambda data=data: items_from_json(data, "items", MOST, 2**14),
            lambda data=data: item_from_json(data, (2,)),
        ):
            try:
                read()
            except Problem:
                continue


@given(TREES)
def test_any_document_is_read_or_refused_alike_whatever_its_length(items: Any) -> None:
    data = body(items)
    spaced = data[:-1].replace(b'{"items": ', b'{"items": ' + b" " * 3) + b"}"
    outcomes = []
    for large in (2**20, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(json_items, "_LARGE", large)
            try:
                outcomes.append(items_from_json(spaced, "items", MOST, 2**14).tolist())
            except Problem as problem:
                outcomes.append(type(problem))
    small, large_one = outcomes
    if isinstance(small, list):
        assert large_one == small
    else:
        assert not isinstance(large_one, list)


@pytest.mark.parametrize(
    "data",
    [
        b'{"items": [[NaN, 1]]}',
        b'{"items": [[Infinity, 1]]}',
        b'{"items": [[-Infinity, 1]]}',
        b'{"items": [[nan, 1]]}',
        b'{"items": [[1, 2]]',
        b'{"items": [[1, 2],]}',
        b'{"items": [[01]]}',
        b'{"items": [[1.]]}',
        b'{"items": [[+1]]}',
        b"{'items': [[1]]}",
        b'{"items": [[1]]} more',
        b'{"items": [[1]]}{}',
        b"\xff\xfe",
        b"",
        b'{"items": "\xff"}',
        b'{"items":' + b"[" * 100_000,
        b'{"items":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"items":' + b" " * 2**20 + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_no_json_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        items_from_json(data, "items", MOST, 2**14)
    with pytest.raises(Malformed):
        item_from_json(data.replace(b"items", b"image"), (2**14,))


@pytest.mark.parametrize(
    "items",
    [[[1, 2], [3]], [[1], 2], [[[1]], [2]], "text", None, {}, [{}], [None], [["1"]], [[1, "a"]], [[10**400, 1]]],
)
@pytest.mark.parametrize("large", [2**20, 0])
def test_what_are_no_lists_of_numbers_has_a_wrong_value(
    items: Any, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_items, "_LARGE", large)
    with pytest.raises(WrongValue) as refusal:
        items_from_json(body(items), "items", MOST, 2**14)
    assert refusal.value.field == "items"


@pytest.mark.parametrize(
    "data", [b"[]", b"[" * 100_000 + b"]" * 100_000, b"1", b'"items"', b"null", b"{}", b'{"item": []}']
)
def test_a_body_without_the_member_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(WrongValue):
        items_from_json(data, "items", MOST, 2**14)


@pytest.mark.parametrize("fractions", [False, True])
def test_a_large_body_is_read_item_by_item_with_the_same_result(
    monkeypatch: pytest.MonkeyPatch, fractions: bool
) -> None:
    pixels: Any = images(6000) / 255 if fractions else images(6000)
    data = body(pixels.tolist())
    assert len(data) > 2**20
    by_item = items_from_json(data, "items", MOST, 2**14)
    monkeypatch.setattr(json_items, "_LARGE", len(data))
    whole = items_from_json(data, "items", MOST, 2**14)
    assert by_item.dtype == whole.dtype
    np.testing.assert_array_equal(by_item, whole)
    np.testing.assert_array_equal(whole, pixels)


def test_a_large_body_without_an_item_is_refused_as_a_small_one_is() -> None:
    data = b'{"items": [' + b" " * (2**20 + 1) + b"]}"
    assert items_from_json(b'{"items": []}', "items", MOST, 2**14).shape == (0,)
    assert items_from_json(data, "items", MOST, 2**14).shape == (0,)


def test_too_many_items_of_a_large_body_are_refused_before_they_are_decoded() -> None:
    data = b'{"items":[' + b"[0,1]," * (10 * 2**20) + b"[0,1]]}"
    assert len(data) > 60 * 2**20
    began = time.monotonic()
    with pytest.raises(TooLarge):
        items_from_json(data, "items", MOST, 2**14)
    assert time.monotonic() - began < 20, "reading each would take a minute"


def test_an_item_far_longer_than_one_of_the_model_is_refused_before_it_is_decoded() -> None:
    data = b'{"items":[[' + b"1," * (30 * 2**20) + b"1]]}"
    began = time.monotonic()
    with pytest.raises(TooLarge):
        items_from_json(data, "items", MOST, dimensions=784)
    assert time.monotonic() - began < 5, "decoding it would hold up everything else for ten seconds"


def test_a_body_far_longer_than_one_item_is_refused_unread() -> None:
    with pytest.raises(TooLarge):
        item_from_json(b'{"image": [' + b"1," * 2**20 + b"1]}", (2,))


@pytest.mark.parametrize(
    ("image", "mask", "numbers", "hidden"),
    [
        ([None, 1], None, [0, 1], [True, False]),
        ([0.5, None], None, [0.5, 0], [False, True]),
        ([3, 1], [0, 255], [3, 1], [False, True]),
        ([None, 1], [True, False], [0, 1], [True, False]),
        ([[None, 1]], [True, False], [[0, 1]], [True, False]),
        ([[[1, None, 2]]], [[True]], [[[1, 0, 2]]], [[True]]),
    ],
)
def test_an_item_is_hidden_by_null_or_by_a_mask(image: Any, mask: Any, numbers: Any, hidden: Any) -> None:
    document = {"image": image} if mask is None else {"image": image, "mask": mask}
    array, gaps = item_from_json(json.dumps(document).encode(), (2,))
    assert array.tolist() == numbers
    assert gaps.tolist() == hidden


PIXEL = [[[1, 2, None]]]
"""One pixel of three colours, (1, 1, 3)."""


@pytest.mark.parametrize(
    "document",
    [
        {"image": [1, 2]},
        {"image": [None, 1], "mask": [0, 1]},
        {"image": [[None, 1]], "mask": [0, 1]},
        {"image": [None, 1], "mask": [[0, 1]]},
        {"image": PIXEL, "mask": [[0]]},
        {"image": [PIXEL], "mask": [[0]]},
        {"image": [PIXEL], "mask": [[[0, 1, 0]]]},
        {"image": [1, 2], "mask": ["a", 1]},
        {"mask": [1]},
    ],
)
def test_an_item_without_a_clear_mask_is_refused(document: Any) -> None:
    with pytest.raises(WrongValue):
        item_from_json(json.dumps(document).encode(), (2,))
