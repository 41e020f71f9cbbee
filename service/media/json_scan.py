"""A large JSON object taken apart without decoding it: where the elements of its one long list begin and end.

The scan goes through the bytes in blocks with numpy, which lets other threads run meanwhile and makes no object of any
element. It follows strings, escapes and brackets; whether what stands between them is JSON shows when each element is
decoded.
"""

from __future__ import annotations

import itertools
import re

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.protocol.errors import Malformed, TooLarge, WrongValue

_BLOCK = 2**18
_DEEPEST = 64
"""Levels of nesting: numpy's arrays have no more dimensions."""
_MOST_MEMBERS = 64
_SMALL = 2**20
"""Bytes of a member that is decoded to be passed over; more of what nobody reads is refused."""
_KEY = re.compile(rb'\s*("(?:[^"\\]|\\.){0,256}")\s*:')
_WHITE = b" \t\r\n"
_SPACE = re.compile(rb"[ \t\r\n]*")

_STEP = np.zeros(256, np.int8)
_STEP[[ord("["), ord("{")]] = 1
_STEP[[ord("]"), ord("}")]] = -1


def large_list(data: bytes, field: str, most: int) -> list[memoryview]:
    """The JSON texts of the elements of the list under ``field`` of a JSON object.

    Raises Malformed; WrongValue where there is no such list; TooLarge for more than ``most`` elements in any list of
    the object, before an object is made of any, and for much that is not read.
    """
    members, commas = _places(data, most)
    view = memoryview(data)
    found: list[memoryview] | None = None
    for start, stop in members:
        key = _KEY.match(data, start, stop)
        if key is None:
            raise Malformed("the body is not valid JSON")
        if _decoded(key[1]) == field:
            found = _elements(view, *_stripped(data, key.end(), stop), commas, field)
        elif stop - start > _SMALL:
            raise TooLarge(f"the body holds more than {_SMALL} bytes beside {field!r}", field)
        else:
            _decoded(view[key.end() : stop])
    if found is None:
        raise WrongValue(f"the JSON object lacks {field!r}", field)
    return found


def _places(data: bytes, most: int) -> tuple[list[tuple[int, int]], NDArray[np.int64]]:
    """Begin and end of each member of the object, and the commas between the elements of lists in it."""
    start, stop = _stripped(data, 0, len(data))
    if data[start : start + 1] != b"{" or data[stop - 1 : stop] != b"}":
        raise _no_object(data)
    text = np.frombuffer(data, np.uint8)
    outer: list[int] = []
    inner: list[NDArray[np.int64]] = []
    inside, escaped, depth, between = False, False, 0, 0
    for begin in range(start, stop, _BLOCK):
        block = text[begin : min(begin + _BLOCK, stop)]
        steps = _STEP[block]
        comma = block == ord(",")
        quotes = block == ord('"')
        if inside or escaped or quotes.any():
            quotes, escaped = _unescaped(block, quotes, escaped)
            within = np.logical_xor.accumulate(quotes) ^ inside
            inside = bool(within[-1])
            steps[within] = 0
            comma &= ~within
        depths = np.cumsum(steps, dtype=np.int32)
        depths += depth
        depth = int(depths[-1])
        last = begin + len(block) == stop
        if depths.max() > _DEEPEST or (depths[:-1] if last else depths).min(initial=1) < 1:
            raise Malformed("the body is not valid JSON, or is nested too deeply")
        places = np.flatnonzero(comma & (depths <= 2))
        at = depths[places]
        outer += (places[at == 1] + begin).tolist()
        inner.append(places[at == 2] + begin)
        between += len(inner[-1])
        if len(outer) >= _MOST_MEMBERS:
            raise TooLarge(f"the body has more than {_MOST_MEMBERS} members", "body")
        if between >= most + len(outer):  # a list of n elements has n - 1 commas
            raise TooLarge(f"at most {most} items are taken in one request", "items")
    if depth or inside:
        raise Malformed("the body is not valid JSON")
    edges = [start, *outer, stop - 1]
    members = [(one + 1, other) for one, other in itertools.pairwise(edges)]
    return members, np.concatenate(inner)


def _unescaped(block: NDArray[np.uint8], quotes: NDArray[np.bool_], escaped: bool) -> tuple[NDArray[np.bool_], bool]:
    """The quotes that no backslash precedes, and whether the next block begins behind one. Backslashes pair up."""
    slashes = block == ord("\\")
    if not slashes.any():
        if escaped:
            quotes[0] = False
        return quotes, False
    places = np.arange(len(block))
    other = np.maximum.accumulate(np.where(slashes, -1, places))  # the last place before that is no backslash
    run = places - other + (escaped & (other < 0))  # backslashes that end at a place
    odd = (run & 1).astype(bool)
    quotes[1:] &= ~odd[:-1]
    if escaped:
        quotes[0] = False
    return quotes, bool(odd[-1])


def _elements(view: memoryview, start: int, stop: int, commas: NDArray[np.int64], field: str) -> list[memoryview]:
    if bytes(view[start : start + 1]) != b"[" or bytes(view[stop - 1 : stop]) != b"]":
        raise WrongValue(f"{field} must be a list", field)
    first, last = np.searchsorted(commas, [start, stop])
    edges = [start, *commas[first:last].tolist(), stop - 1]
    found = [view[one + 1 : other] for one, other in itertools.pairwise(edges)]
    if len(found) == 1 and _SPACE.fullmatch(found[0]):
        return []
    return found


def _stripped(data: bytes, start: int, stop: int) -> tuple[int, int]:
    """The range without the white space at its ends."""
    start = _SPACE.match(data, start, stop).end()  # type: ignore[union-attr]
    while start < stop:
        tail = data[max(start, stop - _BLOCK) : stop]
        kept = len(tail.rstrip(_WHITE))
        stop -= len(tail) - kept
        if kept:
            break
    return start, stop


def _no_object(data: bytes) -> Malformed | WrongValue:
    if data.lstrip(_WHITE)[:1] in (b"[", b'"'):
        return WrongValue("the body must be a JSON object")
    return Malformed("the body is not valid JSON")


def _decoded(text: bytes | memoryview) -> object:
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise Malformed("the body is not valid JSON") from error
