"""Large JSON bodies: their elements are found without decoding them, and hostile ones cost nothing."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.media import json_scan
from service.media.json_items import items_from_json
from service.media.json_scan import large_list
from service.protocol.errors import Malformed, Problem, TooLarge, WrongValue

TEXT = st.text(alphabet='"\\[]{},: ax\n', max_size=12)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(TEXT, st.integers(-9, 9), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=12,
)


@settings(max_examples=50)
@given(st.lists(VALUES, max_size=8), st.dictionaries(TEXT, VALUES, max_size=3), st.integers(1, 9), st.booleans())
def test_elements_are_those_of_the_list_however_the_blocks_fall(
    items: list[Any], others: dict[str, Any], block: int, last: bool
) -> None:
    others.pop("items", None)
    document = {**others, "items": items} if last else {"items": items, **others}
    for indent in (None, 1):
        data = json.dumps(document, indent=indent).encode()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(json_scan, "_BLOCK", block)
            assert [json.loads(bytes(text)) for text in large_list(data, "items", 10**6)] == items


@given(st.text(alphabet='"\\[]{},: 1items', max_size=40), st.integers(1, 5))
def test_any_text_is_taken_apart_or_refused(text: str, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_scan, "_BLOCK", block)
        for data in (text.encode(), b'{"items":[' + text.encode() + b"]}", b'{"items":' + text.encode() + b"}"):
            try:
                large_list(data, "items", 10)
            except Problem:
                continue


SIZE = 4 * 2**20
HOSTILE = {
    "numbers": b'{"items":[' + b"0," * (SIZE // 2) + b"0]}",
    "members": b"{" + b",".join(b'"%d":0' % number for number in range(SIZE // 10)) + b',"items":[0]}',
    "brackets in a string, then numbers": b'{"items":["[[[[",' + b"0," * (SIZE // 2) + b"0]}",
    "one item of numbers": b'{"items":[[' + b"0," * (SIZE // 2) + b"0]]}",
    "depth": b'{"items":' + b"[" * (SIZE // 2) + b"]" * (SIZE // 2) + b"}",
    "a long text": b'{"items":["' + b"a" * SIZE + b'"]}',
    "backslashes": b'{"items":["' + b"\\" * SIZE + b'"]}',
    "empty lists": b'{"items":[' + b"[]," * (SIZE // 3) + b"0]}",
    "another member": b'{"items":[0],"more":[' + b"[[0,0,0,0]]," * (SIZE // 12) + b"0]}",
    "another long member": b'{"items":[0],"more":"' + b"a" * SIZE + b'"}',
    "objects": b'{"items":[' + b'{"a":0},' * (SIZE // 8) + b"0]}",
    "nothing": b'{"items":[0]}' + b" " * SIZE,
    "no object": b"[" + b"0," * (SIZE // 2) + b"0]",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_body_makes_few_objects(what: str) -> None:
    data = HOSTILE[what]
    tracemalloc.start()
    try:
        with pytest.raises((Malformed, TooLarge, WrongValue)) if what != "nothing" else pytest.MonkeyPatch.context():
            items_from_json(data, "items", 10_000, 64)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * len(data)


def test_a_long_text_beside_many_short_ones_is_not_given_an_array() -> None:
    """numpy gives every text of an array the room of the longest."""
    data = json.dumps({"items": ["a" * 50_000, *["b"] * 50_000]}).encode()
    tracemalloc.start()
    try:
        with pytest.raises(WrongValue, match="numbers only"):
            items_from_json(data, "items", 10**6, 64)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**26


def test_an_honest_large_body_is_read() -> None:
    rows = [[row + 0.5, row] for row in range(9000)]
    data = json.dumps({"note": "[", "items": rows, "after": {"]": '"'}}, indent=20).encode()
    assert len(data) > 2**19
    found = items_from_json(data + b" " * 2**20, "items", 10_000, 2)
    assert found.tolist() == rows
