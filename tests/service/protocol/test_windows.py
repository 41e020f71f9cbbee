"""Windows of pictures of any size: what they hold, and that they go back where they came from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.protocol.windows import MARGIN, window_of

PLACES = st.tuples(st.integers(8, 150), st.integers(8, 150)).flatmap(
    lambda sides: st.tuples(st.just(sides), *(st.tuples(*[st.integers(0, side - 1)] * 2) for side in sides))
)


@given(PLACES, st.booleans())
def test_a_window_holds_what_is_hidden_and_its_surroundings(
    places: tuple[tuple[int, int], tuple[int, int], tuple[int, int]], colour: bool
) -> None:
    sides, rows, columns = places
    shape = (1, *sides, *([3] if colour else []))
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    hidden = np.zeros(shape, dtype=bool)
    hidden[:, min(rows) : max(rows) + 1, min(columns) : max(columns) + 1] = True
    window = window_of(hidden)
    assert window.top % 8 == window.left % 8 == 0
    assert all(side % 4 == 0 and side >= 8 for side in window.shape)
    near = np.zeros(sides, dtype=bool)
    near[
        max(min(rows) - MARGIN, 0) : max(rows) + 1 + MARGIN, max(min(columns) - MARGIN, 0) : max(columns) + 1 + MARGIN
    ] = 1
    inside = np.zeros(sides, dtype=bool)
    inside[window.top : window.bottom, window.left : window.right] = True
    assert inside[near].all()

    part, where = window.cut(picture), window.hidden(hidden)
    assert part.shape == where.shape == (1, *window.shape, *shape[3:])
    own = tuple(slice(0, side - start) for side, start in zip(sides, (window.top, window.left), strict=True))
    beyond = np.ones(window.shape, dtype=bool)
    beyond[own] = False
    assert where[0][beyond].all(), "what lies beyond the border is filled in too"
    assert where[0][own].sum() == hidden.sum()
    filled = np.where(where, 255 - part, part)
    whole = window.paste(np.concatenate([part, filled]), picture)
    np.testing.assert_array_equal(whole, np.concatenate([picture, np.where(hidden, 255 - picture, picture)]))


@pytest.mark.parametrize("sides", [(8, 8), (9, 13), (100, 11)])
def test_where_nothing_is_hidden_nothing_of_the_window_is(sides: tuple[int, int]) -> None:
    hidden = np.zeros((1, *sides), dtype=bool)
    window = window_of(hidden)
    assert not window.hidden(hidden).any()
    assert window.cost == 1


def test_a_window_costs_an_item_tick_for_each_64x64_pixels_begun() -> None:
    hidden = np.zeros((1, 300, 300, 3), dtype=bool)
    hidden[:, 100, 100] = True
    assert window_of(hidden).shape == (56, 56)
    assert window_of(hidden).cost == 1
    hidden[:, 100:200, 100:120] = True
    assert window_of(hidden).cost == 3
